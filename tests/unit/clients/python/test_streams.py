"""The synchronous and the asynchronous driver, with a WebSocket server on the loopback."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from queue import Queue
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import pytest
from mist_client import (
    ApiError,
    AsyncClient,
    Client,
    End,
    LogLine,
    Reconnected,
    Reconnecting,
    Retry,
    StreamError,
    Unreachable,
    async_streams,
    older,
    streams,
)
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.support.hang_up import hanging_up
from tests.support.log_service import LogService, message, stamp, status
from tests.support.wait import wait_until

OPTIONS: Final[dict[str, Any]] = {"token": "mist_t", "retry": Retry(initial=0.01, longest=0.05)}


class Server:
    """A server that answers each connection with the next script."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.open = 0
        self.scripts: Queue[list[bytes | int | Response | LogService]] = Queue()
        self._server = serve(self._play, "127.0.0.1", 0, process_request=self._begin, ssl=tls)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def play(self, *steps: bytes | int | Response | LogService) -> None:
        """Answer the next connection with messages, and with a close code or a refusal.

        A log is answered according to the request.
        """
        self.scripts.put(list(steps))

    def _begin(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        self.headers.append(dict(request.headers.raw_items()))
        script = self.scripts.get(timeout=30)
        if isinstance(script[0], Response):
            return script[0]
        connection.script = script  # type: ignore[attr-defined]
        return None

    def _play(self, connection: ServerConnection) -> None:
        self.open += 1
        script = connection.script  # type: ignore[attr-defined]
        if isinstance(script[0], LogService):
            assert connection.request is not None
            script = script[0].answer(dict(parse_qsl(urlsplit(connection.request.path).query)))
        try:
            for step in script:
                if isinstance(step, int):
                    connection.close(step)
                else:
                    connection.send(step, text=True)
            connection.recv()  # the client says nothing until it closes
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1


def refusal(code: HTTPStatus, text: str, **headers: str) -> Response:
    """Return an answer in place of the upgrade."""
    body = f'{{"success":false,"message":"{text}","data":null}}'.encode()
    return Response(
        code.value, code.phrase, Headers(headers | {"Content-Length": str(len(body))}), body
    )


def log(*texts: str) -> list[bytes]:
    """Return the messages of lines; a line's number is its text."""
    return [message("log", stamp(0), line=t, stream="stdout", pos=f"1-{t}") for t in texts]


END: Final = message("end", message="Log stream ended")

Take = Callable[..., list[Any]]


def take_sync(url: str, *, enough: Callable[[Any], bool] = lambda _: False, **options: Any) -> Any:
    """Return the events of a log, until there are enough of them."""
    events = []
    with Client(url, **OPTIONS | options) as client:
        for event in client.logs(1):
            events.append(event)
            if enough(event):
                break
    return events


def take_async(url: str, *, enough: Callable[[Any], bool] = lambda _: False, **options: Any) -> Any:
    """Do the same on asyncio."""

    async def take() -> list[Any]:
        events = []
        async with AsyncClient(url, **OPTIONS | options) as client, client.logs(1) as logs:
            async for event in logs:
                events.append(event)
                if enough(event):
                    break
        return events

    return asyncio.run(take())


@pytest.fixture(params=[take_sync, take_async], ids=["sync", "async"])
def take(request: pytest.FixtureRequest) -> Take:
    """Each driver in turn."""
    made: Take = request.param
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    """A server without scripts."""
    with Server() as server:
        yield server


def lines(events: list[Any]) -> list[str]:
    """Return the texts of the lines."""
    return [event.line for event in events if isinstance(event, LogLine)]


def test_a_log_goes_on_where_the_connection_broke(server: Server, take: Take) -> None:
    """With the token, after the last position, and until the end."""
    server.play(status(), *log("1", "2"), 1012)
    server.play(refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The store is away"))
    server.play(status(), *log("3"), END, 1000)
    events = take(server.url)
    assert lines(events) == ["1", "2", "3"]
    assert isinstance(events[-1], End)
    first, second = (event for event in events if isinstance(event, Reconnecting))
    assert (first.reason.code, first.reason.close_code) == ("restarting", 1012)
    assert second.reason.message == "The store is away"
    [again] = (event for event in events if isinstance(event, Reconnected))
    assert (again.missing, again.exact) == (0, True)
    again_at = "appId=1&since=1-2&stopped=1&pos=1"
    asked = ["appId=1&pos=1", again_at, again_at]
    assert server.paths == [f"/ws/container/logs?{query}" for query in asked]
    assert {each["Authorization"] for each in server.headers} == {"Bearer mist_t"}
    wait_until(lambda: not server.open, "no connection to be left")


def test_a_wrong_token_is_an_error(server: Server, take: Take) -> None:
    """In the service's words, and without another attempt."""
    server.play(refusal(HTTPStatus.UNAUTHORIZED, "The token is not valid"))
    with pytest.raises(StreamError, match="The token is not valid") as caught:
        take(server.url)
    assert caught.value.reason.code == "unauthorized"
    assert len(server.paths) == 1


def test_a_redirect_is_not_followed(server: Server, take: Take) -> None:
    """The token is for one address; the error names the other."""
    server.play(refusal(HTTPStatus.MOVED_PERMANENTLY, "", Location=f"{server.url}/elsewhere"))
    with pytest.raises(StreamError, match=r"redirects to .*/elsewhere; use that address"):
        take(server.url)
    assert len(server.paths) == 1


def test_leaving_the_iteration_closes_the_socket(server: Server, take: Take) -> None:
    """Also in the midst of the lines."""
    server.play(status(), *log(*map(str, range(100))))
    events = take(server.url, enough=lambda event: isinstance(event, LogLine))
    assert lines(events) == ["0"]
    gc.collect()
    wait_until(lambda: not server.open, "no connection to be left")


def test_a_service_that_is_away_is_waited_for(take: Take) -> None:
    """Each attempt is an event with its reason."""
    with Server() as gone:
        url = gone.url
    seen: list[Any] = []
    patience = Retry(initial=0.01, give_up_after=0.05)
    with pytest.raises(StreamError, match="The service cannot be reached: Connection refused"):
        take(url, enough=seen.append, retry=patience)
    assert {event.reason.code for event in seen} == {"network"}


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_connections_that_end_at_once(take: Take, how: Literal["reset", "closed"]) -> None:
    """Each is a failed attempt, at whatever moment it ended."""
    attempts = itertools.count(1)
    with hanging_up(how) as url:
        events = take(url, enough=lambda _: next(attempts) == 20)
    assert {(type(event), event.reason.code) for event in events} == {(Reconnecting, "network")}


def test_a_damaged_message(server: Server, take: Take) -> None:
    """The connection has failed, and its successor brings the line once more."""
    (damaged,) = log("1")
    server.play(status(), *log("0"), damaged.replace(b'"line":"1"', b'"line":"\xff"'))
    server.play(status(), *log("1"), END, 1000)
    events = take(server.url)
    assert lines(events) == ["0", "1"]
    assert [event.reason.code for event in events if isinstance(event, Reconnecting)] == ["network"]
    assert "since=1-0" in server.paths[1]


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, take: Take) -> None:
    """A stream does not wait for another environment."""
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("ws_proxy", "http://user:secret@127.0.0.1:1/path")
    with pytest.raises(ValueError, match="proxy that the environment names is not valid: path"):
        take("http://127.0.0.2:1")


def test_close_ends_an_iteration_in_another_thread(server: Server) -> None:
    """While it waits for a message, and while it waits to connect again."""
    server.play(status())
    for state in ("waiting", "away"):
        url = server.url if state == "waiting" else "http://127.0.0.1:1"
        client = Client(url, retry=Retry(initial=60, longest=60))
        stream = client.logs(1)
        events: list[Any] = []
        thread = threading.Thread(target=lambda stream=stream, events=events: events.extend(stream))
        thread.start()
        if state == "waiting":
            wait_until(lambda: server.open, "the connection")
        stream.close()
        thread.join(10)
        assert not thread.is_alive()
        assert list(stream) == []
    wait_until(lambda: not server.open, "no connection to be left")


def test_close_ends_an_iteration_in_another_task(server: Server) -> None:
    """As in another thread; a cancelled task closes its socket, too."""
    server.play(status())
    server.play(status())

    async def run() -> None:
        async with AsyncClient(server.url, retry=Retry(initial=60, longest=60)) as client:
            stream = client.logs(1)
            task = asyncio.create_task(anext(stream.only(LogLine), None))
            while not server.open:
                await asyncio.sleep(0.01)
            await stream.close()
            assert await asyncio.wait_for(task, 10) is None
            async with client.logs(1) as other:
                task = asyncio.create_task(anext(other.only(LogLine), None))
                while server.open != 1:
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(run())
    wait_until(lambda: not server.open, "no connection to be left")


@pytest.fixture(params=["http", "https"])
def silent(request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
    """An address where connections are accepted and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield f"{request.param}://127.0.0.1:{server.getsockname()[1]}", server


def test_close_ends_an_attempt_in_another_thread(silent: tuple[str, socket.socket]) -> None:
    """The iteration does not wait for the handshake, with or without TLS."""
    url, server = silent
    with Client(url, timeout=60) as client:
        stream = client.logs(1)
        events: list[Any] = []
        thread = threading.Thread(target=lambda: events.extend(stream), daemon=True)
        thread.start()
        with server.accept()[0] as peer:
            assert peer.recv(1)  # the handshake has begun
            stream.close()
            thread.join(5)
            assert not thread.is_alive()
            peer.settimeout(5)
            while peer.recv(65_536):
                pass
        assert events == list(stream) == []


def test_close_ends_an_attempt_in_another_task(silent: tuple[str, socket.socket]) -> None:
    """As in another thread."""
    url, server = silent

    async def run() -> None:
        async with AsyncClient(url, timeout=60) as client:
            stream = client.logs(1)
            task = asyncio.create_task(anext(stream, None))
            peer, _ = await asyncio.to_thread(server.accept)
            with peer:
                assert await asyncio.to_thread(peer.recv, 1)
                for _ in range(3):  # while the attempt is ending, too
                    await stream.close()
                    await asyncio.sleep(0)
                assert await asyncio.wait_for(task, 5) is None
                assert [event async for event in stream] == []
                peer.settimeout(5)
                while await asyncio.to_thread(peer.recv, 65_536):
                    pass

    asyncio.run(run())


@pytest.mark.parametrize("begun", [False, True])
def test_older_lines_of_a_silent_service_end(begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it falls silent before the answer or in its midst."""
    monkeypatch.setattr(older, "READ_SECONDS", 0.3)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + log("1")[0] + b"\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        peers: list[socket.socket] = []

        def serve_twice() -> None:
            for _ in range(2):
                peers.append(server.accept()[0])
                peers[-1].sendall(head if begun else b"")

        thread = threading.Thread(target=serve_twice, daemon=True)
        thread.start()
        found: list[str] = []
        words = "takes too long to answer"

        async def run() -> None:
            async with AsyncClient(url) as client:
                async for line in client.older_lines(1):
                    found.append(line.line)

        with Client(url) as client, pytest.raises(Unreachable, match=words):
            found.extend(line.line for line in client.older_lines(1))
        with pytest.raises(Unreachable, match=words):
            asyncio.run(asyncio.wait_for(run(), 30))
        assert found == (["1", "1"] if begun else [])
        thread.join(10)
        for peer in peers:
            peer.close()


def test_only_one_type_of_events(server: Server) -> None:
    """Without a test of the type in the caller's code."""
    server.play(status(), *log("1"), END)
    with Client(server.url) as client:
        assert [line.line for line in client.logs(1).only(LogLine)] == ["1"]


def test_requests_without_an_answer() -> None:
    """The error says why."""
    with Server() as gone:
        url = gone.url
    with Client(url) as client, pytest.raises(Unreachable, match="Connection refused"):
        client.list_apps()
    with Client(url) as client, pytest.raises(Unreachable, match="Connection refused"):
        list(client.older_lines(1))

    async def run() -> None:
        async with AsyncClient(url) as client:
            with pytest.raises(Unreachable, match="cannot be reached"):
                await client.list_apps()
            with pytest.raises(Unreachable, match="cannot be reached"):
                [line async for line in client.older_lines(1)]

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the loopback that vouches for itself, with its key in the same file."""
    file = tmp_path_factory.mktemp("tls") / "mist.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mist"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True, timeout=60)
    file.write_bytes(file.read_bytes() + made.stdout)
    return file


def test_a_private_ca(certificate: Path, take: Take) -> None:
    """Its file makes requests and streams work; without it, nothing is sent."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Server(tls) as server:
        server.play(status(), *log("1"), END)
        assert lines(take(server.url, ca=certificate)) == ["1"]
        with pytest.raises(
            StreamError, match=r"certificate is not trusted: .*give its file as `ca`"
        ):
            take(server.url)
        with Client(server.url) as client, pytest.raises(Unreachable, match="is not trusted"):
            client.get_me()
        with Client(server.url, ca=str(certificate)) as client:
            server.play(refusal(HTTPStatus.TOO_MANY_REQUESTS, "Slowly", **{"Retry-After": "7"}))
            with pytest.raises(ApiError, match="Slowly") as caught:
                client.get_me()
        assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
        assert len(server.paths) == 2


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_program_that_pauses_loses_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    """It is disconnected, because it does not answer either, and goes on where it was."""
    for module in (streams, async_streams):
        monkeypatch.setattr(module, "PING_SECONDS", 0.2)
    service = LogService(memory=5_000)
    for number in range(5_000):
        service.write(f"{number} {'x' * 2_000}")
    server.play(service)
    server.play(service)
    server.play(service)

    async def take() -> list[str]:
        client = kind(server.url, retry=OPTIONS["retry"])
        stream = client.logs(1, since="0001-01-01T00:00:00Z")
        found: list[str] = []
        while len(found) < 5_000:
            event = next(stream) if kind is Client else await anext(stream)
            if isinstance(event, LogLine):
                found.append(event.line.split()[0])
            if len(found) == 10:
                while server.open:
                    await asyncio.sleep(0.01)
        await (asyncio.to_thread(stream.close) if kind is Client else stream.close())
        return found

    assert asyncio.run(asyncio.wait_for(take(), 60)) == [str(number) for number in range(5_000)]
    assert len(server.paths) > 1
