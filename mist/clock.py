"""Timestamps as the contract writes them: RFC 3339, UTC, nanoseconds.

The engine uses the same format for log lines.  Its fixed width makes text order
equal to time order.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def rfc3339(nanoseconds: int) -> str:
    """Format ``nanoseconds`` since the epoch as ``2025-01-15T10:30:00.000000000Z``."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def now() -> str:
    """Return the current time in that format."""
    return rfc3339(time.time_ns())


def normalize(text: str) -> str:
    """Return any RFC 3339 timestamp in UTC with nine digits, which compares as text.

    Raise ValueError if ``text`` is not an RFC 3339 timestamp (§5.6).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 timestamp such as 2025-01-15T10:30:00Z")
    date, clock, fraction, zulu, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an RFC 3339 timestamp: {error}") from None
    if not zulu:  # "Z" and "z" need no conversion
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            raise ValueError(f"{text!r} is outside the years 1 to 9999") from None
    # Not strftime, whose %Y is not zero-padded: the engine's zero time is in the year 1.
    whole = moment.replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{whole}.{(fraction or '').ljust(9, '0')}Z"


def nanoseconds(text: str) -> int:
    """Return the nanoseconds since the epoch of a normalized timestamp."""
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    # Integers: a float cannot hold nanoseconds since 1970.
    return int(moment.timestamp()) * 1_000_000_000 + int(text[20:29])
