"""A client that sends bytes as they are, and whose waits have a deadline."""

from __future__ import annotations

from typing import Any


class RawClient:
    """A connected socket: one of the standard library, or gevent's own."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def head(self) -> str:
        """Read the response's status line and headers and not a byte more."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self.exactly(1)
        return data.decode("latin-1")

    def exactly(self, length: int) -> bytes:
        """Return exactly that many bytes."""
        data = b""
        while len(data) < length:
            more = self.sock.recv(length - len(data))
            assert more, f"the connection ended after {data!r}"
            data += more
        return data
