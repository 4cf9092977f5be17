"""Tests of repeated and missing lines in the stream of a rotated log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import clock
from tests.support.collecting import container
from workers.container import rotation
from workers.container.frames import Line, key
from workers.container.rotation import Continuity

MEGABYTE = 1_000_000
START = 1_736_935_200_000_000_000


def line(milliseconds: float, text: str = "x", stream: str = "stdout") -> Line:
    """Return a line some milliseconds after the beginning."""
    stamp = clock.rfc3339(START + int(milliseconds * 1_000_000))
    return Line(stamp, stream, text)  # type: ignore[arg-type]


def begun(rotates_at: int | None) -> Continuity:
    """Return the order of a stream whose first line need not be verified."""
    continuity = Continuity(rotates_at)
    continuity.note([line(-1, "before")])
    continuity.attach()
    return continuity


def passed(continuity: Continuity, *lines: Line) -> list[Line]:
    """Return the lines that are published without a question."""
    fresh = continuity.fresh(list(lines))
    return fresh[: continuity.continuous(fresh)]


def test_lines_in_order_are_published() -> None:
    """Lines that follow one another closely are published."""
    lines = [line(1), line(2), line(3)]
    assert passed(begun(MEGABYTE), *lines) == lines


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_beginning_of_a_file_that_comes_again_is_left_out(count: int) -> None:
    """After a rotation the engine may give the new file's first lines a second time."""
    continuity = begun(MEGABYTE)
    lines = [line(number) for number in range(10)]
    assert passed(continuity, *lines) == lines
    assert passed(continuity, *lines[-count:], line(10)) == [line(10)]
    assert not continuity.odd


def test_a_repetition_may_be_cut_by_another() -> None:
    """The engine may begin the file a third time before it has repeated all of it."""
    continuity = begun(MEGABYTE)
    lines = [line(number) for number in range(5)]
    passed(continuity, *lines)
    assert passed(continuity, *lines[1:3], *lines[1:], line(5)) == [line(5)]


@pytest.mark.parametrize("rotates_at", [MEGABYTE, None])
def test_lines_before_the_first_one_may_be_missing(rotates_at: int | None) -> None:
    """The engine may have opened the log later than it was read."""
    continuity = Continuity(rotates_at)
    continuity.note([line(0)])
    assert passed(continuity, line(1), line(2)) == []
    continuity.attach()
    assert passed(continuity, line(3)) == [line(3)]


@pytest.mark.parametrize("rotates_at", [MEGABYTE, None])
def test_a_repeated_line_shows_that_none_is_missing(rotates_at: int | None) -> None:
    """A stream that begins with what was published began early enough."""
    continuity = Continuity(rotates_at)
    continuity.note([line(0), line(1)])
    assert passed(continuity, line(1), line(2)) == [line(2)]
    assert passed(continuity, line(3)) == [line(3)]


def test_both_streams_may_be_slightly_out_of_order() -> None:
    """Each stream has a copier of its own, so their time stamps do not compare."""
    lines = [line(2), line(1, stream="stderr"), line(3), line(2.5, stream="stderr")]
    continuity = begun(MEGABYTE)
    assert passed(continuity, *lines) == lines
    assert not continuity.odd


def test_a_clock_that_was_set_back_is_odd() -> None:
    """A line with an earlier time stamp is new or old; only the log knows."""
    continuity = begun(MEGABYTE)
    fresh = continuity.fresh([line(50), line(-5_000)])
    assert continuity.continuous(fresh) == 1
    assert continuity.odd
    continuity.note([line(-5_000), line(-4_999)])
    assert not continuity.odd
    assert passed(continuity, line(-4_998)) == [line(-4_998)]


@pytest.mark.parametrize(("gap", "certain"), [(100, True), (200, False)])
def test_a_pause_in_which_a_file_can_be_written(gap: float, certain: bool) -> None:
    """A container that was not seen to be fast writes 1 MB in 125 ms at most."""
    continuity = begun(MEGABYTE)
    passed(continuity, line(0))
    assert passed(continuity, line(gap)) == [line(gap)] * certain


def test_a_fast_container_may_have_filled_a_file_sooner() -> None:
    """The faster a container was seen to write, the shorter a harmless pause."""
    continuity = begun(MEGABYTE)
    passed(continuity, line(0))
    continuity.measure(100.0, 0)
    continuity.measure(100.025, MEGABYTE // 4)
    assert passed(continuity, line(5)) == [line(5)]
    assert passed(continuity, line(30)) == []


def test_a_log_in_one_file_may_pause() -> None:
    """Nothing can be missing in a log that is not rotated, however long it pauses."""
    lines = [line(0), line(1e9)]
    assert passed(begun(None), *lines) == lines


def test_the_stream_of_a_log_that_is_gone_is_taken_as_it_comes() -> None:
    """A log in one file may be removed before it shows what was before the first line."""
    continuity = Continuity(None)
    continuity.note([line(0)])
    continuity.attach()
    continuity.restart()
    lines = [line(1), line(2_000), line(3_000)]
    assert passed(continuity, *lines) == lines


def test_lines_that_were_published_from_the_log_are_left_out() -> None:
    """A stream gives again what the log held after the stream was opened."""
    continuity = Continuity(None)
    continuity.note([line(1), line(2), line(3)])
    assert passed(continuity, line(2), line(3), line(4)) == [line(4)]


def test_the_rest_of_a_line_that_was_published_is_left_out() -> None:
    """A stream may begin within a long line."""
    continuity = Continuity(None)
    continuity.note([line(1, "long"), line(2)])
    assert passed(continuity, line(1, "ng"), line(2), line(3)) == [line(3)]


def test_the_rest_of_a_line_that_was_not_is_odd() -> None:
    """The first pieces of a line may have come before the stream."""
    continuity = Continuity(None)
    continuity.note([line(1)])
    continuity.expect([key("stdout", line(2).timestamp)])
    assert passed(continuity, line(2, "ng")) == []
    assert continuity.odd


def test_a_line_that_never_ended_is_not_waited_for() -> None:
    """A container that crashed within a line begins the next one."""
    continuity = begun(None)
    continuity.expect([key("stdout", line(2).timestamp)])
    assert not continuity.settled
    lines = [line(3), line(4, stream="stderr"), line(2, "ng", "stderr")]
    assert passed(continuity, *lines[:2]) == lines[:2]
    assert continuity.settled


def test_one_enormous_line_may_come_again() -> None:
    """A line that is larger than all that is kept is still recognised."""
    continuity = begun(MEGABYTE)
    lines = [line(1), line(2, "x" * 2_000_000)]
    assert passed(continuity, *lines) == lines
    assert passed(continuity, lines[1], line(3)) == [line(3)]


def test_more_repeated_lines_than_are_kept_are_odd() -> None:
    """The log shows whether lines are new if they are not among the newest."""
    continuity = begun(MEGABYTE)
    lines = [line(number / 100) for number in range(10_000)]
    assert passed(continuity, *lines) == lines
    assert passed(continuity, lines[5]) == []
    assert continuity.odd


def test_lines_of_a_rotated_log_are_not_delayed_for_long() -> None:
    """A stream of a rotated log must not lag because of its reader."""
    assert rotation.longest(container(), 0.1) == 0.1
    assert rotation.longest(container(rotates_at=MEGABYTE), 0.1) < 0.1


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), max_size=40), st.data())
def test_any_repetition_and_any_split_into_reads(
    pairs: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Whatever the engine repeats, and however it is read, each line is published once."""
    at = 0
    log = []
    for index, (step, text) in enumerate(pairs):
        at += step
        log.append(line(at + index / 1_000, text))
    given_lines: list[Line] = []
    for index in range(len(log)):
        given_lines.append(log[index])
        if data.draw(st.integers(0, 4)) == 0:
            # The engine reads the current file from its beginning, up to where it was.
            given_lines += log[data.draw(st.integers(0, index)) : index + 1]
    continuity = begun(100 * MEGABYTE)
    got: list[Line] = []
    while given_lines:
        size = data.draw(st.integers(1, 7))
        got += passed(continuity, *given_lines[:size])
        given_lines = given_lines[size:]
    assert got == log
