"""Third-party WebSocket clients with a common interface.

Each client runs in a thread and collects everything that arrives, so that a test only says
what it waits for. Node's ``ws`` is a process with a thread that reads its output.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.service.programs import program
from tests.support.wait import wait_until

_NODE_CLIENT: Final = Path(__file__).with_name("client.mjs")
#: A line of 1 MiB, in which JSON may write each byte as six.
_LARGEST: Final = 8 * 1024 * 1024
#: The maximum lifetime of a client in seconds, longer than any test.
_LONGEST: Final = 300.0
#: ws:// to a loopback address must not use an HTTP proxy of the environment.
_LOCAL: Final = "127.0.0.1"


class Refusal(NamedTuple):
    """The ordinary HTTP response to a refused handshake."""

    status: int
    body: str

    @property
    def message(self) -> str:
        """The message of the body's JSON object."""
        return str(json.loads(self.body)["message"])


class Client:
    """A client that connects when it is made and collects until either side closes.

    ``texts`` holds the messages as they arrived, ``messages`` the decoded ones, ``lines``
    the text of the log messages, and ``arrivals`` the times of arrival (``time.monotonic``).
    ``code`` and ``reason`` are those of the server's close frame: None and "" while open, and
    1006 if the connection broke.
    """

    kind: ClassVar[str]

    def __init__(self, url: str, cookie: str | None = None, origin: str | None = None) -> None:
        self.url = url
        self.cookie = cookie
        self.origin = origin
        self.texts: list[str] = []
        self.messages: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._by_type: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.arrivals: list[float] = []
        self.refusal: Refusal | None = None
        self.code: int | None = None
        self.reason = ""
        self.opened = threading.Event()
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self._collect, name=f"{self.kind} client")
        self._thread.daemon = True
        self._thread.start()

    # ----------------------------------------------------------------- waiting

    def wait_open(self, seconds: float = 30.0) -> None:
        """Wait until the handshake is accepted; raise AssertionError if it is refused."""
        wait_until(lambda: self.opened.is_set() or self.closed.is_set(), "the handshake", seconds)
        assert self.opened.is_set(), f"refused: {self.refusal} {self.reason}"

    def wait_for(
        self, condition: Callable[[list[dict[str, Any]]], object], seconds: float = 30.0
    ) -> None:
        """Wait until the received messages satisfy ``condition``."""
        try:
            wait_until(lambda: condition(self.messages), "messages", seconds)
        except AssertionError as error:
            state = f"code {self.code} {self.reason!r}, refusal {self.refusal}"
            newest = "\n".join(text[:200] for text in self.texts[-10:])
            raise AssertionError(
                f"{error}; {state}, newest of {len(self.texts)}:\n{newest}"
            ) from None

    def wait_lines(self, count: int, seconds: float = 60.0) -> list[str]:
        """Wait for at least ``count`` log lines and return them."""
        self.wait_for(lambda _: len(self.lines) >= count, seconds)
        return self.lines

    def wait_closed(self, seconds: float = 30.0) -> int:
        """Wait until the server has closed the connection and return its close code."""
        self.wait_for(lambda _: self.closed.is_set(), seconds)
        assert self.code is not None, f"refused: {self.refusal}"
        return self.code

    @property
    def types(self) -> list[str]:
        """Return the messages' types, None for metrics."""
        return [message.get("type", "") for message in list(self.messages)]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of one type."""
        return list(self._by_type.get(kind, ()))

    def close(self) -> None:
        """Close the connection from our side and wait until it is closed."""
        wait_until(lambda: self.opened.is_set() or self.closed.is_set(), "the handshake", 60)
        self._close()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the client does not end"

    # -------------------------------------------------------------- subclasses

    def _note(self, text: str | bytes) -> None:
        self.arrivals.append(time.monotonic())
        self.texts.append(text if isinstance(text, str) else text.decode())
        message = json.loads(text)
        self.messages.append(message)
        self._by_type[message.get("type", "")].append(message)
        if message.get("type") == "log":
            self.lines.append(message["data"]["line"])

    def _ended(self, code: int | None, reason: str) -> None:
        self.code, self.reason = code, reason

    def _collect(self) -> None:
        try:
            self._run()
        except OSError as error:
            self._ended(1006, str(error))
        finally:
            self.closed.set()

    def _run(self) -> None:
        raise AssertionError("a client has its own way to run")

    def _close(self) -> None:
        raise AssertionError("a client has its own way to close")


class WebsocketsClient(Client):
    """The threading client of ``websockets``."""

    kind = "websockets"

    def _run(self) -> None:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        try:
            with connect(
                self.url,
                additional_headers=headers,
                origin=self.origin,  # type: ignore[arg-type]  # a NewType of str
                max_size=_LARGEST,
                proxy=None,
                open_timeout=30,
            ) as self._connection:
                self._read(self._connection)
        except InvalidStatus as error:
            body = error.response.body or b""
            self.refusal = Refusal(error.response.status_code, bytes(body).decode())

    def _read(self, connection: ClientConnection) -> None:
        self.opened.set()
        # Codes other than 1000 and 1001 raise; all are recorded below.
        with contextlib.suppress(ConnectionClosed):
            for text in connection:
                self._note(text)
        self._ended(connection.close_code or 1006, connection.close_reason or "")

    def _close(self) -> None:
        if self.opened.is_set():
            self._connection.close()


class WebsocketClientClient(Client):
    """The client of ``websocket-client``."""

    kind = "websocket-client"

    def _run(self) -> None:
        try:
            self._connection = websocket.create_connection(
                self.url,
                cookie=self.cookie,
                origin=self.origin,
                suppress_origin=self.origin is None,
                timeout=120,
                http_no_proxy=[_LOCAL],
            )
        except websocket.WebSocketBadStatusException as error:
            self.refusal = Refusal(error.status_code, (error.resp_body or b"").decode())
            return
        self.opened.set()
        try:
            self._read(self._connection)
        finally:
            self._connection.shutdown()  # type: ignore[no-untyped-call]

    def _read(self, connection: websocket.WebSocket) -> None:
        while True:
            try:
                opcode, data = connection.recv_data()
            except websocket.WebSocketConnectionClosedException as error:
                self._ended(1006, str(error))
                return
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self._ended(int.from_bytes(data[:2], "big") or 1005, data[2:].decode())
                return
            self._note(data)

    def _close(self) -> None:
        if self.opened.is_set() and not self.closed.is_set():
            # Send only the close frame; the receiving thread reads the answer.
            self._connection.send_close()


class NodeClient(Client):
    """Node's ``ws`` in a process of its own that reports in newline-delimited JSON."""

    kind = "ws"

    def _run(self) -> None:
        options = json.dumps({"url": self.url, "cookie": self.cookie, "origin": self.origin})
        command, pipe = ("node", _NODE_CLIENT, options), subprocess.PIPE
        with program(command, _LONGEST, stdin=pipe, stdout=pipe) as self._process:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                self._report(json.loads(line))

    def _report(self, event: dict[str, Any]) -> None:
        match event:
            case {"open": _}:
                self.opened.set()
            case {"message": text}:
                self._note(text)
            case {"refused": status, "body": body}:
                self.refusal = Refusal(status, body)
            case {"close": code, "reason": reason}:
                self._ended(None if self.refusal else code, reason)

    def _close(self) -> None:
        """End the script's input, on which it closes the connection."""
        if self._process.stdin is not None:
            self._process.stdin.close()


ALL: Final[tuple[type[Client], ...]] = (WebsocketsClient, WebsocketClientClient, NodeClient)
