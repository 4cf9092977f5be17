"""Tests of the write buffer: partial writes neither lose nor tear a frame."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.websocket.frames import payloads, ping_frame, text_frame
from api.websocket.write_buffer import WriteBuffer

contents = st.lists(st.binary(max_size=300), min_size=1, max_size=5)
buffers = st.lists(
    contents.map(lambda texts: b"".join(text_frame(text) for text in texts)), max_size=6
)


def written(buffer: WriteBuffer, most: int) -> bytes:
    """Return what a socket with room for ``most`` bytes takes."""
    data = b"".join(buffer.vector())[:most]
    buffer.advance(len(data))
    return data


def everything(buffer: WriteBuffer) -> bytes:
    """Return everything that is left."""
    data = b""
    while more := written(buffer, 1_000_000):
        data += more
    return data


def messages(data: bytes) -> list[bytes]:
    """Return the payloads of frames, which must be complete."""
    return [data[start:end] for _, start, end in payloads(data)]


@given(buffers, st.integers(0, 4_000))
def test_an_inserted_frame_waits_for_the_frame_being_written(frames: list[bytes], at: int) -> None:
    """An inserted frame waits for the frame being written only; the rest keeps its order."""
    buffer = WriteBuffer()
    shared = tuple(frames)
    buffer.buffers = shared
    begun = written(buffer, at)
    buffer.insert(ping_frame(b"ping"))
    got = messages(begun + everything(buffer))
    place = got.index(b"ping")
    assert got[:place] + got[place + 1 :] == messages(b"".join(frames))
    assert len(b"".join(text_frame(text) for text in got[: max(0, place - 1)])) <= at
    assert shared == tuple(frames)


@given(buffers, st.integers(0, 4_000))
def test_a_cut_leaves_the_frame_being_written(frames: list[bytes], at: int) -> None:
    """A cut keeps the frame being written and nothing else."""
    buffer = WriteBuffer()
    buffer.buffers = frames
    begun = written(buffer, at)
    buffer.cut()
    buffer.append(text_frame(b"last"))
    got = messages(begun + everything(buffer))
    assert got.pop() == b"last"
    assert got == messages(b"".join(frames))[: len(got)]
    assert len(b"".join(text_frame(text) for text in got[:-1])) <= at


@pytest.mark.parametrize("count", [1, 3, 1_000])
def test_a_socket_that_fills_up(count: int) -> None:
    """A full socket takes a part, and the rest follows byte for byte."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        buffer = WriteBuffer()
        frames = [text_frame(b"%d " % number + b"x" * 2_000) for number in range(count)]
        buffer.buffers = [text_frame(b"y" * 1_000_000), *frames]
        received, wanted = b"", b"".join(buffer.buffers)
        while buffer.buffers:
            try:
                buffer.write(ours.fileno())
            except BlockingIOError:
                received += os.read(theirs.fileno(), 300_000)
        assert buffer.offset == 0
        ours.shutdown(socket.SHUT_WR)
        while more := theirs.recv(1_000_000):
            received += more
        assert received == wanted
