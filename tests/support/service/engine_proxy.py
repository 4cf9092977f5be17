"""A proxy in front of an engine's socket that forbids requests and cuts answers."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.support.service.janitor import scratch

_REQUEST: Final = re.compile(rb"[A-Z]+ (?:/v1\.\d+)?(/[^ ?]*)")
_FORBIDDEN: Final = (
    b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<h1>403 Forbidden</h1>\n"
)


class EngineProxy:
    """Passes requests on, except those whose path begins with one of ``forbidden``."""

    def __init__(self, engine: Path) -> None:
        self.forbidden: set[str] = set()
        self.late: set[str] = set()
        """The beginnings of paths that are forbidden only after half a second."""
        self.silent: set[str] = set()
        """The beginnings of paths that get no answer."""
        self.dropped: set[str] = set()
        """The beginnings of paths at which the proxy hangs up."""
        self.asked: list[str] = []
        """The path of each request."""
        self._engine = engine
        self._open: list[tuple[str, socket.socket]] = []
        self._server = socket.socket(socket.AF_UNIX)
        self.path = scratch("mist-proxy-") / "d.sock"
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        """The address for DOCKER_HOST."""
        return f"unix://{self.path}"

    def cut(self, path: str) -> int:
        """Cut the answers that are under way to requests for a path; return their number."""
        cut = [connection for asked, connection in self._open if asked == path]
        self._open = [each for each in self._open if each[1] not in cut]
        for connection in cut:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def close(self) -> None:
        """Close everything."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for path in {path for path, _ in self._open}:
            self.cut(path)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as upstream:
            head = client.recv(65_536)  # the requests of these tests have no bodies
            match = _REQUEST.match(head)
            path = match[1].decode() if match else ""
            self.asked.append(path)
            if path.startswith(tuple(self.late)):
                time.sleep(0.5)
            if path.startswith((*self.forbidden, *self.late)):
                client.sendall(_FORBIDDEN)
                return
            if path.startswith(tuple(self.dropped)):
                return
            if path.startswith(tuple(self.silent)):
                client.recv(1)
                return
            upstream.connect(str(self._engine))
            upstream.sendall(head)
            self._open.append((path, client))
            while data := upstream.recv(65_536):
                client.sendall(data)


@contextmanager
def proxied(engine: Path) -> Iterator[EngineProxy]:
    """Run a proxy for the duration of the block."""
    proxy = EngineProxy(engine)
    try:
        yield proxy
    finally:
        proxy.close()
