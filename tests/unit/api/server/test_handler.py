"""Tests of the handler of a connection, on a loopback socket."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.socket
import pytest

from api.live.ring import Parts
from api.websocket.frames import text_frame
from tests.support.client_frames import close, frame
from tests.support.http_server import GET, POST, UPGRADE, MakeServing
from tests.support.wait import wait_until

HOST = b"Host: x\r\n"


def test_a_connection_serves_requests_and_then_a_websocket(serve: MakeServing) -> None:
    """One connection serves two requests and then a WebSocket."""
    serving = serve()
    client = serving.client()
    for _ in range(2):
        client.send(GET)
        length = re.search(r"Content-Length: (\d+)", client.head())
        assert length is not None
        client.exactly(int(length[1]))
    client.send(UPGRADE % b"/ws/close?code=4409&reason=why")
    head = client.head()
    assert head.startswith("HTTP/1.1 101 ")
    assert client.exactly(7) == b"\x88\x05\x11\x39why"
    client.send(close(4409))
    assert client.rest() == b""
    assert [status for status, _ in serving.log.responses] == ["200 OK"] * 2 + [
        "101 Switching Protocols"
    ]
    assert serving.log.responses[-1][1] == len(head)


def test_frames_behind_the_handshake_are_read(serve: MakeServing) -> None:
    """A client may send a ping before it has received the response."""
    client = serve().client(UPGRADE % b"/ws/idle" + frame(9, b"early"))
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.exactly(7) == b"\x8a\x05early"


def test_a_refused_handshake_is_an_ordinary_response(serve: MakeServing) -> None:
    """The application's refusal has its status and body, and the connection goes on."""
    client = serve().client(UPGRADE % b"/ws/forbidden")
    assert client.head().startswith("HTTP/1.1 401 ")


def test_426_says_what_to_upgrade_to(serve: MakeServing) -> None:
    """RFC 9110 §15.5.22 requires the header Upgrade."""
    client = serve().client(UPGRADE.replace(b": 13", b": 12") % b"/ws/idle")
    head = client.head()
    assert head.startswith("HTTP/1.1 426 ")
    assert "\r\nUpgrade: websocket\r\n" in head
    assert "\r\nSec-WebSocket-Version: 13\r\n" in head


def test_an_application_that_fails_after_the_upgrade_is_1011(serve: MakeServing) -> None:
    """No HTTP error gets into the stream of frames."""
    client = serve().client(UPGRADE % b"/ws/failing")
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.exactly(4)[2:] == (1011).to_bytes(2, "big")


def test_an_error_status_after_the_upgrade_is_1011(serve: MakeServing) -> None:
    """An error handler that knows no WebSockets answers 500, which is sent as a close frame."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["mist.accept"]()
        write = start_response("500 Internal Server Error", [])
        write(b"never on the wire")
        return [b"nor this"]

    client = serve(app).client(UPGRADE % b"/")
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.exactly(4)[2:] == (1011).to_bytes(2, "big")


@pytest.mark.parametrize("data", [GET, UPGRADE % b"/"])
def test_a_handshake_is_accepted_once_and_only_if_it_is_one(
    serve: MakeServing, data: bytes
) -> None:
    """Accepting anything else is a bug of the application."""
    errors: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        try:
            environ["mist.accept"]()
            environ["mist.accept"]()
        except RuntimeError as error:
            errors.append(str(error))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    serve(app).client(data).head()
    assert errors == ["the application accepted a handshake that it should refuse"]


def test_an_upgrade_during_a_shutdown_ends_as_the_others_do(serve: MakeServing) -> None:
    """A connection that was accepted late gets its data and the close frame, too."""
    serving = serve()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        connection = environ["mist.accept"]()
        serving.registry.stopping = (1012, "server reloads")
        connection.source = Parts(text_frame(b"data"))
        return []

    serving.server.application = app
    client = serving.client(UPGRADE % b"/")
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.exactly(6) == b"\x81\x04data"
    assert client.exactly(4)[2:] == (1012).to_bytes(2, "big")


def test_a_client_that_is_gone_is_a_broken_connection(serve: MakeServing) -> None:
    """A handshake whose answer cannot be sent ends the connection without an error."""
    found: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["mist.client"].shutdown(socket.SHUT_WR)
        found.append(environ["mist.accept"]())
        return []

    serving = serve(app)
    client = serving.client(UPGRADE % b"/")
    assert client.rest() == b""
    client.close()
    wait_until(lambda: not serving.registry.connections, "the end", 10, sleep=gevent.sleep)
    assert len(found) == 1


def test_the_head_is_sent_before_the_first_byte(serve: MakeServing) -> None:
    """A search without hits shows that it has begun."""
    go_on = gevent.event.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", "4")])

        def body() -> Any:
            environ["mist.send_head"]()
            assert go_on.wait(10)
            yield b"late"

        return body()

    client = serve(app).client(GET)
    assert client.head().startswith("HTTP/1.1 200 ")
    go_on.set()
    assert client.exactly(4) == b"late"


def test_the_environ_does_not_keep_the_handler(serve: MakeServing) -> None:
    """Functions that refer to the handler are gone after the request."""
    environs: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environs.append(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    serving = serve(app)
    serving.client(GET).head()
    wait_until(lambda: serving.server.idle, "the next wait", 10, sleep=gevent.sleep)
    keys = {"mist.accept", "mist.client", "mist.send_head"}
    assert not keys & environs[0].keys()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"nonsense\r\n\r\n", 400, "METHOD TARGET HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "exactly one Host header"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400, "a colon"),
        (POST + b"Content-Length: +3\r\n\r\nabc", 400, "Content-Length is not a number"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "chunked"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 1_100 + b"\r\n\r\n", 431, "1024 bytes"),
        (b"GET / HTTP/1.1\r\n" + HOST, 408, "no complete request in 0.3 seconds"),
    ],
)
def test_what_is_no_request_is_refused(
    serve: MakeServing, data: bytes, status: int, words: str
) -> None:
    """The refusal has a status and a reason, and the connection ends."""
    serving = serve(server={"max_header_bytes": 1024, "request_seconds": 0.3})
    head, _, body = serving.client(data).rest().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    message = json.loads(body)
    assert (message["success"], message["data"]) == (False, None)
    assert words in message["message"]
    assert serving.log.responses[0][0].startswith(str(status))


def test_a_slow_sender_does_not_extend_the_time(serve: MakeServing) -> None:
    """The limit holds for the whole head, however steadily its lines arrive."""
    client = serve(server={"request_seconds": 0.4}).client(b"GET / HTTP/1.1\r\n")
    begun = time.monotonic()
    sender = gevent.spawn(_drip, client)
    assert client.head().startswith("HTTP/1.1 408 ")
    assert time.monotonic() - begun < 3
    sender.kill()


def _drip(client: Any) -> None:
    while True:
        gevent.sleep(0.1)
        client.send(b"X: y\r\n")


def test_a_request_line_too_long_is_414(serve: MakeServing) -> None:
    """The base class refuses it; the answer has a reason all the same."""
    data = serve().client(b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\n\r\n").rest()
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414 ")
    message = json.loads(body)
    assert (message["success"], message["data"]) == (False, None)
    assert message["message"] == "the request line is longer than 32768 bytes; shorten it"


def test_a_long_text_to_search_for_fits_into_a_request_line(serve: MakeServing) -> None:
    """Each of its bytes may be encoded as three."""
    line = b"GET /?q=" + b"%C3%BC" * 2_048 + b" HTTP/1.1\r\n"
    assert (
        serve()
        .client(GET.replace(GET.partition(b"\n")[0] + b"\n", line))
        .head()
        .startswith("HTTP/1.1 200 ")
    )


def test_an_empty_line_before_a_request_is_ignored(serve: MakeServing) -> None:
    """Some old clients end a body with one (RFC 9112 §2.2)."""
    assert serve().client(b"\r\n" + GET).head().startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(("served", "seconds"), [(False, 0.1), (True, 0.6)])
def test_an_idle_connection_is_ended(serve: MakeServing, served: bool, seconds: float) -> None:
    """A new connection has less time for its request than one that has had a request."""
    serving = serve(server={"request_seconds": 0.1, "keepalive_seconds": 0.6})
    begun = time.monotonic()
    client = serving.client(GET if served else b"")
    assert (client.rest() != b"") == served
    assert seconds * 0.8 < time.monotonic() - begun < seconds + 3
    assert not serving.server.idle


def test_a_shutdown_ends_idle_connections_at_once(serve: MakeServing) -> None:
    """A connection without a request is closed, and a request in progress is answered."""
    serving = serve()
    idle, busy = serving.client(), serving.client(GET.replace(b"/ ", b"/slow?seconds=0.2 "))
    head = busy.head()
    assert busy.exactly(6) == b"begun "
    busy.send(GET)  # will not be served any more
    begun = time.monotonic()
    serving.server.stop_accepting_requests()
    assert idle.rest() == b""
    assert time.monotonic() - begun < 5
    assert busy.exactly(4) == b"done"
    assert head.startswith("HTTP/1.1 200 ")
    assert busy.rest() == b""


def test_hanging_up_on_a_client_that_has_left_does_nothing(serve: MakeServing) -> None:
    """The connection may have ended just before the shutdown."""
    serving = serve()
    client = serving.client()
    wait_until(lambda: serving.server.idle, "the connection", 10, sleep=gevent.sleep)
    (handler,) = serving.server.idle
    client.close()
    wait_until(lambda: not len(serving.server.pool), "the end", 10, sleep=gevent.sleep)
    handler.socket = gevent.socket.socket()
    handler.hang_up()
    handler.socket.close()


def test_an_error_of_the_application_is_500(serve: MakeServing) -> None:
    """The client gets a response without details, and the connection ends."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise ValueError("a secret")

    answer = serve(app).client(GET).rest()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
