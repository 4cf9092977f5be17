"""Tests of bodies and responses with a time limit."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import gevent.socket
import pytest

from api.server.transfer import send_all
from tests.support.http_server import GET, POST, MakeServing

BODIES = {
    "never begins": POST + b"Content-Length: 10\r\n\r\n",
    "never ends": POST + b"Content-Length: 10\r\n\r\n123",
    "never ends, in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "waits for 100": POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    "claims to be an upgrade": POST + b"Upgrade: websocket\r\nContent-Length: 10\r\n\r\n",
}


def catching(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with the lengths of two lines and the rest of the body, or with the error."""
    body = environ["wsgi.input"]
    try:
        message = f"{len(body.readline())} {len(body.readline(4))} {len(body.read())}"
    except TimeoutError as error:
        message = str(error)
    start_response("200 OK", [("Content-Length", str(len(message)))])
    return [message.encode()]


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 11\r\n\r\nab\ncdefghij",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n6\r\nefghij\r\n0\r\n\r\n",
        b'Transfer-Encoding: chunked\r\n\r\n5;a="\t"\r\nab\ncd\r\n'
        b"006\r\nefghij\r\n00;x\r\nA: b\r\n\r\n",
    ],
)
def test_a_body_is_read_by_lines_and_to_its_end(serve: MakeServing, data: bytes) -> None:
    """A body in one piece and a body in chunks are the same to the application."""
    client = serve(catching).client(POST + data)
    assert client.head().startswith("HTTP/1.1 200 ")
    assert client.exactly(5) == b"3 4 4"
    client.send(GET)  # the connection goes on
    assert client.head().startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
def test_a_body_that_does_not_come_is_a_timeout(serve: MakeServing, data: bytes) -> None:
    """The application can answer, and the connection ends."""
    serving = serve(catching, server={"request_seconds": 0.2})
    begun = time.monotonic()
    answer = serving.client(data).rest()
    assert answer.endswith(b"the request body did not arrive in time")
    assert (b"100 Continue" in answer) == (b"100-continue" in data)
    assert 0.15 < time.monotonic() - begun < 5


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
def test_a_body_that_nobody_wants_is_not_awaited_for_long(serve: MakeServing, data: bytes) -> None:
    """The client has its answer, is not asked to send, and the connection ends."""
    serving = serve(server={"request_seconds": 0.2})
    answer = serving.client(data.replace(b"/body", b"/")).rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_that_nobody_wants_does_not_disturb_the_next_request(serve: MakeServing) -> None:
    """The rest of a body is read, and is not taken for a request."""
    client = serve().client(POST.replace(b"/body", b"/") + b"Content-Length: 50000\r\n\r\n")
    client.send(b"x" * 50_000 + GET.replace(b"/ ", b"/slow?seconds=0 "))
    assert client.head().startswith("HTTP/1.1 200 ")
    answer = client.exactly(1)
    while not answer.endswith(b"done"):
        answer += client.exactly(1)
    assert answer.count(b"HTTP/1.1 200 ") == 1


def test_a_large_body_that_nobody_wants_is_not_read_to_its_end(serve: MakeServing) -> None:
    """The client has its answer although it is still sending, and the connection ends."""
    client = serve().client(POST.replace(b"/body", b"/") + b"Content-Length: 1000000000\r\n\r\n")
    sent = 0
    with suppress(OSError):
        for _ in range(1_000):
            client.send(b"x" * 65_536)
            sent += 65_536
    assert 1_048_576 <= sent < 60_000_000
    assert client.head().startswith("HTTP/1.1 200 ")


MALFORMED = [
    b"+3\r\nabc\r\n0\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
    b";a=b\r\nabc\r\n0\r\n\r\n",
    # A proxy that ends a line at a bare LF reads other chunks.
    b"3;a\nabc\r\nabc\r\n0\r\n\r\n",
    b"3;\x00\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nA: b\n\nGET / HTTP/1.1\r\n\r\n",
    b"3\r\nabc\r\n0\r\nA: b\x0bc\r\n\r\n",
    b"3\r\nabc\r\n0\r\nA b\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_chunk_ends_the_connection(serve: MakeServing, body: bytes) -> None:
    """What follows a chunk without a valid length is not taken for a request."""
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + GET
    answer = serve().client(data).rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_chunk_that_is_caught_ends_the_connection(
    serve: MakeServing, body: bytes
) -> None:
    """The end of the body is unknown, whatever the application answers."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with suppress(OSError):
            environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", "0")])
        return []

    data = POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + GET
    answer = serve(app).client(data).rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


class Ends:
    """Two connected sockets with small buffers."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.server = gevent.socket.socket(socket.AF_UNIX, fileno=ours.detach())
        self.client = gevent.socket.socket(socket.AF_UNIX, fileno=theirs.detach())


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A pair of sockets."""
    ends = Ends()
    yield ends
    ends.server.close()
    ends.client.close()


def test_everything_is_sent_to_a_client_that_reads(ends: Ends) -> None:
    """The data arrives in order, and each part counts as progress."""
    data = bytes(range(256)) * 1_000
    progress: list[None] = []
    sender = gevent.spawn(send_all, ends.server, data, 5.0, lambda: progress.append(None))
    received = b""
    while len(received) < len(data):
        received += ends.client.recv(65_536)
    sender.get(timeout=10)
    assert received == data
    assert len(progress) > 1


def test_a_client_that_reads_nothing_is_given_up(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives up after the limit, and not at the first look."""
    monkeypatch.setattr("api.server.transfer._LOOK_SECONDS", 0.05)
    begun = time.monotonic()
    with pytest.raises(BrokenPipeError, match=r"read nothing for 0\.3 seconds"):
        send_all(ends.server, b"x" * 10_000_000, 0.3, lambda: None)
    assert 0.25 < time.monotonic() - begun < 5


def test_a_client_that_is_gone_is_an_error(ends: Ends) -> None:
    """A closed connection is not waited for."""
    ends.client.close()
    with pytest.raises(BrokenPipeError):
        send_all(ends.server, b"x", 60.0, lambda: None)


def test_a_slow_reader_makes_progress_before_the_socket_is_writable(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that leave the kernel's queue are progress, although nothing more can be sent."""
    left = iter(range(8, 0, -1))
    monkeypatch.setattr("api.server.transfer._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("api.server.transfer.queued", lambda _sock: next(left, 0))
    progress: list[float] = []
    begun = time.monotonic()
    with pytest.raises(BrokenPipeError):
        send_all(
            ends.server, b"x" * 10_000_000, 0.1, lambda: progress.append(time.monotonic() - begun)
        )
    assert len([at for at in progress if at > 0.04]) >= 8
    assert time.monotonic() - begun > 0.45


def test_a_response_that_nobody_reads_ends(serve: MakeServing) -> None:
    """A client that reads nothing loses its place."""
    serving = serve(stall_seconds=0.2)
    client = serving.client(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    client.head()
    with gevent.Timeout(10):
        while len(serving.server.pool):
            gevent.sleep(0.02)
    assert len(client.rest()) < 8_000_000
