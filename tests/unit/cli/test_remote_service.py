"""Tests of the connection to a service on another machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.remote.service import RemoteError, RemoteService


def _stream(service: RemoteService) -> None:
    with service.stream("/ws/metrics"):
        pass


def _call(service: RemoteService) -> None:
    service.call("GET", "/api/apps")


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/ws", "https://mist.example/", "/login"])
@pytest.mark.parametrize("ask", [_stream, _call])
def test_a_redirect_is_not_followed(ask: Callable[[RemoteService], None], location: str) -> None:
    """The token is for one address; the error names the other."""
    paths: list[str] = []

    class Redirect(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Write nothing."""

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            service = RemoteService(f"http://127.0.0.1:{server.server_port}", "token")
            with pytest.raises(RemoteError, match=rf"redirects to {location}; use that address"):
                ask(service)
        finally:
            server.shutdown()
            thread.join()
    assert len(paths) == 1
