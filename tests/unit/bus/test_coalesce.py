"""Tests of when the broker coalesces messages."""

from __future__ import annotations

from bus.coalesce import Coalescer


class Time:
    """A clock that only the test and sleeping advance."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0

    def clock(self) -> float:
        """Return the current time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the time."""
        self.now += seconds
        self.slept += 1


def rounds(intervals: list[float]) -> int:
    """Return how often the broker sleeps when rounds end after these intervals."""
    time = Time()
    coalescer = Coalescer(0.001, time.clock, time.sleep)
    for interval in intervals:
        time.now += interval
        coalescer.rest()
    return time.slept


def test_lone_messages_are_never_kept_waiting() -> None:
    """A message after a pause is forwarded at once."""
    assert rounds([0.002] * 100) == 0


def test_flood_gathers_after_its_beginning() -> None:
    """The first few messages of a flood are forwarded at once, later ones in shared rounds."""
    assert rounds([0.0001] * 8) == 0
    assert rounds([0.0001] * 100) == 92


def test_pause_ends_a_flood() -> None:
    """The first messages after a pause are forwarded at once again."""
    assert rounds([0.0001] * 10 + [0.01] + [0.0001] * 5) == 2
