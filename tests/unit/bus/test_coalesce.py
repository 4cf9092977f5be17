"""When the broker lets messages gather."""

from __future__ import annotations

from bus.coalesce import Coalescer


class Time:
    """A clock that only sleeping and the test move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0

    def clock(self) -> float:
        """The present."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.slept += 1


def rounds(intervals: list[float]) -> int:
    """How often the broker rests when rounds end after these intervals."""
    time = Time()
    coalescer = Coalescer(0.001, time.clock, time.sleep)
    for interval in intervals:
        time.now += interval
        coalescer.rest()
    return time.slept


def test_lone_messages_are_never_kept_waiting() -> None:
    """However many come, one after a pause finds the broker awake."""
    assert rounds([0.002] * 100) == 0


def test_flood_gathers_after_its_beginning() -> None:
    """The first few go at once; then each round is shared."""
    assert rounds([0.0001] * 8) == 0
    assert rounds([0.0001] * 100) == 92


def test_pause_ends_a_flood() -> None:
    """After it, the next messages go at once again."""
    assert rounds([0.0001] * 10 + [0.01] + [0.0001] * 5) == 2
