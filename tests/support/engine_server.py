"""An engine that gives prepared answers, for the clients that speak HTTP to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from mist.settings import EngineSettings, Settings


class EngineServer:
    """Answers requests by path, with another method than GET in front; 404 if it is unknown."""

    def __init__(self, port: int) -> None:
        self.settings = Settings(
            engine=EngineSettings(host=f"tcp://127.0.0.1:{port}", timeout_seconds=10)
        )
        self.answers: dict[str, tuple[int, bytes]] = {}
        """The status and body of each path, without the version in front of it."""
        self.computed: dict[str, Callable[[dict[str, str]], tuple[int, bytes]]] = {}
        """Functions that return the status and body for the query of each path."""
        self.queries: list[tuple[str, dict[str, str]]] = []
        """The path and query of each request."""
        self.bodies: list[bytes] = []
        """The bodies of the requests that have one."""
        self.headers: list[Mapping[str, str]] = []
        """The headers of each request."""

    def answer(self, path: str, body: object, status: int = 200) -> None:
        """Prepare an answer; anything but bytes is encoded as JSON."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = status, encoded

    def reply(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        """Return the answer to a request."""
        parts = urlsplit(target)
        path = parts.path
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        if method != "GET":
            path = f"{method} {path}"
        query = dict(parse_qsl(parts.query))
        self.queries.append((path, query))
        if path in self.computed:
            return self.computed[path](query)
        return self.answers.get(path, (404, b'{"message": "page not found"}'))


@contextmanager
def serving() -> Iterator[EngineServer]:
    """Run an engine for the duration of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if size := int(self.headers.get("Content-Length", 0)):
                engine.bodies.append(self.rfile.read(size))
            engine.headers.append(dict(self.headers))
            status, body = engine.reply(self.path, self.command)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names of http.server

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    engine = EngineServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
