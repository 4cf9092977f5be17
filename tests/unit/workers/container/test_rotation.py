"""Tests of when the engine's stream is trusted."""

from __future__ import annotations

import time

from mist import clock
from mist.settings import CollectorSettings
from workers.container import rotation
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint

MEGABYTE = 1_000_000


def _container(rotates_at: int | None = None) -> Container:
    return Container("1", "2", "running", True, False, "1", False, False, rotates_at)


def _line(age_seconds: float) -> Line:
    stamp = clock.rfc3339(time.time_ns() - int(age_seconds * 1e9))
    return Line(stamp, "stdout", "text")


def test_a_log_in_one_file_is_complete() -> None:
    """A log in one file is complete, however late its lines are."""
    assert rotation.complete(_container(), _line(60.0))


def test_a_log_that_rotates_is_complete_while_it_is_fresh() -> None:
    """A rotating log is complete only while it is fresh; a slow stream may have skipped a file."""
    container = _container(100 * MEGABYTE)
    assert rotation.complete(container, _line(0.0))
    assert not rotation.complete(container, _line(1.0))


def test_small_files_are_never_trusted() -> None:
    """Small files are never trusted, because they may rotate before they are read."""
    assert not rotation.complete(_container(MEGABYTE), _line(0.0))


def test_the_last_line_of_a_quiet_container_is_near() -> None:
    """The last line of a quiet container is near; a busy one may have thousands behind it."""
    assert rotation.depth(_container(), None, deep=False) is None
    quiet, busy = (
        rotation.depth(_container(), ResumePoint(_line(age)), deep=False) for age in (60.0, 0.0)
    )
    assert quiet is not None
    assert busy is not None
    assert quiet < busy


def test_a_line_that_was_not_near_is_looked_for_deeper() -> None:
    """A resume point that was not near is searched for deeper."""
    resume = ResumePoint(_line(60.0))
    assert rotation.depth(_container(), resume, deep=True) == rotation.DEPTHS[1]


def test_lines_of_a_log_that_rotates_do_not_gather_for_long() -> None:
    """Lines of a rotating log are coalesced only briefly, so that they stay fresh."""
    limits = CollectorSettings(gather_limit_seconds=0.1)
    assert rotation.longest(_container(), limits) == 0.1
    seconds = rotation.longest(_container(100 * MEGABYTE), limits)
    assert rotation.complete(_container(100 * MEGABYTE), _line(seconds))
