"""Yardstick b, the floor: a loop that writes the same bytes to the same number of sockets.

It does nothing else.  Its sockets block, so it needs no readiness calls and no partial
writes.  Sending these bytes with ``send`` from Python costs at least this much.
"""

from __future__ import annotations

import socket
import time
from multiprocessing.connection import Connection
from typing import Any, Final

from bench.lines import FRAME_BYTES, Stream
from bench.load.handshake import accept_key
from bench.processes import BenchError

# The size of the pieces in which a burst is written.
PIECE_BYTES: Final = 65_536


class Floor:
    """A listening socket and its accepted connections."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._clients: list[socket.socket] = []
        self._data = memoryview(b"")

    def address(self) -> int:
        """Return the port."""
        return int(self._listener.getsockname()[1])

    def accept(self, count: int) -> None:
        """Accept ``count`` clients, each with a WebSocket handshake."""
        for _ in range(count):
            client, _address = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Mist does
            _upgrade(client)
            self._clients.append(client)

    def stream(self, stream: Stream) -> None:
        """Set the data to write."""
        self._data = memoryview(stream.expected())  # slices without copying

    def burst(self, first: int, count: int) -> float:
        """Write lines after the ``first`` ones in pieces of 64 KiB; return CPU seconds."""
        data = self._data[first * FRAME_BYTES : (first + count) * FRAME_BYTES]
        pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
        begin = time.process_time()
        for piece in pieces:
            self._write(piece)
        return time.process_time() - begin

    def drip(self, first: int, count: int, rate: float) -> float:
        """Write ``rate`` lines a second, one at a time; return CPU seconds."""
        begin, due = time.process_time(), time.monotonic()
        for number in range(first, first + count):
            self._write(self._data[number * FRAME_BYTES : (number + 1) * FRAME_BYTES])
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        return time.process_time() - begin

    def _write(self, piece: memoryview) -> None:
        for client in self._clients:
            client.sendall(piece)


def _upgrade(client: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(4_096)
        if not piece:
            raise BenchError("a client of the floor disconnected during the handshake")
        head += piece
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    key = fields.get(b"Sec-WebSocket-Key")
    if key is None:
        raise BenchError("a client of the floor sent no Sec-WebSocket-Key")
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key) + b"\r\n\r\n"
    )


def main(pipe: Connection[Any, Any]) -> None:
    """Handle requests of the bench until the pipe is closed."""
    floor = Floor()
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(floor, name)(*arguments))
