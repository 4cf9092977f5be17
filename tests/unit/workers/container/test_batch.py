"""Tests of the bodies of bus messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mist import messages
from workers.container import batch
from workers.container.frames import Line

T1 = "2025-01-15T10:30:00.000000001Z"


def test_no_lines_make_no_body() -> None:
    """Without lines there is no body."""
    assert list(batch.encode_batches([], 1024)) == []


def test_a_line_of_its_own_when_it_is_too_large() -> None:
    """A message that is too large gets a body of its own and is not split."""
    lines = [Line(T1, "stdout", "a"), Line(T1, "stdout", "b" * 5000), Line(T1, "stdout", "c")]
    assert [len(body.lines) for body in batch.encode_batches(lines, 1024)] == [1, 1, 1]


@given(st.lists(st.builds(Line, st.just(T1), st.sampled_from(["stdout", "stderr"]), st.text())))
def test_bodies_hold_the_clients_messages(lines: list[Line]) -> None:
    """Bodies contain every line once and in order, exactly as clients receive it."""
    found = list(batch.encode_batches(lines, 1024))
    joined = b"\n".join(body.data for body in found).split(b"\n") if found else []
    assert joined == [messages.log(line.timestamp, line.text, line.stream) for line in lines]
    assert [line for body in found for line in batch.lines_of(body.data)] == lines
    assert all(len(body.data) <= 1024 for body in found if len(body.lines) > 1)
