"""A proxy for an engine whose log streams can fall silent."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class MutableEngine:
    """A proxy for an engine; ``host`` is its address.

    After :meth:`mute` the open streams stay open without giving anything, as some of the
    engine's do after a rotation of the log. New streams work.
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
            request = b""
            while b"\r\n\r\n" not in request:
                piece = client.recv(4096)
                if not piece:
                    return
                request += piece
            engine.sendall(request)
            try:
                while data := engine.recv(65536):
                    if b"follow=1" not in request or self._muted == begun:
                        client.sendall(data)
            except OSError:
                return  # the client has closed the connection
