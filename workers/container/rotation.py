"""How far the engine's stream of a container's log can be trusted, without I/O.

The stream goes from the file that it has read to its end to the one that is
written now.  If it lags by more than a file, those between are left out, and
nothing says so (seen with Docker 20.10).  What is read from the log without
following it is complete.
"""

from __future__ import annotations

import time
from typing import Final

from mist import clock
from mist.settings import CollectorSettings
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint

#: Among so many entries of the log the last published line is looked for, one after the other.
DEPTHS: Final = (200, 10_000, None)

#: A container whose last line is older than that is not in the middle of a flood.
_CALM_NS: Final = 100_000_000

#: Faster than that, in bytes a second, no engine writes the log of one container.
_WRITING_SPEED: Final = 100_000_000

#: A stream of a log that rotates is trusted while its lines are no older than that.
_FRESH_NS: Final = 50_000_000


def complete(container: Container, line: Line) -> bool:
    """Whether nothing can be missing before a line that the stream just gave."""
    if container.rotates_at is None:
        return True
    return not _outrun(container) and _age(line) <= _FRESH_NS


def depth(container: Container, resume: ResumePoint | None, *, deep: bool) -> int | None:
    """Among how many entries the engine is to look for the last published line.

    It takes its time for each, and behind a line that is old already there are
    few; unless ``deep``: the line was not among them just now.
    """
    if resume is None:
        return None
    calm = _age(resume.line) > _CALM_NS and not deep
    return DEPTHS[0 if calm or _outrun(container) else 1]


def longest(container: Container, limits: CollectorSettings) -> float:
    """How long a stream's lines may gather, in seconds.

    Those of a log that rotates have to be fresh when they are read.
    """
    most = limits.gather_limit_seconds
    return most if container.rotates_at is None else min(most, _FRESH_NS / 2e9)


def _age(line: Line) -> int:
    return time.time_ns() - clock.nanoseconds(line.timestamp)


def _outrun(container: Container) -> bool:
    """Whether a file of the log can be full before its lines are here."""
    size = container.rotates_at
    return size is not None and size * 1_000_000_000 < _WRITING_SPEED * _FRESH_NS
