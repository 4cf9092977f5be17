"""The times at which a reader sends what it has found."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mist.read_request import LENGTH, ReadRequest
from workers.reader.answer import Answer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection, the reader's first."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def begun(connection: socket.socket, **request: Any) -> Answer:
    """Return an answer in plain text whose lines are not old enough to be sent."""
    return Answer(connection, ReadRequest(user="ada", format="text", **request), 10)


def test_few_lines_wait_for_more(pair: tuple[socket.socket, socket.socket]) -> None:
    """Hold back a small buffer until it is sent by force."""
    ours, theirs = pair
    answer = begun(ours)
    answer.lines([])
    answer.lines([(b"", 1, b"one")])
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    answer.flush(force=True)
    assert theirs.recv(100) == LENGTH.pack(4) + b"one\n"


def test_many_lines_are_sent_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """Send a large buffer without being asked, so that it does not grow."""
    ours, theirs = pair
    with ThreadPoolExecutor(1) as reader, theirs.makefile("rb") as received:
        sent = reader.submit(begun(ours).lines, [(b"", 1, b"x" * 65_535)])
        assert received.read(LENGTH.size) == LENGTH.pack(65_536)
        assert received.read(65_536) == b"x" * 65_535 + b"\n"
        sent.result(10)


def test_compressed_lines_can_be_read_before_the_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Flush the compressor with the buffer."""
    ours, theirs = pair
    answer = begun(ours, gzip=True)
    answer.lines([(b"", 1, b"one")])
    answer.flush(force=True)
    data = theirs.recv(1_000)
    assert zlib.decompressobj(31).decompress(data[LENGTH.size :]) == b"one\n"
