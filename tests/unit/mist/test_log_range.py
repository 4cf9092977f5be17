"""Tests of ``tail`` and ``since``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.errors import UsageError
from mist.ids import MAX_ID
from mist.log_range import LinePosition, LogRange, Selection, log_range


def stamp(second: int) -> str:
    """Return the time stamp of this second."""
    return f"2025-01-15T10:30:{second:02d}.000000000Z"


def chosen(lines: list[int], wanted: LogRange, reach: int = 1_000) -> list[int]:
    """Return the lines, named by their seconds, that a client starts with."""
    selection = wanted.select(map(stamp, reversed(lines)), reach)
    return lines[max(0, len(lines) - selection.lines) :]


def test_without_parameters_the_default_tail() -> None:
    """The default tail applies only without ``since``, which alone selects everything after it."""
    assert log_range(None, None, 100) == LogRange(100)
    assert log_range("7", None, 100) == LogRange(7)
    assert log_range(None, "2025-01-15T12:30:01+02:00", 100) == LogRange(None, stamp(1))
    assert log_range("0", stamp(1), 100) == LogRange(0, stamp(1))


@pytest.mark.parametrize("tail", ["", "x", "-1", "1.5", "٣", " 1", "9" * 400, str(2**63)])
def test_an_invalid_tail_is_refused(tail: str) -> None:
    """An invalid tail is reported with the parameter and the value, however long."""
    with pytest.raises(UsageError, match=r"^tail must be .*, not ") as caught:
        log_range(tail, None, 100)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    "since", ["", "yesterday", "2h", "2025-02-30T00:00:00Z", "2025-13-01T00:00:00Z", "x" * 5_000]
)
def test_an_invalid_since_is_refused(since: str) -> None:
    """An invalid since is reported with the parameter, the value and the right form."""
    with pytest.raises(UsageError, match=r"^since: .*RFC 3339") as caught:
        log_range(None, since, 100)
    assert repr(since[:64])[:-1] in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "since",
    [
        "p",
        "p1",
        "p1.",
        "p.1",
        "p0.1",
        "p1.0",
        "P1.1",
        "p1.1.1",
        "p-1.1",
        "p1.g",
        "pffffffffffffffff.1",
        "p1.fffffffffffffffff",
        "p01.1",
        "p1.01",
        "p٣.1",
        " p1.1",
        "p1.1 ",
        "1.1",
    ],
)
def test_an_invalid_position_is_refused(since: str) -> None:
    """What only looks like a position is refused in the same words as a time."""
    with pytest.raises(UsageError, match=r"^since: .*RFC 3339.*nor the pos of a log message"):
        log_range(None, since, 100)


@given(st.integers(1, MAX_ID), st.integers(1, MAX_ID))
def test_a_position_is_read_as_it_was_written(epoch: int, seq: int) -> None:
    """``since`` accepts the text of every position."""
    assert log_range(None, str(LinePosition(epoch, seq)), 100) == LogRange(
        None, LinePosition(epoch, seq)
    )


def test_since_is_exclusive() -> None:
    """``since`` excludes all lines of that time."""
    assert chosen([1, 2, 2, 3], LogRange(since=stamp(2))) == [3]
    assert chosen([1, 3], LogRange(since=stamp(2))) == [3]
    assert chosen([1, 2], LogRange(since=stamp(9))) == []


def test_tail_limits_since() -> None:
    """``tail`` limits ``since`` to the newest lines, and the others do not count as skipped."""
    assert chosen([1, 2, 3, 4], LogRange(2, stamp(1))) == [3, 4]
    assert not LogRange(2, stamp(1)).select(map(stamp, [4, 3, 2, 1]), 1_000).beyond


def test_reach_limits_both() -> None:
    """Both are limited to the lines that the replay buffer promises."""
    assert chosen([1, 2, 3, 4], LogRange(9), reach=3) == [2, 3, 4]
    assert chosen([1, 2, 3, 4], LogRange(None, stamp(0)), reach=3) == [2, 3, 4]


def test_engines_order_decides() -> None:
    """Order follows the engine, so lines after a clock that was set back are included."""
    assert chosen([10, 11, 5, 6], LogRange(since=stamp(11))) == [5, 6]
    assert chosen([10, 11, 12, 5, 13], LogRange(since=stamp(11))) == [12, 5, 13]
    assert chosen([10, 12, 5, 13], LogRange(since=stamp(11))) == [12, 5, 13]
    assert chosen([10, 5, 13], LogRange(since=stamp(11))) == [13]


@pytest.mark.parametrize(
    ("selection", "complete", "skipped"),
    [
        (Selection(3, 0, beyond=False), False, 0),
        (Selection(3, 0, beyond=True), True, 0),
        (Selection(3, 0, beyond=True), False, 1),
        (Selection(3, 5, beyond=True), True, 5),
    ],
)
def test_skipped(selection: Selection, complete: bool, skipped: int) -> None:
    """Lines that are gone are reported, even if their number is unknown."""
    assert selection.skipped(complete=complete) == skipped


@given(st.lists(st.integers(0, 59)).map(sorted), st.integers(0, 59), st.integers(0, 70))
def test_every_later_line_is_shown_or_counted(lines: list[int], after: int, reach: int) -> None:
    """Every later line is either shown or counted as skipped, never both."""
    later = [second for second in lines if second > after]
    selection = LogRange(since=stamp(after)).select(map(stamp, reversed(lines)), reach)
    assert selection.lines == min(len(later), reach)
    assert selection.older == len(later) - selection.lines
    assert selection.beyond == (selection.older > 0 or not any(s <= after for s in lines))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.data())
def test_since_is_after_the_last_line_of_that_time(lines: list[int], data: st.DataObject) -> None:
    """Whatever the order of the times, ``since`` is behind the last line that has it."""
    place = data.draw(st.integers(0, len(lines) - 1))
    last = max(index for index, second in enumerate(lines) if second == lines[place])
    assert chosen(lines, LogRange(since=stamp(lines[place]))) == lines[last + 1 :]


@given(st.lists(st.integers(0, 9).map(lambda n: 2 * n), max_size=30), st.integers(0, 9))
def test_since_without_such_a_line_leaves_out_no_later_one(lines: list[int], half: int) -> None:
    """A time that no line has is before the first later line, wherever that is."""
    since = 2 * half + 1
    first = next((index for index, second in enumerate(lines) if second > since), len(lines))
    assert chosen(lines, LogRange(since=stamp(since))) == lines[first:]
