"""The streams of a synchronous program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from websockets.sync.client import ClientConnection, reconnect

from mist_client.address import AGENT, CLOSE_SECONDS, MESSAGE_BYTES, PING_SECONDS, Service
from mist_client.events import Reconnecting
from mist_client.failures import FAILURES, note_loss
from mist_client.follower import Follower
from mist_client.source import E, Source

K = TypeVar("K")


class _Connect(reconnect):
    """Refuse redirects: a token is for one address only."""

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
        """End the stream; in another thread, this also ends an iteration that waits."""
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
        self._socket: ClientConnection | None = None

    def close(self) -> None:
        self._follower.stop()
        self._closed.set()
        socket = self._socket  # the other thread may let go of it meanwhile
        if socket is not None:
            socket.close()

    def follow(self) -> Iterator[E | Reconnecting]:
        follower = self._follower
        while not follower.over:
            try:
                with self._connect() as self._socket:
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
