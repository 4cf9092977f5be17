"""Tests of the shared ring and its cursors."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from api.live.ring import Cursor, Ring
from api.websocket.frames import payloads, text_frames
from bus.wire import Kind
from mist import clock, messages


def stamp(number: int) -> str:
    """Return the time stamp of the line with this number."""
    return clock.rfc3339(1_700_000_000_000_000_000 + number * 1_000)


def append(ring: Ring, first: int, count: int) -> None:
    """Append lines ``first`` to ``first + count - 1`` as one chunk."""
    numbers = range(first, first + count)
    body = b"\n".join(messages.log(stamp(n), str(n), "stdout") for n in numbers)
    ring.append(text_frames(body), Kind.LOG, count, stamp(numbers[-1]))


def filled(*counts: int, lines: int = 1_000) -> Ring:
    """Return a ring with chunks of these sizes, numbered from 0."""
    ring, first = Ring(lines, 10_000_000), 0
    for count in counts:
        append(ring, first, count)
        first += count
    return ring


def decoded(buffers: list[bytes]) -> list[dict[str, object]]:
    """Return the messages in the frames."""
    frames = b"".join(buffers)
    return [json.loads(frames[payload:end]) for _, payload, end in payloads(frames)]


def numbers(buffers: list[bytes]) -> list[int]:
    """Return the numbers of the lines in the frames."""
    return [int(message["data"]["line"]) for message in decoded(buffers)]  # type: ignore[index]


def drain(cursor: Cursor) -> list[bytes]:
    """Return everything that a cursor has to give now."""
    taken: list[bytes] = []
    while buffers := cursor.take():
        taken += buffers
    return taken


def test_clients_are_given_the_very_same_buffer() -> None:
    """Frames are encoded once for any number of clients."""
    ring = filled()
    cursors = [Cursor(ring, []) for _ in range(2)]
    append(ring, 0, 10)
    first, second = (cursor.take() for cursor in cursors)
    assert first[0] is second[0]


def test_cursor_begins_at_the_head() -> None:
    """A new cursor starts at the head; earlier lines come from the client's prelude."""
    ring = filled(3)
    cursor = Cursor(ring, [b"prelude"])
    append(ring, 3, 2)
    assert cursor.take() == [b"prelude"]
    assert numbers(drain(cursor)) == [3, 4]


def test_slow_cursor_is_told_how_many_lines_it_missed() -> None:
    """A cursor that fell off the ring resumes at its oldest line and counts the lost ones."""
    ring = filled(lines=10)
    cursor = Cursor(ring, [])
    for first in range(0, 20, 5):
        append(ring, first, 5)
    buffers = drain(cursor)
    assert decoded(buffers)[0]["type"] == "skipped"
    assert decoded(buffers)[0]["data"] == {
        "lines": 10,
        "reason": "slow",
        "message": "10 lines skipped: connection too slow",
    }
    assert numbers(buffers[1:]) == list(range(10, 20))


def test_cursor_stops_where_it_is_told_to() -> None:
    """A client whose stream is over gets nothing of the stream after it."""
    ring = filled()
    cursor = Cursor(ring, [])
    append(ring, 0, 2)
    cursor.stop_here()
    append(ring, 2, 2)
    assert numbers(drain(cursor)) == [0, 1]


def test_ring_is_bounded_in_bytes() -> None:
    """The ring drops its oldest chunks, but keeps the newest whatever its size."""
    ring = Ring(1_000, 100)
    for first in range(3):
        append(ring, first, 1)
    assert (ring.tail, ring.head) == (2, 3)


def test_tail_leaves_out_other_kinds() -> None:
    """A status is not part of the tail."""
    ring = filled(2)
    ring.append(text_frames(b'{"type":"status"}'), Kind.STATUS)
    append(ring, 2, 2)
    assert numbers(ring.tail_frames(3)) == [1, 2, 3]


@given(st.lists(st.integers(1, 7), max_size=20), st.integers(0, 150))
def test_tail_is_the_end_of_all_lines(counts: list[int], wanted: int) -> None:
    """The tail is exactly the last lines, however they were chunked."""
    everything = list(range(sum(counts)))
    assert (
        numbers(filled(*counts).tail_frames(wanted))
        == everything[max(0, len(everything) - wanted) :]
    )


@given(st.lists(st.integers(1, 7), max_size=20))
def test_times_of_all_lines(counts: list[int]) -> None:
    """Times come newest first, however the lines were chunked; a status has none."""
    ring = filled(*counts)
    ring.append(text_frames(b'{"type":"status"}'), Kind.STATUS)
    assert list(ring.timestamps()) == [stamp(n) for n in reversed(range(sum(counts)))]


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=40))
def test_lines_given_and_skipped_add_up(steps: list[tuple[int, bool]]) -> None:
    """Every line since the client joined is either delivered or counted as skipped."""
    ring, first, seen = Ring(12, 1_000_000), 0, 0
    cursor = Cursor(ring, [])
    for count, reads in [*steps, (1, True)]:
        append(ring, first, count)
        first += count
        for message in decoded(drain(cursor)) if reads else []:
            data = message["data"]
            assert isinstance(data, dict)
            if message["type"] == "skipped":
                seen += data["lines"]
            else:
                assert data["line"] == str(seen)
                seen += 1
    assert seen == first
