"""Times of a range of older lines: RFC 3339, or a duration before now."""

from __future__ import annotations

import re
import time
from typing import Final

from mist import clock
from mist.errors import UsageError

_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d|w))+", re.ASCII)
_PART: Final = re.compile(r"([\d.]+)(ms|s|m|h|d|w)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def moment(name: str, text: str, now: int | None = None) -> str:
    """Return a normalized timestamp, or raise a UsageError that names the parameter.

    ``now`` is the time from which durations count, in nanoseconds.
    """
    if _DURATION.fullmatch(text):
        return _before(time.time_ns() if now is None else now, text)
    try:
        return clock.normalize(text)
    except ValueError:
        raise UsageError(
            f"{name} must be an RFC 3339 time such as 2025-01-15T10:30:00Z, or a duration "
            f"before now such as 2h or 30m, not {text[:64]!r}"
        ) from None


def _before(now: int, duration: str) -> str:
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))
    # Not before 1970: the engine's times are later.
    return clock.rfc3339(max(0, now - int(seconds * 1e9)))
