"""Pauses between the starts of a process that crashes."""

from __future__ import annotations

from mist.crashes import Crashes
from mist.settings import Supervisor

LIMITS = Supervisor(backoff_seconds=1.0, backoff_limit_seconds=5.0, crash_window_seconds=60.0)


def test_the_pause_grows_up_to_its_limit() -> None:
    """It doubles with each crash."""
    crashes = Crashes(LIMITS)
    pauses = []
    for now in range(5):
        crashes.add(float(now))
        pauses.append(crashes.pause)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_old_crashes_do_not_count() -> None:
    """Those before the window."""
    crashes = Crashes(LIMITS)
    assert [crashes.add(now) for now in (0.0, 59.0, 60.0, 130.0)] == [1, 2, 2, 1]
    assert crashes.pause == 1.0


def test_a_pause_has_a_limit_however_many_there_are() -> None:
    """Also where the doubling would not fit a number any more."""
    crashes = Crashes(LIMITS)
    for _ in range(5_000):
        crashes.add(0.0)
    assert crashes.pause == 5.0
