"""Tests of descriptors that go from one process to another."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from mist.descriptors import receive_descriptors, send_descriptors

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_descriptor_arrives_for_this_process_alone(pair: Pair) -> None:
    """It is another number for the same file, which programs do not inherit."""
    ours, theirs = pair
    with open(os.memfd_create("x"), "wb") as file:
        file.write(b"text")
        file.flush()
        send_descriptors(ours, b"!", [file.fileno()])
        data, [received], truncated = receive_descriptors(theirs, 10, 1)
        assert (data, truncated) == (b"!", False)
        assert not os.get_inheritable(received)
        with open(received, "rb") as same:
            assert os.pread(same.fileno(), 10, 0) == b"text"


def test_data_without_a_descriptor(pair: Pair) -> None:
    """Nothing is made up."""
    ours, theirs = pair
    ours.sendall(b"!")
    assert receive_descriptors(theirs, 10, 1) == (b"!", [], False)


def test_more_descriptors_than_there_is_room_for(pair: Pair) -> None:
    """Those that fit arrive, and no more."""
    ours, theirs = pair
    send_descriptors(ours, b"!", [0] * 8)
    _, received, truncated = receive_descriptors(theirs, 10, 1)
    for each in received:
        os.close(each)
    assert len(received) == 1
    assert truncated


def test_a_full_connection_is_not_waited_for(pair: Pair) -> None:
    """The sender goes on although the receiver takes nothing."""
    ours, _ = pair

    def fill() -> None:
        for _ in range(100_000):
            send_descriptors(ours, b"x" * 1_000, [0])

    with pytest.raises(BlockingIOError):
        fill()
