"""Durations in the engine's words, such as "Up 2 hours", without I/O.

The engine's phrase for a container's state is true at the moment of the answer only.  To
show it later, remember the time at which its duration began, and put the present duration
into the phrase.
"""

from __future__ import annotations

import re
from typing import Final

from mist import clock

_SECOND_NS: Final = 1_000_000_000
_UNITS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}

# State.String in moby's container/state.go.  Other engines and states have other phrases,
# which stay as they are.
_PHRASE: Final = re.compile(
    r"(Up |(?:Exited|Restarting) \(-?\d+\) )"
    r"(Less than a second|About a minute|About an hour"
    r"|\d+ (?:second|minute|hour|day|week|month|year)s?)"
    r"((?: ago)?(?: \(.*\))?)"
)


def began(phrase: str, time: str, now: int) -> str:
    """Return the time at which the duration in a phrase began; empty if it has none.

    ``time`` is the engine's for the start or the end of the container, and ``now`` is in
    nanoseconds.  If the two clocks differ, the phrase decides, however coarse it is.
    """
    match = _PHRASE.fullmatch(phrase)
    if match is None:
        return ""
    try:
        age = now - clock.nanoseconds(clock.normalize(time))
    except ValueError:
        age = -1
    if age < 0 or _duration(age) != match[2]:
        age = _seconds(match[2]) * _SECOND_NS
    return clock.rfc3339(now - age)


def as_of(now: int, phrase: str, began: str) -> str:
    """Return the phrase with the duration since ``began`` in place of the one that it has."""
    match = _PHRASE.fullmatch(phrase)
    if match is None or not began:
        return phrase
    return match[1] + _duration(max(0, now - clock.nanoseconds(began))) + match[3]


def _duration(nanoseconds: int) -> str:
    """Return a duration as the engine does (``HumanDuration`` of docker/go-units)."""
    seconds = nanoseconds // _SECOND_NS
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second" if seconds == 1 else f"{seconds} seconds"
    if seconds < 3_600:
        return "About a minute" if seconds < 120 else f"{seconds // 60} minutes"
    hours = (seconds + 1_800) // 3_600
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for most, hours_each, name in ((14, 24, "days"), (60, 168, "weeks"), (730, 720, "months")):
        if hours < 24 * most:
            return f"{hours // hours_each} {name}"
    return f"{seconds // _UNITS['year']} years"


def _seconds(duration: str) -> int:
    """Return the least number of seconds for which the engine writes this duration."""
    number, _, unit = duration.rpartition(" ")
    each = _UNITS[unit.removesuffix("s")]
    if duration == "Less than a second":
        return 0
    return each * int(number) if number.isdecimal() else each
