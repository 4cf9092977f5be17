"""The streams of a program on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from mist_client.address import AGENT, CLOSE_SECONDS, MESSAGE_BYTES, PING_SECONDS, Service
from mist_client.events import Reconnecting
from mist_client.failures import FAILURES, note_loss
from mist_client.follower import Follower
from mist_client.source import E, Source

K = TypeVar("K")


class _Connect(connect):
    """Refuse redirects, as the synchronous client does: a token is for one address only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Raise the error of a redirect."""
        return exc


class AsyncStream(Generic[E]):
    """An asynchronous iterator of events; otherwise like :class:`Stream`.

    The end of an ``async with`` block closes the socket.  A stream that is merely dropped is
    closed by the event loop soon afterwards.
    """

    def __init__(
        self, source: Source[E], service: Service, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._driver = _Driver(source, service, headers)
        # The driver does not refer to this object, so dropping it ends the generator.
        self._events = self._driver.follow()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E | Reconnecting:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def only(self, kind: type[K]) -> AsyncIterator[K]:
        """Yield only the events of a type, such as ``only(LogLine)``."""
        async for event in self:
            if isinstance(event, kind):
                yield event

    async def close(self) -> None:
        """End the stream; in another task, this also ends an iteration that waits."""
        await self._driver.close()


class _Driver(Generic[E]):
    """Make the connections that a follower wants."""

    def __init__(
        self, source: Source[E], service: Service, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._follower = Follower(source, service.retry)
        self._service = service
        self._headers = headers
        self._closed = asyncio.Event()
        self._attempt: asyncio.Timeout | None = None
        self._socket: ClientConnection | None = None

    async def close(self) -> None:
        self._follower.stop()
        self._closed.set()
        attempt, self._attempt = self._attempt, None  # it can be ended only once
        if attempt is not None:
            attempt.reschedule(0)  # a time that has passed: now
        if self._socket is not None:
            await self._socket.close()

    async def follow(self) -> AsyncIterator[E | Reconnecting]:
        follower = self._follower
        while not follower.over:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    self._socket = await self._open(stack)
                    async for event in self._receive(self._socket):
                        yield event
            except FAILURES as error:
                lost = note_loss(follower, error)
            else:
                return
            finally:
                self._socket = None
            if lost is not None:
                yield lost
                await self._sleep(follower.delay)

    async def _open(self, stack: contextlib.AsyncExitStack) -> ClientConnection:
        """Connect; raise TimeoutError if the stream is closed meanwhile."""
        try:
            async with asyncio.timeout(None) as self._attempt:
                return await stack.enter_async_context(self._connect())
        finally:
            self._attempt = None

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

    async def _receive(self, socket: ClientConnection) -> AsyncIterator[E]:
        while not self._follower.over:
            try:
                async with asyncio.timeout(self._follower.wait()):
                    data = await socket.recv(decode=False)
            except TimeoutError:
                events = self._follower.settle()
            else:
                events = self._follower.receive(data)
            for event in events:
                yield event

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
