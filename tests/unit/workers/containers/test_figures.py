"""Tests of the arithmetic of ``docker stats``."""

from __future__ import annotations

import pytest

from workers.containers.figures import Reading, figures, without_cache

SECOND = 1_000_000_000
BEFORE = Reading(5 * SECOND, 10 * SECOND, 50, 200, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("spent", "elapsed", "percent"),
    [
        (SECOND, SECOND, 100.0),
        (3 * SECOND, 2 * SECOND, 150.0),  # 100 for each core
        (0, SECOND, 0.0),
        (123_456, SECOND, 0.01),
        (SECOND // 2, 4 * SECOND, 12.5),  # a sample that is late
    ],
)
def test_cpu(spent: int, elapsed: int, percent: float) -> None:
    """The processor time between two readings, in percent of a core."""
    now = BEFORE._replace(at=BEFORE.at + elapsed, cpu=BEFORE.cpu + spent)
    found = figures(BEFORE, now)
    assert found is not None
    assert found.cpu_percent == percent


def test_the_other_figures() -> None:
    """They are those of the newer reading."""
    found = figures(BEFORE, Reading(6 * SECOND, 10 * SECOND, 66, 200, 11, 12, 13, 14, 15))
    assert found is not None
    assert (found.memory_used, found.memory_limit, found.memory_percent) == (66, 200, 33.0)
    assert (found.network_rx, found.network_tx) == (11, 12)
    assert (found.block_read, found.block_write, found.pids) == (13, 14, 15)


def test_what_cannot_be() -> None:
    """No time has passed, the counter went back, and no limit is known."""
    assert figures(BEFORE, BEFORE) is None
    now = BEFORE._replace(at=6 * SECOND, cpu=0, memory_limit=0)
    found = figures(BEFORE, now)
    assert found is not None
    assert (found.cpu_percent, found.memory_percent) == (0.0, 0.0)


def test_cache() -> None:
    """The page cache does not count, unless that makes no sense."""
    assert without_cache(100, 30) == 70
    assert without_cache(100, 100) == 100
    assert without_cache(100, 130) == 100
