"""Decide how far the engine's follow stream of a rotated log is complete, without I/O.

A follow stream that reaches the end of a file continues with the file that is being
written.  A stream that lags by more than one file skips those in between, without any
sign of it (seen with Docker 20.10).  A log that is read without following is complete.
"""

from __future__ import annotations

import time
from typing import Final

from mist import clock
from mist.settings import CollectorSettings
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint

# The numbers of entries, tried in turn, among which to look for the last published line.
DEPTHS: Final = (200, 10_000, None)

# A container whose last line is older than this is not in the middle of a flood.
_CALM_NS: Final = 100_000_000

# No engine writes the log of one container faster than this, in bytes per second.
_WRITING_SPEED: Final = 100_000_000

# The follow stream of a rotated log counts as complete while its lines are no older than this.
_FRESH_NS: Final = 50_000_000


def complete(container: Container, line: Line) -> bool:
    """Return True if no line can be missing before one that the stream just delivered."""
    if container.rotates_at is None:
        return True
    return not _outrun(container) and _age(line) <= _FRESH_NS


def depth(container: Container, resume: ResumePoint | None, *, deep: bool) -> int | None:
    """Return how many entries the engine is to search for the last published line.

    Each entry costs the engine time, and few follow a line that is old already.
    ``deep`` means that the last stream did not contain the line.
    """
    if resume is None:
        return None
    calm = _age(resume.line) > _CALM_NS and not deep
    return DEPTHS[0 if calm or _outrun(container) else 1]


def longest(container: Container, limits: CollectorSettings) -> float:
    """Return how long the lines of a stream may be delayed, in seconds.

    The lines of a rotated log must still be fresh when they are read.
    """
    most = limits.gather_limit_seconds
    # Half of the limit, which leaves the other half for the read itself.
    return most if container.rotates_at is None else min(most, _FRESH_NS / 2e9)


def _age(line: Line) -> int:
    return time.time_ns() - clock.nanoseconds(line.timestamp)


def _outrun(container: Container) -> bool:
    """Return True if the engine can fill a log file before its lines are read."""
    size = container.rotates_at
    return size is not None and size * 1_000_000_000 < _WRITING_SPEED * _FRESH_NS
