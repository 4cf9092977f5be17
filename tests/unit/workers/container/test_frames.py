"""Tests of the parser of the engine's log stream."""

from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.container import frames
from workers.container.frames import PIECE_BYTES, TRUNCATED, Line, Multiplexed, Terminal, parser

LIMIT = 1_048_576
T1 = "2025-01-15T10:30:00.000000001Z"
T2 = "2025-01-15T10:30:00.000000002Z"


def frame(text: bytes, stream: int = 1, timestamp: str = T1) -> bytes:
    """Return one frame as the engine sends it."""
    payload = timestamp.encode() + b" " + text
    return struct.pack("!BxxxI", stream, len(payload)) + payload


def framed(text: bytes, stream: int = 1, timestamp: str = T1) -> bytes:
    """Return a line split into frames as the engine does it."""
    pieces = [text[i : i + PIECE_BYTES] for i in range(0, len(text), PIECE_BYTES)]
    return b"".join(frame(piece, stream, timestamp) for piece in pieces)


def raw(text: bytes, timestamp: str = T1) -> bytes:
    """Return a terminal's line split as the engine does it."""
    stamp = timestamp.encode() + b" "
    return b"".join(stamp + text[i : i + PIECE_BYTES] for i in range(0, len(text), PIECE_BYTES))


def test_a_frame_is_a_line() -> None:
    """A frame has a time stamp, a stream and a text without its newline."""
    assert Multiplexed(LIMIT).feed(frame(b"hello\n", 2)) == [Line(T1, "stderr", "hello")]


def test_an_empty_line_is_a_line() -> None:
    """An empty line is a line."""
    assert Multiplexed(LIMIT).feed(frame(b"\n")) == [Line(T1, "stdout", "")]


def test_pieces_are_joined_by_stream() -> None:
    """Interleaved pieces of stdout and stderr are joined separately."""
    data = frame(b"a" * PIECE_BYTES) + frame(b"x\n", 2, T2) + frame(b"b\n")
    assert Multiplexed(LIMIT).feed(data) == [
        Line(T2, "stderr", "x"),
        Line(T1, "stdout", "a" * PIECE_BYTES + "b"),
    ]


def test_a_character_split_between_pieces_is_whole() -> None:
    """UTF-8 is decoded after the pieces are joined."""
    text = ("x" * (PIECE_BYTES - 1) + "é").encode() + b"\n"
    assert Multiplexed(LIMIT).feed(framed(text))[0].text == "x" * (PIECE_BYTES - 1) + "é"


def test_invalid_utf8_is_replaced() -> None:
    """Invalid bytes become U+FFFD; control sequences pass."""
    data = frame(b"\x1b[31m\xff\xfered\x1b[0m\n")
    assert Multiplexed(LIMIT).feed(data)[0].text == "\x1b[31m��red\x1b[0m"


def test_a_line_that_never_ended_is_followed_by_another() -> None:
    """After a restart a new line does not continue an unfinished one, as its time stamp shows."""
    one = Multiplexed(LIMIT)
    assert one.feed(frame(b"dying") + frame(b"born\n", timestamp=T2)) == [
        Line(T1, "stdout", "dying"),
        Line(T2, "stdout", "born"),
    ]
    assert one.joined == 0


def test_finish_gives_the_line_that_never_ended() -> None:
    """``finish`` returns the unfinished line of a container that has ended."""
    one = Multiplexed(LIMIT)
    assert one.feed(frame(b"dying")) == []
    assert one.finish() == [Line(T1, "stdout", "dying")]
    assert one.finish() == []


def test_a_last_piece_without_a_newline_ends_its_line() -> None:
    """A long line of the log driver local is given at once, because its last piece is short."""
    one = Multiplexed(LIMIT)
    for end in (b"", b"b", b"b" * (PIECE_BYTES - 1)):
        data = frame(b"a" * PIECE_BYTES) + frame(end)
        assert one.feed(data) == [Line(T1, "stdout", "a" * PIECE_BYTES + end.decode())]
    assert one.joined == 3
    assert one.unfinished == []


def test_pieces_that_end_no_line_are_counted() -> None:
    """Pieces without a newline are counted, because the engine's tail counts them."""
    one = Multiplexed(LIMIT)
    one.feed(framed(b"x" * (3 * PIECE_BYTES) + b"\n"))
    assert one.joined == 3


@pytest.mark.parametrize("tty", [False, True])
def test_a_line_of_the_limit_is_whole(tty: bool) -> None:
    """A line of 1 MiB is whole."""
    data = (raw if tty else framed)(b"x" * LIMIT + b"\n")
    assert parser(tty, LIMIT).feed(data)[0].text == "x" * LIMIT


@pytest.mark.parametrize("tty", [False, True])
def test_a_longer_line_is_cut(tty: bool) -> None:
    """A line above the limit is cut and marked as cut."""
    data = (raw if tty else framed)(b"x" * (LIMIT + 1) + b"\n")
    assert parser(tty, LIMIT).feed(data)[0].text == "x" * LIMIT + TRUNCATED


@pytest.mark.parametrize("tty", [False, True])
def test_a_cut_spares_characters(tty: bool) -> None:
    """A cut leaves out a split character."""
    data = (raw if tty else framed)(("x" + "é" * LIMIT).encode() + b"\n")
    text = parser(tty, LIMIT).feed(data)[0].text
    assert text == "x" + "é" * ((LIMIT - 1) // 2) + TRUNCATED


@pytest.mark.parametrize("tty", [False, True])
def test_an_endless_line_is_not_kept(tty: bool) -> None:
    """An endless line is bounded in memory, and the next line is read."""
    one = parser(tty, 10)
    encode = raw if tty else framed
    for _ in range(200):
        assert one.feed(encode(b"y" * PIECE_BYTES)) == []
    lines = one.feed(encode(b"\n") + encode(b"next\n", timestamp=T2))
    assert [line.text for line in lines] == ["y" * 10 + TRUNCATED, "next"]


def test_the_engines_complaint_is_no_line() -> None:
    """Output without a time stamp is the engine's own complaint."""
    one = Multiplexed(LIMIT)
    text = b"Error grabbing logs: unexpected EOF\n"
    data = frame(b"last\n") + struct.pack("!BxxxI", 2, len(text)) + text + frame(b"not read\n")
    assert one.feed(data) == [Line(T1, "stdout", "last")]
    assert one.failure == "Error grabbing logs: unexpected EOF"


def test_a_stream_without_frames_is_refused() -> None:
    """A stream without frames is refused instead of read as a huge length."""
    one = Multiplexed(LIMIT)
    assert one.feed(b"HTTP, or whatever else") == []
    assert one.failure


def test_a_time_stamp_of_another_zone_is_read() -> None:
    """Time stamps of any zone are read, because some log drivers keep the machine's."""
    data = frame(b"x\n", timestamp="2025-01-15T12:30:00.000000001+02:00")
    assert Multiplexed(LIMIT).feed(data) == [Line(T1, "stdout", "x")]


def test_a_terminals_line_loses_its_carriage_return() -> None:
    """A terminal's line loses its final CR only."""
    assert Terminal(LIMIT).feed(raw(b"10%\r20%\r\n")) == [Line(T1, "stdout", "10%\r20%")]


def test_a_terminals_long_line_loses_its_inner_time_stamps() -> None:
    """A terminal's long line loses the time stamps that the engine repeats at each piece."""
    one = Terminal(LIMIT)
    text = b"z" * (2 * PIECE_BYTES + 5)
    assert one.feed(raw(text + b"\r\n")) == [Line(T1, "stdout", text.decode())]
    assert one.joined == 2


def stored(text: bytes) -> list[bytes]:
    """Return a terminal's line as json-file stores it: pieces without invalid bytes."""
    pieces = [text[i : i + PIECE_BYTES] for i in range(0, len(text), PIECE_BYTES)]
    # Go replaces each invalid byte, not each sequence of them as Python does.
    escaped = [piece.decode("utf-8", "surrogateescape") for piece in pieces]
    return [re.sub("[\udc80-\udcff]", "\ufffd", one).encode() for one in escaped]


@given(
    st.lists(st.sampled_from(["漢", "é", "😀", "a", "\ufffd"]), min_size=1, max_size=7),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_a_terminals_pieces_may_begin_within_a_character(
    alphabet: list[str], before: int, pieces: int
) -> None:
    """Characters that the engine cut make the pieces longer than 16,384 bytes."""
    unit = "".join(alphabet)
    size = len(unit.encode())
    text = ("b" * before + unit * (pieces * PIECE_BYTES // size)).encode()
    parts = stored(text)
    one = Terminal(LIMIT)
    stamp = T1.encode() + b" "
    [line] = one.feed(b"".join(stamp + part for part in parts) + b"\r\n")
    assert line.text.encode() == b"".join(parts)
    assert one.joined == len(parts) - 1


@pytest.mark.parametrize("size", [1, PIECE_BYTES - 2, PIECE_BYTES - 1, PIECE_BYTES, 40_000])
@pytest.mark.parametrize("part", [1_000, 1_000_000])
def test_a_terminals_long_line_may_lack_its_newline(size: int, part: int) -> None:
    """The log driver local ends a line of several pieces with the next line's time stamp."""
    one = Terminal(LIMIT)
    times = [f"2025-01-15T10:30:00.00000000{number}Z" for number in range(4)]
    long = b"x" * (PIECE_BYTES - 1) + b"y" * size
    # A multiple of the size ends with an empty piece.
    texts = [raw(long + b"\r", time) for time in times[:3]]
    if len(long + b"\r") % PIECE_BYTES == 0:
        texts = [text + time.encode() + b" " for text, time in zip(texts, times, strict=False)]
    data = b"".join(texts) + raw(b"end\r\n", times[3])
    got = [line for i in range(0, len(data), part) for line in one.feed(data[i : i + part])]
    assert [(line.timestamp, line.text) for line in got] == [
        *((time, long.decode()) for time in times[:3]),
        (times[3], "end"),
    ]


def test_a_terminals_last_line_is_not_part_of_the_long_one_before_it() -> None:
    """A long line without its newline ends before a line that never ended."""
    one = Terminal(LIMIT)
    long = b"x" * (PIECE_BYTES + 1)
    got = one.feed(raw(long + b"\r", T1) + raw(b"$ ", T2)) + one.finish()
    assert got == [Line(T1, "stdout", long.decode()), Line(T2, "stdout", "$ ")]


@pytest.mark.parametrize("part", [1_000, 16_390, 1_000_000])
def test_a_time_within_a_terminals_pieces_is_text(part: int) -> None:
    """A later piece may print a time after that of the first, which all pieces carry."""
    text = (b"x" * PIECE_BYTES + b"\r" + T2.encode() + b" 50%").ljust(3 * PIECE_BYTES, b".")
    one, data = Terminal(LIMIT), raw(text + b"\r\n")
    got = [line for i in range(0, len(data), part) for line in one.feed(data[i : i + part])]
    assert got == [Line(T1, "stdout", text.decode())]


def test_a_terminals_growing_line_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole line is not searched for another one with each of its pieces."""
    searches: list[bytes] = []

    def search(text: bytes, _stamp: bytes) -> list[int]:
        searches.append(text)
        return []

    monkeypatch.setattr(frames, "_repetitions", search)
    one = Terminal(LIMIT)
    for _ in range(10):
        assert one.feed(raw(b"x" * PIECE_BYTES)) == []
    assert searches == []


def test_a_time_in_a_terminals_long_line_is_text() -> None:
    """Times that a program prints are not after the engine's time stamp."""
    text = b"x" * PIECE_BYTES + b"\r" + T1.encode() + b" \r" + T2.encode() + b" y"
    assert Terminal(LIMIT).feed(raw(text + b"\r\n", T2)) == [Line(T2, "stdout", text.decode())]


def test_a_terminals_prompt_is_given_at_the_end() -> None:
    """A prompt without a newline is returned at the end."""
    one = Terminal(LIMIT)
    assert one.feed(raw(b"$ ")) == []
    assert one.finish() == [Line(T1, "stdout", "$ ")]
    assert one.finish() == []


def test_a_terminals_complaint_is_no_line() -> None:
    """A terminal's stream can contain the engine's complaint as well."""
    one = Terminal(LIMIT)
    assert one.feed(b"Error grabbing logs: unexpected EOF\n" + raw(b"x\n")) == []
    assert one.failure == "Error grabbing logs: unexpected EOF"


_texts = st.binary(max_size=60).map(lambda text: text.replace(b"\n", b""))
_long = st.integers(PIECE_BYTES - 3, 2 * PIECE_BYTES + 3).map(lambda size: b"q" * size)
_lines = st.lists(st.tuples(st.sampled_from([1, 2]), st.one_of(_texts, _texts, _long)), max_size=5)
_splits = st.lists(st.integers(1, 300), min_size=1, max_size=30)


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return ``data`` split into parts of these sizes, repeated as needed."""
    parts, index = [], 0
    factor = 1 + len(data) // 1_000
    while data:
        size = sizes[index % len(sizes)] * factor
        parts.append(data[:size])
        data, index = data[size:], index + 1
    return parts


@given(_lines, _splits)
def test_any_split_of_frames_gives_the_same_lines(
    lines: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    """Frames give the same lines however the stream is split."""
    stamps = [f"2025-01-15T10:30:00.{number:09d}Z" for number in range(len(lines))]
    data = b"".join(
        framed(text + b"\n", stream, stamp)
        for (stream, text), stamp in zip(lines, stamps, strict=True)
    )
    one = Multiplexed(LIMIT)
    got = [line for part in split(data, sizes) for line in one.feed(part)]
    names = {1: "stdout", 2: "stderr"}
    assert [(line.timestamp, line.stream, line.text) for line in got] == [
        (stamp, names[stream], text.decode("utf-8", "replace"))
        for (stream, text), stamp in zip(lines, stamps, strict=True)
    ]


@given(_lines, _splits)
def test_any_split_of_a_terminals_stream_gives_the_same_lines(
    lines: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    """A terminal's stream gives the same lines however it is split."""
    data = b"".join(raw(text + b"\r\n", T2) for _, text in lines)
    one = Terminal(LIMIT)
    got = [line.text for part in split(data, sizes) for line in one.feed(part)]
    assert got == [text.decode("utf-8", "replace") for _, text in lines]
