"""A connection with somebody at its other end."""

from __future__ import annotations

import _socket
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import gevent
import gevent.socket
import pytest

from api.server.keepalive import ConnectionRegistry
from api.websocket import frames
from api.websocket.connection import Connection
from mist.settings import StreamSettings

_DEADLINE_SECONDS: Final = 10.0


class Peer:
    """The client's end of a connection, as raw as it gets; its waits have a deadline."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def frame(self) -> tuple[int, bytes]:
        """The opcode and payload of the next frame."""
        head = self._exactly(2)
        head += self._exactly({126: 2, 127: 8}.get(head[1] & 0x7F, 0))
        header = frames.read_header(head)
        assert header is not None
        assert header.final
        assert not header.masked
        return header.opcode, self._exactly(header.length)

    def close_frame(self) -> tuple[int | None, str]:
        """Code and reason of the next frame, which is a close frame."""
        opcode, payload = self.frame()
        assert opcode == frames.Opcode.CLOSE
        code = int.from_bytes(payload[:2], "big") if payload else None
        return code, payload[2:].decode()

    def at_end(self) -> bool:
        """Whether the other side has ended, as it should, without a reset."""
        with gevent.Timeout(_DEADLINE_SECONDS):
            return bool(self.sock.recv(1) == b"")

    def _exactly(self, length: int) -> bytes:
        data = b""
        with gevent.Timeout(_DEADLINE_SECONDS):
            while len(data) < length:
                more = self.sock.recv(length - len(data))
                assert more, "the connection ended within a frame"
                data += more
        return data


class Source:
    """Gives one list of buffers after the other."""

    def __init__(self, *turns: list[bytes]) -> None:
        self._turns = list(turns)

    def take(self) -> list[bytes]:
        """The next list."""
        return self._turns.pop(0) if self._turns else []

    def give(self, turn: list[bytes]) -> None:
        """Have one more."""
        self._turns.append(turn)


class Pair(NamedTuple):
    """A connection, the registry of its worker, and its client."""

    connection: Connection
    registry: ConnectionRegistry
    peer: Peer


MakePair = Callable[..., Pair]


@pytest.fixture
def connect() -> Iterator[MakePair]:
    """Makes pairs; the arguments are settings of the section ``[streams]``."""
    made: list[Pair] = []

    def make(early: bytes = b"", **limits: Any) -> Pair:
        registry = ConnectionRegistry(StreamSettings(**limits))
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        sock = _socket.socket(fileno=ours.detach())
        peer = Peer(gevent.socket.socket(socket.AF_UNIX, fileno=theirs.detach()))
        pair = Pair(Connection(sock, registry, early), registry, peer)
        made.append(pair)
        return pair

    yield make
    for pair in made:
        pair.connection.abort()
        with contextlib.suppress(OSError):
            pair.peer.sock.close()
    gevent.sleep(0)


def eventually(condition: Callable[[], object]) -> None:
    """Let the event loop run until a condition holds."""
    with gevent.Timeout(_DEADLINE_SECONDS):
        while not condition():
            gevent.sleep(0.005)
