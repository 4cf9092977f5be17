"""The parsers of bytes give the same lines as those of the collectors, however split."""

from __future__ import annotations

import itertools
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.container import frames
from workers.reader import entries

STAMP = b"2025-01-15T10:30:00.%09dZ"


def framed(pieces: list[tuple[int, int, bytes]]) -> bytes:
    """Return the engine's stream for pieces of a stream, with a time and a text."""
    payloads = [(kind, STAMP % time + b" " + text) for kind, time, text in pieces]
    return b"".join(pack("!BxxxI", kind, len(load)) + load for kind, load in payloads)


@given(
    pieces=st.lists(
        st.tuples(
            st.sampled_from([1, 2]),
            st.integers(0, 3),
            st.sampled_from(
                [b"a\n", b"\n", b"\xff\n", b"open", b"", b"x" * 16_384, "ü\r\n".encode()]
            ),
        ),
        max_size=20,
    ),
    limit=st.sampled_from([1, 20, 40_000, 1 << 20]),
    cuts=st.lists(st.integers(0, 40_000), max_size=5),
)
def test_frames(pieces: list[tuple[int, int, bytes]], limit: int, cuts: list[int]) -> None:
    """Frames are parsed as the collector parses them, up to the decoding."""
    stream = framed(sorted(pieces, key=lambda piece: piece[1]))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    mine, theirs = entries.parser(False, limit), frames.parser(False, limit)
    got, expected = [], []
    for start, end in itertools.pairwise(places):
        got += mine.feed(stream[start:end])
        expected += theirs.feed(stream[start:end])
    got += mine.finish()
    expected += theirs.finish()
    kinds = {"stdout": 1, "stderr": 2}
    assert [
        (stamp.decode(), kind, text.decode("utf-8", "replace")) for stamp, kind, text in got
    ] == [(line.timestamp, kinds[line.stream], line.text) for line in expected]
    assert mine.pieces == theirs.joined


def test_terminal() -> None:
    """Lines of a terminal keep their carriage return, and long ones are joined."""
    stamp = STAMP % 1
    long = stamp + b" " + b"x" * 16_384 + stamp + b" " + b"y" * 10 + b"\r\n"
    parser = entries.parser(True, 1 << 20)
    got = parser.feed(stamp + b" one\r\n" + long[:9_000]) + parser.feed(
        long[9_000:] + stamp + b" $"
    )
    assert got == [(stamp, 1, b"one\r"), (stamp, 1, b"x" * 16_384 + b"y" * 10 + b"\r")]
    assert parser.pieces == 1
    assert parser.finish() == [(stamp, 1, b"$")]


@pytest.mark.parametrize("end", [b"", b"y"])
def test_long_lines_without_a_newline(end: bytes) -> None:
    """The log driver local omits the newline after a line of several pieces."""
    long = b"x" * 16_384
    many = entries.parser(False, 1 << 20)
    assert many.feed(framed([(1, 1, long), (1, 1, end)])) == [(STAMP % 1, 1, long + end)]
    one = entries.parser(True, 1 << 20)
    piece = STAMP % 1 + b" " + long[:-1]
    data = piece + b"\r" + STAMP % 1 + b" " + STAMP % 2 + b" next\r\n"
    assert one.feed(data) == [(STAMP % 1, 1, long[:-1] + b"\r"), (STAMP % 2, 1, b"next\r")]
    assert (many.pieces, one.pieces) == (1, 1)
    # The next line may have no newline either, and come in pieces.
    rest = [line for i in range(0, len(data) - 2, 999) for line in one.feed(data[:-2][i : i + 999])]
    assert [*rest, *one.finish()] == [
        (STAMP % 1, 1, long[:-1] + b"\r"),
        (STAMP % 2, 1, b"next"),
    ]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (pack("!BxxxI", 3, 23) + b"Error grabbing logs: EOF", "Error grabbing logs"),
        (framed([(1, 1, b"a\n")])[:-1], "in the middle of a line"),
        (b"<html>nonsense</html>", "not in the documented format"),
    ],
)
def test_failures(stream: bytes, words: str) -> None:
    """An error of the engine, a broken stream and another format are told."""
    parser = entries.parser(False, 1024)
    parser.feed(stream)
    parser.finish()
    assert words in parser.failure


def test_a_long_line_is_cut_at_a_character() -> None:
    """The mark of a truncated line follows whole characters; other bytes are kept."""
    assert entries.cut("äöü".encode(), 3) == "ä … [truncated]".encode()
    assert entries.cut(b"\xff\xfe\xfd", 2) == b"\xff\xfe" + " … [truncated]".encode()
    assert entries.cut(b"abc", 3) == b"abc"
