"""The worker on the wire: real gunicorn and third-party clients.

Each known defect of gevent-websocket has a test: codes in both directions,
unmasked frames, announced lengths, and refused handshakes with their reasons.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websockets

from api.websocket.frames import read_header
from tests.support.client_frames import close, frame
from tests.support.raw_socket import RawClient
from tests.support.service.service import free_port
from tests.support.wait import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
KEY: Final = base64.b64encode(b"sixteen bytes ok").decode()
SECONDS: Final = 20.0


class Gunicorn:
    """A gunicorn with a minimal application on a free port."""

    def __init__(self, log: Path, **settings: object) -> None:
        self._log = log
        environ = {f"MIST_{name.upper()}": str(value) for name, value in settings.items()}
        command = [
            sys.executable,
            "-m",
            "api.server.serve",
            "-c",
            str(ROOT / "etc" / "gunicorn.conf.py"),
        ]
        self.port = free_port()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "tests.support.wire_app:app"],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "MIST_SERVER_BIND": f"127.0.0.1:{self.port}",
                    **environ,
                },
                stdout=output,
                stderr=output,
            )
        self.await_answer()

    @property
    def log(self) -> str:
        """Return gunicorn's output so far."""
        return self._log.read_text()

    def await_answer(self) -> None:
        """Wait until a worker answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError):
                return self.get("/")[0] == 200
            return False

        wait_until(answers, "an answer")

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str, Any]:
        """Return the status, message and headers of the response."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(client):
            client.request("GET", path, headers=headers or {})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())["message"], answer.headers

    def connect(self, path: str) -> ClientConnection:
        """Connect a client of the websockets library."""
        return connect_websockets(
            f"ws://127.0.0.1:{self.port}{path}", compression=None, ping_interval=None
        )

    def raw(self, path: str = "/ws/idle", behind: bytes = b"") -> Raw:
        """Connect a plain socket that has completed the handshake."""
        client = Raw(self.port)
        client.send(request(path) + behind)
        assert client.head().startswith("HTTP/1.1 101 ")
        return client

    def workers(self) -> set[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def stop(self) -> int:
        """Stop gunicorn and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(SECONDS)


HOST: Final = b"Host: x\r\n"
POST: Final = b"POST /body HTTP/1.1\r\n" + HOST


class Raw(RawClient):
    """A client that may also speak WebSocket frames."""

    sock: socket.socket

    def __init__(self, port: int) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))

    def frame(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame."""
        head = self.exactly(2)
        head += self.exactly({126: 2, 127: 8}.get(head[1] & 0x7F, 0))
        header = read_header(head)
        assert header is not None
        return header.opcode, self.exactly(header.length)

    def close_code(self) -> int:
        """Return the code of the next frame, which must be a close frame."""
        opcode, payload = self.frame()
        assert opcode == 8
        return int(struct.unpack("!H", payload[:2])[0])

    def at_end(self) -> bool:
        """Return True if the server ends the connection now, without a reset."""
        return self.sock.recv(1) == b""

    def rest(self) -> bytes:
        """Return everything until the server ends the connection."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while more := self.sock.recv(65_536):
                data += more
        return data


def request(path: str, **changed: str | None) -> bytes:
    """Return a handshake with headers (_ for -) changed or left out."""
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def await_workers(server: Gunicorn, count: int) -> None:
    """Wait until that many workers answer."""
    answering: set[str] = set()

    def all_have() -> bool:
        answering.add(server.get("/")[1])
        return len(answering) >= count

    wait_until(all_have, f"{count} workers to answer")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """A server with short timeouts, shared by the tests that leave it as it was."""
    gunicorn = Gunicorn(
        tmp_path_factory.mktemp("wire") / "log",
        streams_close_seconds=1,
        streams_stall_seconds=2,
        streams_max_message_bytes=4096,
        server_request_seconds=1,
        server_keepalive_seconds=2,
    )
    yield gunicorn
    assert gunicorn.stop() == 0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """Start servers for one test alone; the arguments are settings."""
    started: list[Gunicorn] = []

    def start(**settings: object) -> Gunicorn:
        started.append(Gunicorn(tmp_path / f"log{len(started)}", **settings))
        return started[-1]

    yield start
    for gunicorn in started:
        gunicorn.stop()


# Frames from the server


def test_code_and_reason_reach_the_client(server: Gunicorn) -> None:
    """The application's close code is sent; gevent-websocket drops it."""
    with server.connect("/ws/numbers?count=3&code=4409&reason=not+running") as client:
        assert [client.recv(SECONDS)[:1] for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(ConnectionClosed):
            client.recv(SECONDS)
        assert (client.close_code, client.close_reason) == (4409, "not running")


def test_code_reaches_another_client(server: Gunicorn) -> None:
    """websocket-client sees the same code and reason."""
    client = websocket.create_connection(
        f"ws://127.0.0.1:{server.port}/ws/close?code=4404&reason=gone", timeout=SECONDS
    )
    opcode, payload = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert payload == struct.pack("!H", 4404) + b"gone"
    client.close()


def test_long_reason_is_cut(server: Gunicorn) -> None:
    """A long reason is cut; gevent-websocket turns it into an illegal control frame."""
    client = server.raw(f"/ws/close?code=4000&reason={'%C3%A9' * 100}")
    opcode, payload = client.frame()
    assert opcode == 8
    assert payload[2:].decode() == "é" * 61


def test_much_data_arrives_whole(server: Gunicorn) -> None:
    """A large message arrives completely, although the socket fills up again and again."""
    with server.connect("/ws/numbers?count=20000&size=1000") as client:
        numbers = [int(message.split()[0]) for message in client]
    assert numbers == list(range(20000))


def test_what_the_application_returns_is_not_sent(server: Gunicorn) -> None:
    """After the handshake only frames are sent."""
    client = server.raw("/ws/close?code=1000")
    assert client.frame() == (8, b"\x03\xe8")
    client.send(close(1000))
    assert client.at_end()


@pytest.mark.parametrize("path", ["/ws/failing", "/ws/failing-source"])
def test_failing_application_is_1011(server: Gunicorn, path: str) -> None:
    """The connection is closed with 1011, without an HTTP error in the WebSocket stream."""
    assert server.raw(path).close_code() == 1011


# Frames from clients


def test_messages_come_and_go(server: Gunicorn) -> None:
    """Text and binary messages work, up to the largest allowed size."""
    with server.connect("/ws/echo") as client:
        for message in ("", "ü", "x" * 4096, b"\x00\xff"):
            client.send(message)
            assert client.recv(SECONDS) == message
        assert client.ping().wait(SECONDS)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1014, 3000, 4000, 4999])
def test_clients_code_comes_back(server: Gunicorn, code: int) -> None:
    """The client's code is echoed; gevent-websocket garbles it and refuses 1012 to 1014."""
    client = server.raw()
    client.send(close(code, b"x" * 123))
    assert client.frame() == (8, struct.pack("!H", code))
    assert client.at_end()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 65535])
def test_code_that_must_not_travel_is_1002(server: Gunicorn, code: int) -> None:
    """A code that must not be sent is refused with 1002; gevent-websocket accepts some of them."""
    client = server.raw()
    client.send(close(code))
    assert client.close_code() == 1002
    assert client.at_end()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(1, b"x", masked=False), 1002, id="unmasked"),
        pytest.param(frame(1, b"x", reserved=0x40), 1002, id="reserved bit"),
        pytest.param(frame(5, b"x"), 1002, id="reserved opcode"),
        pytest.param(frame(9, b"x", final=False), 1002, id="fragmented ping"),
        pytest.param(frame(9, b"x" * 126), 1002, id="large ping"),
        pytest.param(frame(0, b"x"), 1002, id="nothing to continue"),
        pytest.param(frame(8, b"x"), 1002, id="half a code"),
        pytest.param(frame(1, b"\xff"), 1007, id="not UTF-8"),
        pytest.param(frame(2, length=4097), 1009, id="a byte too many"),
        pytest.param(frame(2, length=2**63 - 1), 1009, id="enormous"),
        pytest.param(frame(2, b"x" * 4096, final=False) + frame(0, b"x"), 1009, id="fragments"),
    ],
)
def test_violation_closes_with_its_code(server: Gunicorn, data: bytes, code: int) -> None:
    """The connection is closed at once, from the header alone, and without a reset."""
    client = server.raw()
    client.send(data)
    assert client.close_code() == code
    assert client.at_end()


@pytest.mark.parametrize(
    ("valid", "wrong", "code"),
    [
        pytest.param(frame(1, b"a"), frame(1, b"b", reserved=0x20), 1002, id="3.2"),
        pytest.param(frame(1, b"a"), frame(1, b"b", reserved=0x30), 1002, id="3.3"),
        pytest.param(frame(1, b"a"), frame(1, b"b", reserved=0x40), 1002, id="3.4"),
        pytest.param(frame(1, b"a"), frame(5), 1002, id="4.1.3"),
        pytest.param(frame(1, b"a"), frame(6, b"b"), 1002, id="4.1.4"),
        pytest.param(frame(1, b"a"), frame(13), 1002, id="4.2.3"),
        pytest.param(
            frame(1, b"a", final=False) + frame(0, b"b"),
            frame(0, b"c", final=False) + frame(1, b"d"),
            1002,
            id="5.15",
        ),
        pytest.param(frame(1, b"a"), frame(1, b"\xff"), 1007, id="not UTF-8"),
        pytest.param(frame(1, b"a"), frame(1, length=4097), 1009, id="too large"),
    ],
)
def test_a_violation_takes_no_answer_back(
    server: Gunicorn, valid: bytes, wrong: bytes, code: int
) -> None:
    """Frames before a violation are answered and frames after it are not (Autobahn's cases)."""
    client = server.raw("/ws/echo")
    client.send(frame(9, b"first") + valid + wrong + frame(9, b"too late"))
    assert client.frame() == (10, b"first")
    opcode, payload = client.frame()
    assert (opcode, payload[:1]) == (1, b"a")
    assert client.close_code() == code
    assert client.at_end()


def test_too_large_message_gets_its_answer_while_it_is_sent(server: Gunicorn) -> None:
    """The rest is drained, so that a client that sends first and reads later is not reset."""
    with server.connect("/ws/echo") as client:
        with contextlib.suppress(ConnectionClosed):
            client.send(b"x" * 5_000_000)
        with pytest.raises(ConnectionClosed):
            client.recv(SECONDS)
        assert client.close_code == 1009


def test_frames_behind_the_handshake_are_read(server: Gunicorn) -> None:
    """A client may send a ping before it has received the response."""
    assert server.raw(behind=frame(9, b"early")).frame() == (10, b"early")


def test_frame_in_many_pieces(server: Gunicorn) -> None:
    """A frame is read even if it arrives byte by byte."""
    client = server.raw("/ws/echo")
    for byte in frame(1, "gruß".encode()):
        client.send(bytes((byte,)))
    assert client.frame() == (1, "gruß".encode())


# Handshakes


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"Upgrade": None}, 426, "Upgrade: websocket"),
        ({"Connection": "keep-alive"}, 426, "reverse proxy"),
        ({"Sec_WebSocket_Version": "12"}, 426, "13"),
        ({"Sec_WebSocket_Version": None}, 426, "13"),
        ({"Sec_WebSocket_Key": "not base64!"}, 400, "Sec-WebSocket-Key"),
        ({"Sec_WebSocket_Key": "é"}, 400, "Sec-WebSocket-Key"),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, "16 bytes"),
        ({"Sec_WebSocket_Key": None}, 400, "Sec-WebSocket-Key"),
        ({"Content_Length": "3"}, 400, "body"),
    ],
)
def test_refused_handshake_says_why(
    server: Gunicorn, changed: dict[str, str | None], status: int, says: str
) -> None:
    """The refusal has its status and body; gevent-websocket sends a 500 or loses the body."""
    client = Raw(server.port)
    client.send(request("/ws/idle", **changed) + b"abc" * ("Content_Length" in changed))
    answer = http.client.HTTPResponse(client.sock)
    answer.begin()
    body = json.loads(answer.read())
    assert answer.status == status
    assert says in body["message"]
    assert body["success"] is False
    assert (answer.headers["Sec-WebSocket-Version"] == "13") == (status == 426)
    assert (answer.headers["Upgrade"] == "websocket") == (status == 426)


def test_http_1_0_is_told_what_is_needed(server: Gunicorn) -> None:
    """An HTTP/1.0 handshake, as from an old reverse proxy, is answered with 426."""
    client = Raw(server.port)
    client.send(request("/ws/idle").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.head().startswith("HTTP/1.1 426 ")


def test_refusal_of_the_application_reaches_the_client(server: Gunicorn) -> None:
    """A refusal by the application arrives with its own status and body, before the upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        server.connect("/ws/forbidden")
    assert caught.value.response.status_code == 401
    assert b"log in first" in caught.value.response.body


# Plain HTTP


def test_connection_is_kept_for_the_next_request(server: Gunicorn) -> None:
    """One connection serves two requests and then a WebSocket."""
    client = Raw(server.port)
    for _ in range(2):
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        length = re.search(r"Content-Length: (\d+)", client.head())
        assert length is not None
        client.exactly(int(length[1]))
    client.send(request("/ws/close?code=1000"))
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.close_code() == 1000


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", "400"),
        (b"GET /\r\n\r\n", "400"),
        (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"no colon\r\nContent-Length: 3\r\n\r\nabc", "400"),
        (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", "400"),
        (POST + b"Content-Length: +3\r\n\r\nabc", "400"),
        (POST + b"Content-Length: 1_0\r\n\r\n0123456789", "400"),
        (POST + b"Content-Length: -1\r\n\r\n", "400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", "400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1_0\r\nabc\r\n0\r\n\r\n", "400"),
        (POST + b'Transfer-Encoding: chunked\r\n\r\n3;a="' + b"x" * 33_000, "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 200 + b"\r\n", "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 33_000 + b"\r\n\r\n", "431"),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 1_000 + b"\r\n") * 40 + b"\r\n", "431"),
        (b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\n\r\n", "414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "408"),
    ],
)
def test_what_is_no_request_is_refused(server: Gunicorn, data: bytes, status: str) -> None:
    """The refusal has a status and comes in time, without a traceback in the log."""
    before = server.log.count("Traceback")
    client = Raw(server.port)
    client.send(data)
    assert client.head().split()[1] == status
    # What follows is never taken for a request.
    assert not re.search(rb"HTTP/1\.1 \d", client.rest())
    assert server.log.count("Traceback") == before


def test_refusals_do_not_fill_the_log(own: Callable[..., Gunicorn]) -> None:
    """The first refusal is in the log at once; the others follow as a number."""
    server = own()
    for _ in range(20):
        client = Raw(server.port)
        client.send(b"nonsense\r\n\r\n")
        assert client.head().split()[1] == "400"
    assert server.log.count("request_refused") == 1
    assert server.stop() == 0
    assert server.log.count("requests_refused") == 1
    assert "count=19" in re.sub(r"\x1b\[[0-9;]*m", "", server.log)


def test_connections_of_an_address_are_bounded(own: Callable[..., Gunicorn]) -> None:
    """A client address has a part of the places; trusted proxies are exempt."""
    server = own(server_connections_per_address=3, server_forwarded_allow_ips="127.0.0.9")
    held = [Raw(server.port) for _ in range(3)]
    assert _get_from("127.0.0.1", server.port) == 429
    assert _get_from("127.0.0.2", server.port) == 200
    wait_until(lambda: "too many connections" in server.log, "the refusal in the log")
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            proxy = ("127.0.0.9", 0)
            stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), SECONDS, proxy)
            )
        assert _get_from("127.0.0.9", server.port) == 200
    # A refused client may come back as soon as another one has left.
    held.pop().sock.close()
    wait_until(lambda: _get_from("127.0.0.1", server.port) == 200, "a free place")


def _get_from(address: str, port: int) -> int:
    """Return the status for a client with this address, whose request is sent first."""
    client = http.client.HTTPConnection("127.0.0.1", port, SECONDS, (address, 0))
    with contextlib.closing(client):
        client.request("GET", "/")
        answer = client.getresponse()
        assert json.loads(answer.read())
        return answer.status


def test_an_empty_line_before_a_request_is_ignored(server: Gunicorn) -> None:
    """Some old clients end a body with one (RFC 9112 §2.2)."""
    client = Raw(server.port)
    client.send(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.head().startswith("HTTP/1.1 200 ")


BODIES = {
    "never begins": POST + b"Content-Length: 10\r\n\r\n",
    "never ends": POST + b"Content-Length: 10\r\n\r\n123",
    "never ends, in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "waits for 100": POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    "claims to be an upgrade": POST + b"Upgrade: websocket\r\nContent-Length: 10\r\n\r\n",
}

HOLDERS = BODIES | {
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "nothing": b"",
    "reads nothing": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("path", ["/body", "/"])
@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
def test_a_body_that_does_not_come_ends_the_connection(
    server: Gunicorn, data: bytes, path: str
) -> None:
    """Whether the application waits for the body or answers without it."""
    client = Raw(server.port)
    client.send(data.replace(b"/body", path.encode()))
    begun = time.monotonic()
    answer = client.rest()
    assert time.monotonic() - begun < SECONDS / 2
    assert answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1" not in answer.replace(b"HTTP/1.1 100 Continue", b"")[12:]


def test_a_large_body_that_nobody_wants_is_not_read_to_its_end(server: Gunicorn) -> None:
    """The client has its answer although it is still sending, and the connection ends."""
    client = Raw(server.port)
    client.send(POST.replace(b"/body", b"/") + b"Content-Length: 1000000000\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(1_000):
            client.send(b"x" * 65_536)
    assert client.head().startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("data", HOLDERS.values(), ids=HOLDERS)
def test_slow_and_deaf_clients_hold_no_place(own: Callable[..., Gunicorn], data: bytes) -> None:
    """A worker with as many places as there are such clients still serves others soon."""
    server = own(server_worker_connections=10, server_request_seconds=1, streams_stall_seconds=1)
    clients = [Raw(server.port) for _ in range(10)]
    for client in clients:
        client.send(data)
    assert server.get("/")[0] == 200
    for client in clients:
        client.sock.close()


@pytest.mark.parametrize("data", HOLDERS.values(), ids=HOLDERS)
def test_slow_and_deaf_clients_lose_their_places_to_others(
    own: Callable[..., Gunicorn], data: bytes
) -> None:
    """While a worker is full its patience is short, however long the other limits are."""
    server = own(server_worker_connections=10, server_full_patience_seconds=0.5)
    clients = [Raw(server.port) for _ in range(15)]
    for client in clients:
        client.send(data)
    begun = time.monotonic()
    assert server.get("/")[0] == 200
    assert time.monotonic() - begun < 8
    if data not in BODIES.values():  # this application does not catch a body's end
        assert server.log.count("Traceback") == 0
    for client in clients:
        client.sock.close()


def test_a_slow_reader_keeps_its_place(own: Callable[..., Gunicorn]) -> None:
    """A client that makes progress is not dropped while the worker is full."""
    server = own(server_worker_connections=1, server_full_patience_seconds=2)
    client = Raw(server.port)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    length = int(re.search(r"Content-Length: (\d+)", client.head())[1])  # type: ignore[index]
    other = Raw(server.port)  # needs the place
    pause = threading.Event()
    for _ in range(10):
        client.exactly(400_000)
        length -= 400_000
        pause.wait(0.5)
    assert len(client.exactly(length)) == length
    client.sock.close()
    other.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert other.head().startswith("HTTP/1.1 200 ")


def test_a_slow_reader_gets_everything(own: Callable[..., Gunicorn]) -> None:
    """A client that reads slowly, but reads, is not cut off."""
    server = own(streams_stall_seconds=1)
    client = Raw(server.port)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    length = int(re.search(r"Content-Length: (\d+)", client.head())[1])  # type: ignore[index]
    pause = threading.Event()
    for _ in range(6):  # longer than the limit, with some progress within it
        client.exactly(200_000)
        length -= 200_000
        pause.wait(0.5)
    assert len(client.exactly(length)) == length


def test_connection_without_a_request_is_ended(server: Gunicorn) -> None:
    """An idle connection is closed, because it would occupy a greenlet forever."""
    assert Raw(server.port).at_end()


# Keepalive and slow clients


def test_pings_come_and_silence_ends_the_connection(own: Callable[..., Gunicorn]) -> None:
    """The connection ends after two unanswered pings."""
    server = own(streams_ping_seconds=0.2, streams_close_seconds=0.2)
    client = server.raw()
    assert [client.frame()[0] for _ in range(2)] == [9, 9]
    assert client.close_code() == 1011
    assert client.at_end()


def test_answered_pings_keep_the_connection(own: Callable[..., Gunicorn]) -> None:
    """Answered pings keep a connection that carries nothing else."""
    server = own(streams_ping_seconds=0.1)
    client = server.raw()
    for _ in range(10):
        assert client.frame()[0] == 9
        client.send(frame(10))


def test_client_that_reads_nothing_is_dropped(server: Gunicorn) -> None:
    """The client is dropped after ``stall_seconds``, and others do not wait for it."""
    stalled = server.raw("/ws/numbers?size=1000")
    with server.connect("/ws/numbers?count=2000&size=1000") as client:
        assert sum(1 for _ in client) == 2000
    wait_until(lambda: _is_reset(stalled), "the stalled client to be reset")


def _is_reset(client: Raw) -> bool:
    """Return True if the server has dropped the connection. Pending data is not read."""
    info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    established = 1
    return info[0] != established


# Stopping


@pytest.mark.parametrize(
    ("number", "code", "lives"),
    [(signal.SIGTERM, 1001, False), (signal.SIGINT, 1001, False), (signal.SIGHUP, 1012, True)],
)
def test_stopping_says_good_bye(
    own: Callable[..., Gunicorn], number: int, code: int, lives: bool
) -> None:
    """Pending messages come before the close frame: 1001 for a stop, 1012 for a reload."""
    server = own(server_workers=2)
    before = server.workers()
    clients = [server.raw() for _ in range(20)]
    server.process.send_signal(number)
    for raw in clients:
        assert raw.close_code() == code
        raw.send(close(code))
        assert raw.at_end()
    if lives:
        wait_until(lambda: len(server.workers()) == 2 and not server.workers() & before, "new ones")
        with server.connect("/ws/pid") as client:
            assert client.recv(SECONDS) in {str(pid) for pid in server.workers()}
    else:
        assert server.process.wait(SECONDS) == 0


def test_stop_after_a_reload_is_a_stop(own: Callable[..., Gunicorn]) -> None:
    """Workers started by a reload close their clients with 1001 when they are stopped."""
    server = own()
    before = server.workers()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not server.workers() & before, "the old worker to go")
    client = server.raw()
    server.process.terminate()
    assert client.close_code() == 1001


def test_stop_is_bounded_whatever_clients_do(own: Callable[..., Gunicorn]) -> None:
    """The stop is bounded despite clients that do not read, do not answer, or send no request."""
    server = own(server_graceful_timeout=2)
    stalled = server.raw("/ws/numbers?size=1000")
    mute = server.raw()
    idle = Raw(server.port)
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 4
    assert mute.close_code() == 1001
    assert idle.at_end()
    assert stalled.frame()[0] == 1


def test_request_under_way_is_answered(own: Callable[..., Gunicorn]) -> None:
    """The listener closes at once, but the request in progress is still answered."""
    server = own()
    client = Raw(server.port)
    client.send(b"GET /slow?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.head().startswith("HTTP/1.1 200 ")
    assert client.exactly(6) == b"begun "
    server.process.terminate()
    assert client.exactly(4) == b"done"
    assert server.process.wait(SECONDS) == 0


def test_worker_whose_master_is_killed_says_good_bye(own: Callable[..., Gunicorn]) -> None:
    """A worker must not keep serving after its master, which could stop it, has been killed."""
    server = own()
    client = server.raw()
    workers = server.workers()
    server.process.kill()
    assert client.close_code() == 1001
    client.send(close(1001))
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers to end"
    )


# Many clients


def test_burst_of_connects_is_served_and_spread(own: Callable[..., Gunicorn]) -> None:
    """Every connection is accepted, and no worker gets much more than its share."""
    server = own(server_workers=3)
    await_workers(server, 3)
    clients = [Raw(server.port) for _ in range(2000)]
    for client in clients:
        client.send(request("/ws/pid"))
    pids = []
    for client in clients:
        assert client.head().startswith("HTTP/1.1 101 ")
        pids.append(client.frame()[1])
    counts = [pids.count(pid) for pid in set(pids)]
    assert len(counts) == 3
    assert min(counts) > 560


def test_idle_clients_cost_little_memory(server: Gunicorn) -> None:
    """A client costs well under the allowed 24 KiB; 1,000 show it as well as 8,000."""
    warm = [server.raw() for _ in range(100)]
    before = int(server.get("/memory")[1])
    clients = [server.raw() for _ in range(1000)]
    after = int(server.get("/memory")[1])
    assert (after - before) / len(clients) < 8
    assert warm
