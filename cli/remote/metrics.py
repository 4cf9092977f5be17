"""The metrics of a service on another machine, for ``mist top``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.sync.client import ClientConnection

from bus import topics
from bus.wire import Header, Kind, Message
from cli.remote.following import StreamEnded, receive
from cli.remote.service import UNREADABLE, RemoteError, RemoteService
from mist import close_codes, messages
from mist.errors import Exit


class RemoteMetrics:
    """What a :class:`bus.follower.Follower` of the metrics offers, from a stream."""

    def __init__(self, url: str, stream: ClientConnection) -> None:
        self._url = url
        self._stream = stream
        self._number = 0

    def take(self, timeout: float) -> list[Message]:
        """Return what arrives next; an empty list after ``timeout`` seconds."""
        found: list[Message] = []
        deadline = time.monotonic() + timeout
        while True:
            wait = 0.0 if found else max(0.0, deadline - time.monotonic())
            try:
                body = receive(self._stream, wait)
            except StreamEnded as ended:
                raise self._end(ended.code) from None
            if body is None:
                return found
            try:
                messages.read_metrics(body)
            except UNREADABLE:
                continue  # an error, whose code follows, or a later version's
            self._number += 1
            header = Header(Kind.METRICS, epoch=1, term=1, seq=self._number)
            found.append(Message(topics.METRICS, header, body))

    def _end(self, code: int) -> RemoteError:
        if code in {close_codes.SESSION_EXPIRED, close_codes.PERMISSION_DENIED}:
            return RemoteError(
                f"{self._url} denies this token the metrics of the host", Exit.NO_PERMISSION
            )
        return RemoteError(f"{self._url} closed the stream with code {code}; start again")


@contextmanager
def remote_metrics(service: RemoteService, history: int) -> Iterator[RemoteMetrics]:
    """Open the stream of the metrics, beginning with ``history`` samples."""
    with service.stream("/ws/metrics", history=history) as stream:
        yield RemoteMetrics(service.url, stream)
