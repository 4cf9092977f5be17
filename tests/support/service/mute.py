"""A proxy for an engine whose log streams can fall silent or begin late."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Final

# The head with which the engine answers before it opens the log.
_EARLY: Final = b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


class MutableEngine:
    """A proxy for an engine; ``host`` is its address.

    After :meth:`mute` the open streams stay open without giving anything, as some of the
    engine's do after a rotation of the log. New streams work.
    """

    late = 0.0
    """The time between the answer to a request for a stream and the beginning of the stream, in
    seconds.  The engine takes some if the machine is busy.
    """

    def __init__(self, engine: Path, path: Path) -> None:
        self.host = f"unix://{path}"
        self._engine = str(engine)
        self._muted = 0
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def mute(self) -> None:
        """Silence every stream that is open now."""
        self._muted += 1

    def close(self) -> None:
        """Stop accepting connections."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        """Relay one request and its answer, which ends with the HTTP/1.0 connection."""
        begun = self._muted
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._engine)
            request = _head(client)
            follow = b"follow=1" in request
            early = follow and self.late > 0
            try:
                if early:
                    client.sendall(_EARLY)
                    time.sleep(self.late)  # the time that the engine takes is what is tested
                engine.sendall(request)
                data = _head(engine)
                if early:
                    data = data.partition(b"\r\n\r\n")[2]
                while data or (data := engine.recv(65536)):
                    if not follow or self._muted == begun:
                        client.sendall(data)
                    data = b""
            except OSError:
                return  # the client has closed the connection


def _head(connection: socket.socket) -> bytes:
    """Return what arrives up to the end of a head, and perhaps some more."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(4096)):
        data += piece
    return data
