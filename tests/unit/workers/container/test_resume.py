"""Tests of resuming a reopened stream behind the published lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.container.frames import Line
from workers.container.resume import Deduplicator, ResumePoint, after


def line(number: int, text: str = "x") -> Line:
    """Return a line ``number`` milliseconds after the hour."""
    stamp = f"2025-01-15T10:00:{number // 1000:02d}.{number % 1000:03d}000000Z"
    return Line(stamp, "stdout", text)


def test_without_a_resume_point_everything_is_new() -> None:
    """Without a resume point every line is new."""
    deduplicator = Deduplicator(None)
    assert deduplicator.joined
    assert deduplicator.feed([line(1)]) == [line(1)]


def test_what_follows_the_resume_point_is_new() -> None:
    """Lines behind the resume point are new, in the order of the engine's file."""
    deduplicator = Deduplicator(ResumePoint(line(5)))
    assert deduplicator.feed([line(3), line(6)]) == []
    assert deduplicator.feed([line(5), line(4), line(7)]) == [line(4), line(7)]
    assert deduplicator.feed([line(8)]) == [line(8)]


def test_identical_lines_are_counted() -> None:
    """Identical lines with the same time stamp are counted."""
    deduplicator = Deduplicator(ResumePoint(line(5), repeats=2))
    assert deduplicator.feed([line(5), line(5), line(5), line(6)]) == [line(5), line(6)]


def test_time_stamps_prove_nothing() -> None:
    """Lines are new because of their place, even if a clock was set back before or after."""
    deduplicator = Deduplicator(ResumePoint(line(5)))
    assert deduplicator.feed([line(40_000), line(4)]) == []
    assert deduplicator.feed([line(5), line(1), line(2)]) == [line(1), line(2)]


def test_the_end_of_a_long_resume_point_is_the_resume_point() -> None:
    """A stream may begin within the line that was published last."""
    deduplicator = Deduplicator(ResumePoint(line(5, "a" * 9 + "b")))
    assert deduplicator.feed([line(5, "ab"), line(6)]) == [line(6)]


def test_a_line_that_grew_onto_a_prompt_is_new() -> None:
    """A line that continues a terminal's unfinished line is new."""
    deduplicator = Deduplicator(ResumePoint(line(5, "$ ")))
    grown = line(5, f"$ {line(9).timestamp} hello")
    assert deduplicator.feed([line(4), grown, line(10)]) == [line(9, "hello"), line(10)]


def test_the_resume_point_moves_with_what_is_published() -> None:
    """The resume point follows the published lines and counts repetitions across messages."""
    point = after(None, [line(1)])
    assert point == ResumePoint(line(1), 1)
    assert after(point, []) == point
    assert after(point, [line(1), line(1)]) == ResumePoint(line(1), 3)
    assert after(point, [line(1), line(2), line(2)]) == ResumePoint(line(2), 2)
    assert after(point, [line(2), line(1)]) == ResumePoint(line(1), 1)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab")), min_size=1, max_size=30),
    st.data(),
)
def test_every_line_once_wherever_the_stream_broke(
    pairs: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Wherever the stream broke, each line comes once, even if lines are equal or out of order."""
    log = [line(10 * index + jitter, text) for index, (jitter, text) in enumerate(pairs)]
    broken = data.draw(st.integers(1, len(log)))
    reopened = data.draw(st.integers(0, broken - 1))
    deduplicator = Deduplicator(after(None, log[:broken]))
    again = log[0 if log[reopened:broken].count(log[broken - 1]) else reopened :]
    assert log[:broken] + deduplicator.feed(again) == log
