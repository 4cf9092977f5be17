"""A TCP proxy that breaks connections in various ways."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from typing import Final

_CHUNK: Final = 65536
#: SO_LINGER with a timeout of zero: closing sends a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class CuttingProxy:
    """A proxy to a port of this machine that can break its connections.

    Each method affects the connections that are open now. New ones are passed on as
    before, unless ``refuse`` or ``swallow`` was called.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.accepted = 0
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._refusing = False
        self._swallowing = False
        self._closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Reset both sides (RST)."""
        for pair in self._open():
            pair.reset()

    def hang_up(self) -> None:
        """Close both sides in order (FIN)."""
        for pair in self._open():
            pair.close()

    def half_close(self) -> None:
        """Send nothing more to the client, but keep its connection open."""
        for pair in self._open():
            pair.half_close()

    def stall(self) -> None:
        """Keep the connections open and pass nothing on, like a network that is down."""
        for pair in self._open():
            pair.flowing.clear()

    def flow(self) -> None:
        """Resume the stalled connections."""
        for pair in self._open():
            pair.flowing.set()

    def refuse(self, refusing: bool) -> None:
        """Reset new connections at once, or stop doing so."""
        self._refusing = refusing

    def swallow(self, swallowing: bool) -> None:
        """Accept new connections without passing anything on, or stop doing so."""
        self._swallowing = swallowing

    def close(self) -> None:
        """Close everything."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.reset()

    def _open(self) -> list[_Pair]:
        with self._lock:
            return list(self._pairs)

    def _serve(self) -> None:
        while not self._closed:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refusing:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            service = socket.create_connection(("127.0.0.1", self._target), 10)
            # Data that a slow client has not read must not accumulate here.
            service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        except OSError:
            client.close()
            return
        pair = _Pair(client, service, flowing=not self._swallowing)
        with self._lock:
            self._pairs.add(pair)
        pair.run()
        with self._lock:
            self._pairs.discard(pair)


class _Pair:
    """A client's connection and the one to the service."""

    def __init__(self, client: socket.socket, service: socket.socket, *, flowing: bool) -> None:
        self._client = client
        self._service = service
        self.flowing = threading.Event()
        if flowing:
            self.flowing.set()
        self._over = False

    def run(self) -> None:
        """Relay data in both directions until one side ends."""
        other = {self._client: self._service, self._service: self._client}
        try:
            while not self._over:
                if not self.flowing.wait(0.05):
                    continue
                readable, _, _ = select.select(list(other), [], [], 0.05)
                for side in readable:
                    data = side.recv(_CHUNK)
                    if not data:
                        return
                    other[side].sendall(data)
        except (OSError, ValueError):
            pass  # one side is gone
        finally:
            self.close()

    def reset(self) -> None:
        for side in (self._client, self._service):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._over = True
        self._client.close()
        self._service.close()
