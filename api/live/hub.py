"""A gunicorn worker's end of the bus: one subscription for each topic that it shows.

Three greenlets: one reads the events and fans them out, one takes the broker's
replays, and one compares every topic with the broker's memory each
``streams.reconcile_seconds``, because the loss of a topic's last message shows
nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeVar, cast

import gevent
import structlog
import zmq.green as zmq

from api.live.events import Events
from api.live.listener import Listener
from bus import wire
from bus.replay import Snapshot, parse_replay_reply
from bus.replay_client import ANSWER_SECONDS, ReplayClient
from bus.subscriber import ask_replay, replay_socket
from mist.errors import BusError, WireError
from mist.paths import Paths
from mist.settings import Settings

log = structlog.get_logger(__name__)

# A worker that lines reach one by one spends a tenth of its time on sending them,
# unless that would keep them longer than ``streams.gather_seconds``.
_REST_FACTOR: Final = 9

# A shorter rest is not worth a timer, which libev counts in milliseconds.
_REST_SECONDS: Final = 0.001

# With this much at once lines need not gather any more: each write is large already.
_LARGE_BYTES: Final = 8_192

_PROBE_TOPIC: Final = b"probe/"

ListenerT = TypeVar("ListenerT", bound=Listener)


class Hub:
    """The topics that a worker is subscribed to, and who listens to them."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._context = zmq.Context()
        self._events = Events(paths, settings)
        self._replay = replay_socket(self._context, paths)
        self._listeners: dict[bytes, Listener] = {}
        self._replays: dict[bytes, ReplayClient] = {}

    def start(self) -> None:
        """Begin to read the bus."""
        for loop in (self._read_events, self._read_replays, self._reconcile):
            gevent.spawn(loop)

    @property
    def topics(self) -> int:
        """How many topics the worker is subscribed to."""
        return len(self._listeners)

    def open(self, topic: bytes, make: Callable[[], ListenerT]) -> ListenerT:
        """The listener of a topic; the first to ask for it subscribes."""
        listener = self._listeners.get(topic)
        if listener is None:
            listener = self._listeners[topic] = make()
            self._replays[topic] = ReplayClient(topic, self._settings.streams.reconcile_seconds)
            self._events.subscribe(topic)
            self._ask(topic, listener)
        return cast(ListenerT, listener)

    def leave(self, topic: bytes) -> None:
        """Unsubscribe if the topic has no client any more."""
        listener = self._listeners.get(topic)
        if listener is not None and not listener.clients:
            del self._listeners[topic], self._replays[topic]
            self._events.unsubscribe(topic)

    def problem(self) -> str | None:
        """Why the broker does not answer; None if it does."""
        try:
            ask_replay(self._context, self._paths, _PROBE_TOPIC, timeout=ANSWER_SECONDS)
        except BusError as error:
            return str(error)
        return None

    def _read_events(self) -> None:
        while True:
            touched, size = self._receive()
            begin = time.monotonic()
            for listener in touched:
                with _apart:
                    listener.flush()
            # A bus that always has more must not keep the clients' greenlets waiting.
            gevent.sleep(self._rest(time.monotonic() - begin, size))

    def _receive(self) -> tuple[set[Listener], int]:
        """Take what the bus has, at least one message: whom it concerns, and its bytes."""
        arrived, size = self._events.receive()
        touched = {listener for frames in arrived if (listener := self._take(frames)) is not None}
        return touched, size

    def _rest(self, spent: float, size: int) -> float:
        """How long to let lines gather after sending ``size`` bytes to clients took ``spent``.

        What a small write costs is the system call, and the same call takes
        several lines as well as one.
        """
        rest = min(_REST_FACTOR * spent, self._settings.streams.gather_seconds)
        return rest if size < _LARGE_BYTES and rest >= _REST_SECONDS else 0.0

    def _take(self, frames: list[bytes]) -> Listener | None:
        try:
            message = wire.parse(frames)
        except WireError as error:
            log.warning("bus_message_dropped", reason=str(error))
            return None
        listener = self._listeners.get(message.topic)
        if listener is not None:
            knew = listener.missing
            with _apart:
                listener.feed(message)
            if listener.missing and not knew:
                self._ask(message.topic, listener)
        return listener

    def _read_replays(self) -> None:
        while True:
            try:
                snapshot = parse_replay_reply(self._replay.recv_multipart())
            except WireError as error:
                log.warning("replay_dropped", reason=str(error))
                continue
            self._fill(snapshot)

    def _fill(self, snapshot: Snapshot) -> None:
        """Give a replay to the topic's listener, if it was asked for on its behalf."""
        replay = self._replays.get(snapshot.topic)
        if replay is None or not replay.take(snapshot, time.monotonic()):
            return
        listener = self._listeners[snapshot.topic]
        with _apart:
            listener.fill(snapshot, settled=replay.settled and self._events.drained)
            listener.flush()
        if listener.missing and snapshot.epoch:
            # More was lost while this replay was in transit.  (A broker that
            # knows nothing of the topic yet is asked in the next turn.)
            self._ask(snapshot.topic, listener)

    def _reconcile(self) -> None:
        while True:
            gevent.sleep(self._settings.streams.reconcile_seconds)
            for topic, listener in list(self._listeners.items()):
                with _apart:
                    listener.reconcile()
                self._ask(topic, listener)

    def _ask(self, topic: bytes, listener: Listener) -> None:
        """Ask for what followed, unless an answer is awaited already.

        A broker that is away is asked again in the next turn.
        """
        replay, now = self._replays[topic], time.monotonic()
        if listener.position is None or not replay.free(now):
            return
        try:
            self._replay.send_multipart(replay.ask(now, listener.position), zmq.NOBLOCK)
        except zmq.Again:
            replay.withdraw()


class _Apart:
    """What fails in one topic is logged, and ends nothing that serves the others."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log.error("topic_failed", exc_info=(kind, error, trace))
        return True


# One for all: a generator for each would cost a lone line more than its ring does.
_apart: Final = _Apart()
