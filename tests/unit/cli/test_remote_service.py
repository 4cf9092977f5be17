"""Tests of the connection to a service on another machine."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Literal
from unittest.mock import Mock
from urllib.request import getproxies_environment

import msgspec
import pytest

from cli.remote.service import App, RemoteError, RemoteService, Unreachable
from mist.errors import NotFound, UsageError
from tests.support.hang_up import hanging_up


def _stream(service: RemoteService) -> None:
    with service.stream("/ws/metrics"):
        pass


def _call(service: RemoteService) -> None:
    service.call("GET", "/api/apps")


def _lines(service: RemoteService) -> None:
    list(service.lines("/api/apps/1/logs"))


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


@pytest.mark.parametrize("ask", [_stream, _call, _lines])
@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_connection_that_ends_at_once(
    ask: Callable[[RemoteService], None], how: Literal["reset", "closed"]
) -> None:
    """It may be tried again, at whatever moment it ended."""
    with hanging_up(how) as url:
        for _ in range(20):
            with pytest.raises(Unreachable, match="cannot be reached: "):
                ask(RemoteService(url, "token"))


@pytest.mark.parametrize("ask", [_stream, _call, _lines])
@pytest.mark.parametrize(
    "proxy",
    [
        "127.0.0.1:1",
        "http://127.0.0.1:port",
        "http://user:secret@127.0.0.1:99999",
        "http://user:secret@127.0.0.1:1/path",
        "http://[::1",
        "http://a..b:80",
        "ftp://127.0.0.1:1",
        "socks5h://127.0.0.1:1",
    ],
)
def test_a_proxy_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[RemoteService], None], proxy: str
) -> None:
    """The error names the variable, because nothing in the command speaks of a proxy."""
    for kind in getproxies_environment():
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(
        Unreachable, match=r"cannot be reached through the proxy of http_proxy: "
    ) as error:
        ask(RemoteService("http://127.0.0.2:1", "token"))
    assert "secret" not in str(error.value)


def test_a_proxy_for_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not blamed."""
    monkeypatch.setenv("ftp_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.2")
    with pytest.raises(Unreachable, match="cannot be reached: "):
        _call(RemoteService("http://127.0.0.2:1", "token"))
    monkeypatch.delenv("no_proxy")
    with pytest.raises(Unreachable) as error:
        _call(RemoteService("http://127.0.0.2:1", "token"))
    assert "ftp" not in str(error.value)


@pytest.mark.parametrize(
    "data",
    ["null", "7", '"web"', "{}", "[null]", "[{}]", '[{"id":"1","name":"web"}]', "[" * 50_000],
)
def test_an_answer_of_another_product(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """Its envelope may be the same by chance."""
    service = RemoteService("http://127.0.0.1:1", "token")
    answer = Mock(is_redirect=False, status_code=200)
    answer.content = f'{{"success":true,"message":"","data":{data}}}'.encode()
    monkeypatch.setattr(service._session, "request", lambda *_, **__: answer)
    with pytest.raises(RemoteError, match=r"otherwise than expected|not answer as Mist"):
        service.find_app("web", App)


def test_a_name_comes_before_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the service's own machine."""
    service = RemoteService("http://127.0.0.1:1", "token")
    apps = [App(1, "web", "a"), App(2, "1", "b")]
    monkeypatch.setattr(service, "call", lambda *_: msgspec.to_builtins(apps))
    assert [service.find_app(text, App).id for text in ("web", "1", "2")] == [1, 2, 2]
    with pytest.raises(NotFound):
        service.find_app("3", App)


@pytest.mark.parametrize(
    "url", ["", "mist.lan", "http://", "http://h:port", "http://[::1", "http://h i"]
)
def test_what_is_no_address(url: str) -> None:
    """The error shows it."""
    with pytest.raises(UsageError, match=re.escape(f"{url!r} is not the address of a service")):
        RemoteService(url, "token")
