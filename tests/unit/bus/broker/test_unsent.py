"""Tests of the bytes in libzmq's queues, with real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from bus.broker.unsent import Unsent
from tests.support.wait import wait_until

Socket = zmq.Socket[bytes]
LIMIT = 25_000
BODY = b"x" * 10_000


@pytest.fixture
def pair() -> Iterator[tuple[Socket, Socket]]:
    """Two connected sockets."""
    with (
        zmq.Context() as context,
        context.socket(zmq.PAIR) as mine,
        context.socket(zmq.PAIR) as other,
    ):
        mine.linger = other.linger = 0
        mine.bind("inproc://x")
        other.connect("inproc://x")
        yield mine, other


def test_what_waits_is_counted(pair: tuple[Socket, Socket]) -> None:
    """Messages count until the receiver has them."""
    mine, other = pair
    unsent = Unsent(LIMIT)
    for peer in (1, 2):
        assert unsent.room(len(BODY))
        unsent.send(mine, [b"head", BODY], peer)
    assert not unsent.room(len(BODY))
    assert (unsent.of(1), unsent.of(2)) == (len(BODY) + 4,) * 2
    assert unsent.oldest(0.0) == 1
    assert unsent.oldest(60.0) is None
    assert other.recv_multipart() == [b"head", BODY]
    wait_until(lambda: unsent.room(len(BODY)), "room")
    wait_until(lambda: unsent.oldest(0.0) == 2, "the second to be the oldest")


def test_one_message_may_be_larger(pair: tuple[Socket, Socket]) -> None:
    """A message larger than the limit passes while nothing waits."""
    mine, other = pair
    unsent = Unsent(LIMIT)
    assert unsent.room(10 * LIMIT)
    unsent.send(mine, [BODY * 10])
    assert not unsent.room(1)
    other.recv()
    wait_until(lambda: unsent.room(10 * LIMIT), "room")
