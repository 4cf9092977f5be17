"""Backwards reading against an engine's log in memory that grows and rotates meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.reader.backwards import Backwards, ForwardsFrom
from workers.reader.entries import Entry
from workers.reader.source import LogBroken

Change = Callable[["FakeLog"], None]


def line(number: int, text: bytes = b"") -> Entry:
    """Return a line; its time is its number."""
    return b"%030d" % number, 1 + number % 2, text or b"line %d" % number


class FakeEntries:
    """A response with the last lines, in batches."""

    def __init__(self, lines: list[Entry], batch: int) -> None:
        self.lines, self._batch = lines, batch
        self.pieces = 0
        self.unterminated = False

    def __iter__(self) -> Iterator[list[Entry]]:
        """Yield the batches."""
        for start in range(0, len(self.lines), self._batch):
            batch = self.lines[start : start + self._batch]
            self.pieces += len(batch)
            yield batch


class FakeLog:
    """A log in memory; ``changes`` happen before each request."""

    def __init__(
        self, lines: list[Entry], batch: int = 7, changes: tuple[Change, ...] = ()
    ) -> None:
        self.lines = lines
        self.asked: list[int | None] = []
        self._batch = batch
        self._changes = list(changes)

    def newest(self) -> bytes:
        """Return the time of the newest line."""
        return self.lines[-1][0] if self.lines else b""

    def open(self, tail: int | None = None) -> FakeEntries:
        """Return the last ``tail`` lines."""
        if self._changes:
            self._changes.pop(0)(self)
        self.asked.append(tail)
        lines = self.lines if tail is None else self.lines[max(0, len(self.lines) - tail) :]
        return FakeEntries(list(lines), self._batch)


def backwards(log: FakeLog, window_bytes: int = 1 << 20, first: int = 4) -> list[Entry]:
    """Return all lines, the newest first."""
    fake: Any = log
    windows = Backwards(fake, window_bytes, first)
    return [entry for window in windows for entry in window[::-1]]


@given(
    count=st.integers(0, 300),
    batch=st.integers(1, 50),
    first=st.integers(1, 40),
    window_bytes=st.sampled_from([6_000, 20_000, 1 << 20]),
)
def test_every_line_comes_once_in_reverse_order(
    count: int, batch: int, first: int, window_bytes: int
) -> None:
    """Whatever the sizes of windows and batches, the log is complete."""
    lines = [line(number) for number in range(count)]
    assert backwards(FakeLog(list(lines), batch), window_bytes, first) == lines[::-1]


@given(
    count=st.integers(1, 200),
    growth=st.lists(st.integers(0, 60), max_size=8),
    first=st.integers(1, 40),
)
def test_a_log_that_grows_meanwhile(count: int, growth: list[int], first: int) -> None:
    """Lines that are written later are left out, and none of the others is lost or repeated."""

    def grow(by: int) -> Change:
        return lambda log: log.lines.extend(
            line(number) for number in range(len(log.lines), len(log.lines) + by)
        )

    nothing: Change = lambda _log: None  # noqa: E731 - before the first request
    log = FakeLog([line(number) for number in range(count)], 7, (nothing, *map(grow, growth)))
    assert backwards(log, first=first) == [line(number) for number in range(count)][::-1]


def test_equal_lines_with_equal_times() -> None:
    """Lines are found by their neighbours, too."""
    lines = [line(1, b"same")] * 3 + [line(2, b"x")] + [line(1, b"same")] * 2 + [line(3), line(4)]
    assert backwards(FakeLog(lines), first=1) == lines[::-1]


def test_rotation_is_reported() -> None:
    """If the file with the older lines is deleted, the reading breaks off with that reason."""
    lines = [line(number) for number in range(100)]

    def rotate(log: FakeLog) -> None:
        del log.lines[:90]

    with pytest.raises(LogBroken, match="rotated"):
        backwards(FakeLog(lines, 7, (lambda _log: None, lambda _log: None, rotate)), first=10)


@given(at=st.integers(0, 198), first=st.integers(1, 300))
def test_damage_is_approached_from_the_end(at: int, first: int) -> None:
    """The engine ends silently at damaged data; whatever comes after it is still read."""
    lines = [line(number) for number in range(200)]

    class DamagedLog(FakeLog):
        def open(self, tail: int | None = None) -> FakeEntries:
            entries = super().open(tail)
            if lines[at] in entries.lines:
                del entries.lines[entries.lines.index(lines[at]) :]
            return entries

    fake: Any = DamagedLog(list(lines))
    got: list[Entry] = []
    entries = (entry for window in Backwards(fake, 1 << 20, first) for entry in window[::-1])
    with pytest.raises(LogBroken, match="damaged"):
        # Not list(entries): what came before the damage has to be kept.
        got.extend(entries)
    assert got == lines[at + 1 :][::-1][: len(got)]
    assert len(got) >= 200 - at - 3


def test_a_late_window_costs_no_more_than_its_lines() -> None:
    """The number of requests grows with the logarithm of the log, if memory allows."""
    log = FakeLog([line(number) for number in range(10_000)])
    backwards(log, 1 << 30)
    assert len(log.asked) < 20


@given(at=st.integers(0, 99), batch=st.integers(1, 30))
def test_forwards_from_a_mark(at: int, batch: int) -> None:
    """The lines from the mark on are complete, however the mark is split."""
    lines = [line(number) for number in range(100)]
    entries: Any = FakeEntries(lines, batch)
    found = ForwardsFrom(lines[at : at + 8], entries)
    assert [entry for batch in found for entry in batch] == lines[at:]
