"""Tests of when a collector coalesces lines."""

from __future__ import annotations

import pytest

from mist.settings import CollectorSettings
from workers.container.pacing import ReadPacer

LIMITS = CollectorSettings(gather_seconds=0.001, gather_limit_seconds=0.1)
LINE = 190


class Clock:
    """A clock that the test and every sleep advance."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the time and record the sleep."""
        self.now += seconds
        self.slept += seconds


class Stream:
    """A stream that is read at its reader's pace; records the sleeps."""

    def __init__(self, collectors: int = 1) -> None:
        self.clock = Clock()
        self.gather = ReadPacer(LIMITS, self.clock, self.clock.sleep)
        self.gather.collectors = collectors

    def read(self, after: float, lines: int) -> float:
        """Let ``lines`` arrive after these seconds; return the sleep before they are read."""
        before = self.clock.slept
        self.gather.rest()
        self.clock.now += after
        self.gather.wait()
        self.gather.note(lines, lines * LINE)
        return self.clock.slept - before


def test_a_line_after_a_pause_goes_at_once() -> None:
    """A line after a pause is never delayed."""
    stream = Stream()
    assert [stream.read(0.02, 1) for _ in range(5)] == [0.0] * 5


def test_lines_that_keep_coming_gather() -> None:
    """Steady lines are read a thousand times a second."""
    stream = Stream()
    stream.read(1.0, 1)
    assert stream.read(0.0002, 3) == pytest.approx(0.0008)
    assert stream.read(0.0, 3) == pytest.approx(0.001)


def test_many_collectors_share_the_reads() -> None:
    """Fifty collectors wait fifty times as long, except for the very first line."""
    stream = Stream(collectors=50)
    assert stream.read(1.0, 1) == 0.0
    assert stream.read(0.01, 1) == pytest.approx(0.04)
    assert stream.read(0.0, 5) == pytest.approx(0.05)


def test_nobody_waits_longer_than_the_limit() -> None:
    """A wait is limited, however many collectors there are."""
    stream = Stream(collectors=1_000)
    stream.read(1.0, 1)
    assert stream.read(0.0, 1) == pytest.approx(0.1)


@pytest.mark.parametrize(("lines", "size"), [(300, 300 * LINE), (4, 65_536)])
def test_a_flood_does_not_fill_the_engines_socket(lines: int, size: int) -> None:
    """Waits in a flood are short, so that neither long nor many short lines fill the socket."""
    stream = Stream(collectors=50)
    stream.read(1.0, 1)
    stream.read(0.01, 1)
    stream.gather.wait()
    for _ in range(20):
        began = stream.clock.now
        stream.gather.wait()
        if stream.clock.now - began < 0.0001:
            stream.clock.now += 0.0001
        stream.gather.note(lines, size)
    assert stream.clock.now - began < 0.001


def test_a_stream_that_keeps_coming_is_not_waited_for() -> None:
    """The reader sleeps before it polls a steady stream, but not one that has stopped."""
    stream = Stream()
    for _ in range(3):
        stream.read(0.0001, 3)
    began = stream.clock.now
    stream.gather.rest()
    assert stream.clock.now - began == pytest.approx(0.001)
    stream.read(1.0, 1)
    began = stream.clock.now
    stream.gather.rest()
    assert stream.clock.now == began
