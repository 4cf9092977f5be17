"""What of the engine's stream is believed."""

from __future__ import annotations

import time

from mist import clock
from workers.container import trust
from workers.container.frames import Line
from workers.container.source import Container
from workers.container.splice import Anchor

MEGABYTE = 1_000_000


def _container(rotates_at: int | None = None) -> Container:
    return Container("1", "2", "running", True, False, "1", False, False, rotates_at)


def _line(age_seconds: float) -> Line:
    stamp = clock.rfc3339(time.time_ns() - int(age_seconds * 1e9))
    return Line(stamp, "stdout", "text")


def test_a_log_in_one_file_is_complete() -> None:
    """However late its lines are."""
    assert trust.complete(_container(), _line(60.0))


def test_a_log_that_rotates_is_complete_while_it_is_fresh() -> None:
    """A stream that lags may have left a file out."""
    container = _container(100 * MEGABYTE)
    assert trust.complete(container, _line(0.0))
    assert not trust.complete(container, _line(1.0))


def test_small_files_are_never_trusted() -> None:
    """They are full before anybody has read them."""
    assert not trust.complete(_container(MEGABYTE), _line(0.0))


def test_the_last_line_of_a_quiet_container_is_near() -> None:
    """Behind one that has just been written there may be thousands."""
    assert trust.depth(_container(), None) is None
    quiet = trust.depth(_container(), Anchor(_line(60.0)))
    busy = trust.depth(_container(), Anchor(_line(0.0)))
    assert quiet is not None
    assert busy is not None
    assert quiet < busy


def test_a_log_that_rotates_shares_its_reads_with_nobody() -> None:
    """Its lines would not be fresh any more."""
    assert trust.sharers(_container(100 * MEGABYTE)) == 1
    assert trust.sharers(_container()) >= 1
