"""The containers of another machine and what they use, for ``mist top``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from websockets.sync.client import ClientConnection

from bus import topics
from bus.follower import Item
from bus.wire import Header, Kind, Message
from cli.remote.following import StreamEnded, receive
from cli.remote.service import UNREADABLE, RemoteService
from mist import close_codes, messages
from mist.messages import HostContainer

# How long the screen waits until the service sends the list or denies it.
_ANSWER_SECONDS: Final = 3.0


class _Listed(msgspec.Struct):
    containers: list[HostContainer]


class _Message(msgspec.Struct):
    """A message of the stream; its type says what ``data`` is."""

    type: str
    data: msgspec.Raw


class RemoteContainers:
    """What a :class:`bus.follower.Follower` of the containers offers, from a stream."""

    def __init__(self, url: str, stream: ClientConnection) -> None:
        self._url = url
        self._stream = stream
        self._arrived: list[Item] = []
        self._over = False
        self._explained = False

    def permitted(self) -> bool:
        """Wait for the service's first answer; return False if it denies the list."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                body = receive(self._stream, left)
            except StreamEnded as ended:
                if ended.code == close_codes.PERMISSION_DENIED:
                    return False
                self._end(ended.code)
                break
            if body is not None:
                self._read(body)
                if not self._explained:
                    break  # otherwise the code follows
        return True

    def take(self, timeout: float) -> list[Item]:
        """Return what arrives within so many seconds."""
        if not self._arrived and not self._over:
            try:
                body = receive(self._stream, timeout)
            except StreamEnded as ended:
                self._end(ended.code)
            else:
                if body is not None:
                    self._read(body)
        found, self._arrived = self._arrived, []
        return found

    def _read(self, body: bytes) -> None:
        try:
            message = msgspec.json.decode(body, type=_Message)
            if message.type == "containers":
                listed = msgspec.json.decode(message.data, type=_Listed).containers
                # The service has made their statuses as of now.
                self._add(Kind.STATUS, messages.containers_on_bus(listed, [""] * len(listed)))
            elif message.type == "stats":
                self._add(Kind.METRICS, body)
            elif message.type == "error":
                self._explained = True
                self._add(Kind.ERROR, body)
        except UNREADABLE:
            return  # a later version's; the next one may be readable

    def _end(self, code: int) -> None:
        self._over = True
        if not self._explained:
            text = f"{self._url} closed the stream of the containers with code {code}"
            self._add(Kind.ERROR, messages.error(text))

    def _add(self, kind: Kind, body: bytes) -> None:
        self._arrived.append(Message(topics.CONTAINERS, Header(kind, epoch=1, term=1, seq=1), body))


@contextmanager
def remote_containers(service: RemoteService) -> Iterator[RemoteContainers | None]:
    """Open the stream of the containers; yield None to a user who may not see them."""
    with service.stream("/ws/containers") as stream:
        containers = RemoteContainers(service.url, stream)
        yield containers if containers.permitted() else None
