"""The streams of a synchronous program."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from websockets.sync.client import ClientConnection, reconnect
from websockets.sync.utils import Deadline

from mist_client.address import AGENT, CLOSE_SECONDS, MESSAGE_BYTES, PING_SECONDS, Service
from mist_client.events import Reconnecting
from mist_client.failures import FAILURES, note_loss
from mist_client.follower import Follower
from mist_client.source import E, Source

K = TypeVar("K")


class _Connect(reconnect):
    """A connection attempt that another thread can end.

    It refuses redirects, because a token is for one address only.
    """

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._abandoned = False

    def connect(self) -> ClientConnection:
        """Connect, and let go of the handle afterwards."""
        try:
            return super().connect()
        finally:
            with self._lock:
                if self._handle is not None:
                    self._handle.close()
                self._handle = None

    def open_socket(self, deadline: Deadline) -> socket.socket:
        """Make the TCP connection, and keep a handle on it during the handshakes that follow."""
        made = super().open_socket(deadline)
        with self._lock:
            if self._abandoned:
                made.close()
                raise ConnectionAbortedError
            self._handle = made.dup()  # TLS takes the socket itself over
        return made

    def abandon(self) -> None:
        """End a handshake, or the attempt as soon as there is a TCP connection."""
        with self._lock, contextlib.suppress(OSError):
            self._abandoned = True
            if self._handle is not None:
                self._handle.shutdown(socket.SHUT_RDWR)

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Raise the error of a redirect."""
        return exc


class Stream(Generic[E]):
    """An iterator of events that connects at the first one, and again after each loss.

    It ends where the service says that the stream is complete, and raises StreamError if the
    service refuses it.  The end of a ``with`` block, or dropping the stream, closes the socket;
    until then, the iteration may be left and resumed.
    """

    def __init__(
        self, source: Source[E], service: Service, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._driver = _Driver(source, service, headers)
        # The driver does not refer to this object, so dropping it ends the generator at once.
        self._events = self._driver.follow()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E | Reconnecting:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def only(self, kind: type[K]) -> Iterator[K]:
        """Yield only the events of a type, such as ``only(LogLine)``."""
        for event in self:
            if isinstance(event, kind):
                yield event

    def close(self) -> None:
        """End the stream; in another thread, this also ends an iteration that waits.

        Only an attempt whose TCP connection is not made yet is not interrupted.  The iteration
        then ends with the attempt, after the client's ``timeout`` at the latest.
        """
        self._driver.close()


class _Driver(Generic[E]):
    """Make the connections that a follower wants."""

    def __init__(
        self, source: Source[E], service: Service, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._follower = Follower(source, service.retry)
        self._service = service
        self._headers = headers
        self._closed = threading.Event()
        self._attempt: _Connect | None = None
        self._socket: ClientConnection | None = None

    def close(self) -> None:
        self._follower.stop()
        self._closed.set()
        attempt = self._attempt
        if attempt is not None:
            attempt.abandon()
        socket = self._socket  # the other thread may let go of it meanwhile
        if socket is not None:
            socket.close()

    def follow(self) -> Iterator[E | Reconnecting]:
        follower = self._follower
        while not follower.over:
            try:
                self._attempt = self._connect()
                if follower.over:  # closed just before there was an attempt to abandon
                    return
                with self._attempt as self._socket:
                    yield from self._receive(self._socket)
            except FAILURES as error:
                lost = note_loss(follower, error)
            else:
                return
            finally:
                self._socket = None
            if lost is not None:
                yield lost
                self._closed.wait(follower.delay)

    def _connect(self) -> _Connect:
        query = self._follower.connect()
        return _Connect(
            self._service.socket_url(self._follower.path, query),
            ssl=self._service.socket_tls,
            additional_headers=self._headers(),
            user_agent_header=AGENT,
            open_timeout=self._service.timeout,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_size=MESSAGE_BYTES,
        )

    def _receive(self, socket: ClientConnection) -> Iterator[E]:
        while not self._follower.over:
            try:
                data = socket.recv(self._follower.wait(), decode=False)
            except TimeoutError:
                yield from self._follower.settle()
            else:
                yield from self._follower.receive(data)
