"""A misconfigured reverse proxy that does not pass WebSockets on."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

import requests

_HOP_BY_HOP: Final = {"connection", "transfer-encoding", "content-length", "content-encoding"}


class DeafProxy:
    """A proxy that forwards ordinary requests to ``target`` and answers every upgrade with 502."""

    def __init__(self, target: str) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target))
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy")
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)


def _handler(target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Upgrade"):
                self.send_error(502)
                return
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def log_message(self, *_: object) -> None:
            """Suppress the log."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key: value for key, value in self.headers.items() if key != "Host"}
            answer = requests.request(
                self.command,
                target + self.path,
                data=body,
                headers=headers | {"Origin": target, "Accept-Encoding": "identity"},
                timeout=30,
                allow_redirects=False,
            )
            self.send_response(answer.status_code)
            for key, value in answer.headers.items():
                if key.lower() not in _HOP_BY_HOP:
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    return Handler
