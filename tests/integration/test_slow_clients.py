"""A client or a tap that does not read delays no other."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from api.websocket.frames import read_header
from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import assert_run, numbered
from tests.integration.test_restarts import pid_of
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

#: How far a worker's memory may grow while a client stalls: the size of its ring.
FLAT_BYTES = 48 * 1024 * 1024


@contextmanager
def stalled(url: str, cookie: str) -> Iterator[socket.socket]:
    """Connect a client that shakes hands and then never reads, with a small receive buffer."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    raw = socket.socket()
    raw.settimeout(30)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((parts.hostname, parts.port))
    request = (
        f"GET {parts.path}?{parts.query} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Cookie: {cookie}",
    )
    raw.sendall("\r\n".join((*request, "", "")).encode())
    with raw:
        assert b" 101 " in _head(raw)
        yield raw


def _head(raw: socket.socket) -> bytes:
    """Read the head of the response and no further, because frames follow it."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = raw.recv(1)
        assert byte, "closed in the handshake"
        head += byte
    return bytes(head)


def _read_to_the_end(raw: socket.socket) -> None:
    while raw.recv(65_536):
        pass


def memory(service: Service) -> int:
    """Return the resident bytes of the gunicorn workers."""
    workers = psutil.Process(pid_of(service, "gunicorn")).children()
    return sum(int(worker.memory_info().rss) for worker in workers)


def test_stalled_client_among_fifty(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """The other clients get everything in order, and the worker's memory stays flat."""
    service = make_service(engine, {"streams.ring_bytes": 4_194_304})
    cookie = service.login()
    pad = "x" * 800
    # Slow enough for fifty clients in Python, and more than the ring holds.
    script = numbered(6_000, pause_every=5).replace("echo $i", f"echo $i {pad}")
    engine.run(container, script)
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    with stalled(url, cookie):
        clients = [open_client(url, cookie) for _ in range(50)]
        for client in clients:
            client.wait_lines(1)
        before = memory(service)
        for client in clients:
            client.wait_for(lambda _, one=client: one.lines[-1:] == [f"5999 {pad}"], 90)  # type: ignore[misc]
        assert memory(service) - before < FLAT_BYTES
    for client in clients:
        numbers = [int(line.split()[0]) for line in client.lines]
        assert numbers == list(range(numbers[0], 6_000))


def test_client_without_progress_is_closed(
    engine: PrivateEngine, make_service: MakeService, container: str
) -> None:
    """After ``streams.stall_seconds`` without progress the connection is dropped."""
    service = make_service(engine, {"streams.stall_seconds": 1, "collector.linger_seconds": 1})
    cookie = service.login()
    script = numbered(10_000_000, pause_every=200).replace("echo $i", f"echo $i {'x' * 200}")
    engine.run(container, script)
    app = service.add_app(container, container)
    with stalled(service.ws_url("container/logs", appId=app), cookie) as client:
        wait_until(lambda: service.running(f"container/{app}"), "the collector")
        wait_until(lambda: not service.running(f"container/{app}"), "the client to be closed", 60)
        # The stream ended because of the client and not because the log ended.
        assert engine.state(container) == "running"
        with pytest.raises(ConnectionResetError):
            _read_to_the_end(client)


def test_slow_client_is_told_what_it_missed(
    engine: PrivateEngine, make_service: MakeService, container: str
) -> None:
    """A client that pauses and reads on is told how many lines it missed."""
    service = make_service(engine, {"streams.ring_lines": 2_000})
    cookie = service.login()
    pad = "x" * 1000
    script = numbered(60_000).replace("echo $i", f"echo $i {pad}")
    engine.run(container, f"while [ ! -e /tmp/go ]; do sleep 0.1; done; {script}")
    app = service.add_app(container, container)
    with stalled(service.ws_url("container/logs", appId=app), cookie) as client:
        engine.say(container, ": >/tmp/go")
        wait_until(lambda: len(engine.lines(container)) == 60_000, "the container to write", 90)
        data = bytearray()
        expected: int | None = None
        skips = 0
        while expected != 60_000:
            piece = client.recv(262_144)
            assert piece, f"closed after line {expected}"
            data += piece
            while (header := read_header(data)) and len(data) >= header.size + header.length:
                payload = bytes(data[header.size : header.size + header.length])
                del data[: header.size + header.length]
                message: dict[str, Any] = json.loads(payload) if header.opcode == 1 else {}
                if message.get("type") == "skipped":
                    skips += 1
                    assert expected is not None
                    expected += message["data"]["lines"]
                elif message.get("type") == "log":
                    number = int(message["data"]["line"].split()[0])
                    assert expected in (None, number)
                    expected = number + 1
    assert skips


#: A program that subscribes, buffers at most one message, and never reads it.
_TAP = """
import signal, sys, zmq
tap = zmq.Context().socket(zmq.SUB)
tap.rcvhwm = 1
tap.connect(sys.argv[1])
tap.subscribe(sys.argv[2])
signal.pause()
"""


def test_tap_that_reads_nothing_holds_up_nobody(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """200,000 lines pass the tap without delay; once killed, it leaves nothing behind."""
    service = make_service(engine, {"collector.linger_seconds": 1})
    cookie = service.login()
    engine.run(container, numbered(200_000))
    app = service.add_app(container, container)
    arguments = (service.paths.endpoint("events"), f"container/{app}/")
    with program([sys.executable, "-c", _TAP, *arguments], 100) as tap:
        wait_until(lambda: service.running(f"container/{app}"), "the tap's collector")
        client = open_client(service.ws_url("container/logs", appId=app), cookie)
        client.wait_for(lambda _: client.lines[-1:] == ["199999"], 90)
        assert_run(client, 199_999)
        client.close()
        assert tap.poll() is None
        assert service.running(f"container/{app}"), "the tap is demand, too"
    wait_until(lambda: not service.running(f"container/{app}"), "the collector to go")


def test_one_collector_for_many_workers(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """Each worker has its own subscription, and all show the same."""
    service = make_service(engine, workers=3)
    cookie = service.login()
    engine.run(container, numbered(5_000, pause_every=100))
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    clients = [open_client(url, cookie) for _ in range(9)]
    for client in clients:
        client.wait_for(lambda _, one=client: one.lines[-1:] == ["4999"], 60)  # type: ignore[misc]
        assert_run(client, 4_999)
    assert len(service.running(f"container/{app}")) == 1
