"""Tests of the pauses between restarts of a crashing process."""

from __future__ import annotations

from mist.crashes import Crashes
from mist.settings import SupervisorSettings

LIMITS = SupervisorSettings(
    backoff_seconds=1.0, backoff_limit_seconds=5.0, crash_window_seconds=60.0
)


def test_the_pause_grows_up_to_its_limit() -> None:
    """The pause doubles with each crash, up to its limit."""
    crashes = Crashes(LIMITS)
    pauses = []
    for now in range(5):
        crashes.add(float(now))
        pauses.append(crashes.pause)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_old_crashes_do_not_count() -> None:
    """Crashes before the window do not count."""
    crashes = Crashes(LIMITS)
    assert [crashes.add(now) for now in (0.0, 59.0, 60.0, 130.0)] == [1, 2, 2, 1]
    assert crashes.pause == 1.0


def test_a_pause_has_a_limit_however_many_there_are() -> None:
    """The pause stays limited even where the doubling would overflow."""
    crashes = Crashes(LIMITS)
    for _ in range(5_000):
        crashes.add(0.0)
    assert crashes.pause == 5.0
