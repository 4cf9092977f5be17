"""The page's files over HTTP, as gunicorn serves them; `make page` has built them."""

from __future__ import annotations

import http.client
import re
from typing import NamedTuple

import pytest

from tests.support.service.service import Service

pytestmark = pytest.mark.engine


class Answer(NamedTuple):
    """One answer, as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def _ask(service: Service, method: str, target: str, **headers: str) -> Answer:
    """Send ``target`` as it is: other clients tidy it up first."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def _script(service: Service) -> str:
    names = re.findall(r'src="\./(assets/[^"]+\.js)"', _ask(service, "GET", "/").body.decode())
    assert names, "the page is not built: run make page"
    return f"/{names[0]}"


@pytest.mark.parametrize(
    "target",
    [
        *("/assets/missing.js", "/assets/../app.py", "/assets/%2e%2e/%2e%2e/app.py"),
        *("/assets/..%2f..%2fapp.py", "/assets/%00", "/assets/..%5capp.py"),
        *("/api/nothing", "/api", "/ws/nothing", "/ws/", "/healthz/", "/metrics/x"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_json(service: Service, method: str, target: str) -> None:
    """Whatever a browser would accept."""
    answer = _ask(service, method, target, Accept="text/html")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/log?app=1", "/nothing", "/..", "/../../etc/passwd", "//etc/passwd"),
        *("/%2e%2e/%2e%2e/etc/passwd", "/a%2Fb", "/a%00b", "/%ff", "/a\\b", "/%0d%0aX:%20y"),
    ],
)
def test_any_other_address_is_the_page(service: Service, target: str) -> None:
    """Never another file, and always under the page's policy."""
    answer = _ask(service, "GET", target)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    assert answer.headers.get_all("X") is None
    assert b'<div id="page">' in answer.body
    depth = target.partition("?")[0].count("/") - 1
    assert f'src="{"../" * depth or "./"}assets/'.encode() in answer.body


def test_the_api_keeps_its_own_headers(service: Service) -> None:
    """The policy is the page's."""
    answer = _ask(service, "GET", "/healthz", Accept_Encoding="gzip")
    assert answer.status == 200
    for name in ("Content-Security-Policy", "Cross-Origin-Opener-Policy", "ETag", "Vary"):
        assert answer.headers[name] is None


def test_files_are_sent_once(service: Service) -> None:
    """A client that has one is told so, without a body, whatever encoding it has."""
    for target in ("/", _script(service)):
        for encoding in ("br", "gzip", "identity"):
            first = _ask(service, "GET", target, Accept_Encoding=encoding)
            tag = first.headers["ETag"]
            again = _ask(
                service, "GET", target, Accept_Encoding=encoding, If_None_Match=f'"x", {tag}'
            )
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
            for name in ("Cache-Control", "Vary", "Content-Security-Policy"):
                assert again.headers[name] == first.headers[name]


def test_head_tells_what_get_would_send(service: Service) -> None:
    """The same headers, the length included, and nothing behind them."""
    for target in ("/", "/log", "/a/b", _script(service)):
        got = _ask(service, "GET", target, Accept_Encoding="gzip")
        told = _ask(service, "HEAD", target, Accept_Encoding="gzip")
        assert (told.status, told.body) == (200, b"")
        for name in ("Content-Length", "Content-Encoding", "Content-Type", "ETag", "Vary"):
            assert told.headers[name] == got.headers[name]
        assert int(told.headers["Content-Length"]) == len(got.body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_the_page_is_only_read(service: Service, method: str) -> None:
    """In the API's JSON, and with what is allowed."""
    for target in ("/", "/log", _script(service)):
        answer = _ask(service, method, target)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert answer.headers["Content-Type"] == "application/json"


def test_an_upgrade_at_an_address_of_the_page_is_not_a_stream(service: Service) -> None:
    """It is answered as a request, and the connection is no WebSocket."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert _ask(service, "GET", "/log", **handshake).status == 200
    assert _ask(service, "GET", "/ws/nothing", **handshake).status == 404
