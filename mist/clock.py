"""Times as the contract writes them: RFC 3339, UTC, nine digits of a second.

That is the engine's own format for the time stamps of log lines, and its fixed
width makes the order of the texts the order of the times.
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
    """``nanoseconds`` since the epoch as ``2025-01-15T10:30:00.000000000Z``."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def now() -> str:
    """This moment."""
    return rfc3339(time.time_ns())


def normalize(text: str) -> str:
    """Any RFC 3339 time stamp in the one form that compares as text.

    Raises ValueError for what is no RFC 3339 time stamp (§5.6).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no RFC 3339 time stamp such as 2025-01-15T10:30:00Z")
    date, clock, fraction, zulu, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is no RFC 3339 time stamp: {error}") from None
    if not zulu:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            raise ValueError(f"{text!r} is outside the years 1 to 9999") from None
    # isoformat and not strftime, whose %Y does not pad: the engine's zero time is in the year 1.
    whole = moment.replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{whole}.{(fraction or '').ljust(9, '0')}Z"


def nanoseconds(text: str) -> int:
    """The nanoseconds since the epoch of a normalised time stamp."""
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(text[20:29])
