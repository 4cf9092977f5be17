"""Tests of the connections of a bound socket, with plain connections as its peers."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bus.broker.peers import Peers
from tests.support.wait import wait_until


class House:
    """A bound socket with room for two connections."""

    def __init__(self, path: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.path = path
        self.kept: set[int] = set()
        self.gone: list[int] = []
        self.visitors: list[socket.socket] = []
        self.bound = context.socket(zmq.XPUB)
        self.bound.linger = 0
        self.peers = Peers(
            self.bound, "events", 2, keep=self.kept.__contains__, gone=self.gone.append
        )
        self.bound.bind(f"ipc://{path}")

    def connect(self) -> socket.socket:
        """Return a new connection; wait until it is taken note of."""
        before = list(self.peers._peers)
        visitor = socket.socket(socket.AF_UNIX)
        visitor.settimeout(20)
        visitor.connect(str(self.path))
        self.visitors.append(visitor)
        wait_until(lambda: set(self.known()) - set(before), "the connection")
        return visitor

    def known(self) -> list[int]:
        """Return the descriptors of the connections, the one used last at the end."""
        self.peers.update()
        return list(self.peers._peers)

    def await_end(self) -> None:
        """Wait until the end of a connection is taken note of."""

        def noted() -> list[int]:
            self.peers.update()
            return self.gone

        wait_until(noted, "the end of a connection")

    def newest(self) -> int:
        """Return the descriptor of the newest connection."""
        return list(self.peers._peers)[-1]


@pytest.fixture
def house() -> Iterator[House]:
    """A bound socket without connections."""
    with tempfile.TemporaryDirectory(prefix="mist-", dir="/tmp") as name:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        house = House(Path(name) / "events", context)
        yield house
        for visitor in house.visitors:
            visitor.close()
        house.bound.disable_monitor()
        house.peers.close()
        context.destroy(0)


def ended(visitor: socket.socket) -> bool:
    """Read the greeting of libzmq up to the end of the connection."""
    try:
        while visitor.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_connection_that_ends_is_forgotten(house: House) -> None:
    """The end is reported with the descriptor."""
    visitor = house.connect()
    peer = house.newest()
    assert len(house.peers) == 1
    visitor.close()
    house.await_end()
    assert (house.gone, len(house.peers)) == ([peer], 0)


def test_beyond_the_limit_the_idle_connection_is_closed(house: House) -> None:
    """The connection that was used last stays."""
    first = house.connect()
    one = house.newest()
    second = house.connect()
    two = house.newest()
    house.peers.used(one)
    house.connect()
    assert ended(second)
    house.await_end()
    assert house.gone == [two]
    assert not house.peers.is_cut(two)
    first.settimeout(0)
    assert first.recv(4096), "the greeting"
    with pytest.raises(BlockingIOError):
        first.recv(1)


def test_connections_in_use_are_closed_last(house: House) -> None:
    """A connection that is to be kept stays, and a new one that is not kept is closed."""
    house.connect()
    house.kept.add(house.newest())
    house.connect()
    house.kept.add(house.newest())
    assert ended(house.connect())


def test_a_peer_that_is_unknown_is_not_cut(house: House) -> None:
    """A descriptor that is not a connection of the socket stays open."""
    one, other = socket.socketpair()
    with one, other:
        house.peers.used(one.fileno())
        house.peers.cut(one.fileno(), "test")
        assert not house.peers.is_cut(one.fileno())
        one.send(b"x")
        assert other.recv(1) == b"x"


def test_a_peer_that_does_not_read_is_found(house: House) -> None:
    """The peer is the one for which the kernel holds bytes, until it is cut off."""
    reader = house.connect()
    assert reader.recv(4096)
    house.connect()
    deaf = house.newest()
    assert wait_until(house.peers.stalled, "the peer") == deaf
    house.peers.cut(deaf, "test")
    assert house.peers.is_cut(deaf)
    assert house.peers.stalled() is None
    house.await_end()
    assert house.gone == [deaf]
