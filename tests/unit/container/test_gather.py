"""When a collector lets lines gather."""

from __future__ import annotations

from workers.container.gather import Gather


class Clock:
    """A time that passes when it is told to, and while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Pass the time, and remember it."""
        self.now += seconds
        self.slept += seconds


def _slept(*reads: tuple[float, int]) -> float:
    """The sleep after reads, each some seconds after the one before, of so many lines."""
    clock = Clock()
    gather = Gather(clock, clock.sleep)
    for seconds, lines in reads:
        clock.now += seconds
        gather(lines)
    return clock.slept


LONG = (1.0, 5_000)


def test_a_lone_line_waits_for_nothing() -> None:
    """However soon it comes after another, and however many came before."""
    assert _slept(LONG, (1.0, 1), (0.00001, 1), (0.00001, 1)) == 0


def test_a_flood_gathers() -> None:
    """Each read of it is followed by a moment of rest."""
    assert _slept(LONG, (0.0001, 20), (0.0001, 20)) == 0.002


def test_a_short_history_does_not_wait() -> None:
    """A client waits for all of it."""
    assert _slept((0.0001, 500), (0.0001, 500)) == 0


def test_many_lines_after_a_silence_are_no_flood() -> None:
    """They were written together, and nothing follows."""
    assert _slept(LONG, (1.0, 500)) == 0
