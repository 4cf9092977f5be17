"""A connection and its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import gevent

from api.server.keepalive import ConnectionRegistry
from api.websocket import frames
from api.websocket.connection import Connection

_DEADLINE_SECONDS: Final = 10.0


class Peer:
    """The client's end of a connection as a raw socket; every wait has a deadline."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def frame(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame."""
        head = self._exactly(2)
        head += self._exactly({126: 2, 127: 8}.get(head[1] & 0x7F, 0))
        header = frames.read_header(head)
        assert header is not None
        assert header.final
        assert not header.masked
        return header.opcode, self._exactly(header.length)

    def close_frame(self) -> tuple[int | None, str]:
        """Return the code and reason of the next frame, which must be a close frame."""
        opcode, payload = self.frame()
        assert opcode == frames.Opcode.CLOSE
        code = int.from_bytes(payload[:2], "big") if payload else None
        return code, payload[2:].decode()

    def at_end(self) -> bool:
        """Return True if the server has closed the connection, without a reset."""
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
    """A source that gives one list of buffers after another."""

    def __init__(self, *turns: list[bytes]) -> None:
        self._turns = list(turns)

    def take(self) -> list[bytes]:
        """Return the next list."""
        return self._turns.pop(0) if self._turns else []

    def give(self, turn: list[bytes]) -> None:
        """Add a list."""
        self._turns.append(turn)


class Pair(NamedTuple):
    """A connection, its worker's registry, and its client."""

    connection: Connection
    registry: ConnectionRegistry
    peer: Peer


MakePair = Callable[..., Pair]
