"""The list of the host's containers in a gunicorn worker, for WebSockets and for HTTP.

The collector knows the engine, and the store knows which application a container belongs
to.  Here the two are put together, once for all clients.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, cast

import falcon
import gevent.event
import msgspec
from msgspec import structs

from api.http.access import require_admin
from api.http.envelope import reply
from api.live.channel import NO_COLLECTOR, Channel, SubscribeOptions
from api.live.hub import Hub
from api.live.ring import Cursor, Parts, Ring
from api.websocket.connection import Connection, FrameSource
from api.websocket.frames import payloads, text_frame
from bus import topics
from bus.wire import Kind
from mist import messages
from mist.errors import StoreError
from mist.settings import Settings
from mist.store import Store

# The samples that a slow client may lag behind; later ones replace what it misses.
_RING_SAMPLES: Final = 30

AppIds = Callable[[], dict[str, int]]
"""Return the application of each container that belongs to one; may raise StoreError."""


def samples_only(settings: Settings, samples: int | None = None) -> Settings:
    """Return settings with a ring for so many samples, by default those for charts."""
    kept = settings.containers.history_samples if samples is None else samples
    lines = min(settings.streams.ring_lines, kept + _RING_SAMPLES)
    return structs.replace(settings, streams=structs.replace(settings.streams, ring_lines=lines))


class ContainerList(Channel):
    """The clients of the list of containers.  Its status is the list."""

    def __init__(self, settings: Settings, app_ids: AppIds) -> None:
        super().__init__(samples_only(settings, 0), Kind.METRICS)
        self._app_ids = app_ids
        self._apps: dict[str, int] = {}
        self._look_up()

    def reconcile(self) -> None:
        """Publish the list again if containers belong to other applications now."""
        if self._look_up() and self._status and self.ending is None:
            self.ring.append(self._status_frame(), Kind.STATUS)
            self.flush()

    def _look_up(self) -> bool:
        """Ask the store for the applications.  Return True if there are others than before."""
        before = self._apps
        with suppress(StoreError):  # what it returned last remains valid
            self._apps = self._app_ids()
        return before != self._apps

    def _status_frame(self) -> bytes:
        """Return the newest list, as of now."""
        try:
            listed = messages.read_containers(self._status)
        except msgspec.MsgspecError:
            return text_frame(self._status)  # not one of our collectors'
        return text_frame(
            messages.containers(
                [structs.replace(each, app_id=self._apps.get(each.name)) for each in listed]
            )
        )

    def _cursor(self, prelude: list[bytes], *, positions: bool) -> Cursor:
        del positions  # there are no lines
        return _ListCursor(self.ring, prelude, self._status_frame)


class _ListCursor(Cursor):
    """A client's position; one that has fallen behind is sent the newest list first."""

    __slots__ = ("_newest",)

    def __init__(self, ring: Ring, prelude: list[bytes], newest: Callable[[], bytes]) -> None:
        super().__init__(ring, prelude)
        self._newest = newest

    def _catch_up(self) -> list[bytes]:
        behind = self._next < self._ring.tail
        super()._catch_up()
        return [self._newest()] if behind else []


class Apps(Protocol):
    """The part of the store's ``apps`` that is needed here."""

    def of_containers(self) -> dict[str, int]:
        """Return the application of each container that belongs to one."""


class ContainersResource:
    """``/api/containers``, only for admins."""

    def __init__(self, hub: Hub, settings: Settings, store: Store) -> None:
        self._hub = hub
        self._settings = settings
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the host's containers."""
        require_admin(req)
        reply(resp, self._first()["data"]["containers"])

    def _first(self) -> dict[str, Any]:
        """Return the newest list; subscribe to it, like any client, for as long as it takes."""
        once = _Once()
        client = cast(Connection, once)  # it has what a channel needs of a connection
        listener = self._hub.open(
            topics.CONTAINERS,
            lambda: ContainerList(self._settings, self._store.apps.of_containers),
        )
        try:
            listener.add(client, SubscribeOptions(tail=0))
            answer = once.wait(self._settings.containers.answer_seconds)
        finally:
            listener.remove(client)
            self._hub.leave(topics.CONTAINERS)
        if answer.get("type") != "containers":
            reason = answer.get("data", {}).get("message", NO_COLLECTOR)
            raise falcon.HTTPServiceUnavailable(
                description=reason, retry_after=self._settings.reader.retry_seconds
            )
        return answer


class _Once:
    """A client of a channel that takes the first message only."""

    def __init__(self) -> None:
        self.source: FrameSource = Parts()
        self._answer: gevent.event.AsyncResult[bytes] = gevent.event.AsyncResult()

    def flush(self) -> None:
        """Take the first message, if there is one."""
        frames = b"".join(self.source.take())
        for _, start, end in payloads(frames):
            if not self._answer.ready():
                self._answer.set(frames[start:end])

    def finish(self, code: int) -> None:
        """Take the reason for which there is nothing to come."""
        del code  # the message says more
        self.flush()

    def wait(self, seconds: float) -> dict[str, Any]:
        """Return the first message; an empty one if none has come in so many seconds."""
        try:
            message = self._answer.get(timeout=seconds) or b"{}"
        except gevent.Timeout:
            return {}
        return dict(msgspec.json.decode(message))
