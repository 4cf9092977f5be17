"""A gunicorn worker's end of the bus, with one subscription for each topic in use.

The hub has three greenlets.  One reads live messages and fans them out.  One takes the
broker's replays.  One compares every topic with the broker's memory every
``streams.reconcile_seconds``, because nothing else reveals the loss of a topic's last
message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from bus.wire import Kind, Message
from mist.errors import BusError, WireError
from mist.paths import Paths
from mist.settings import Settings

log = structlog.get_logger(__name__)

# The event of a topic that failed.  The greenlets that serve the others have to go on, so
# every call of a listener is guarded.  A context manager would cost a lone line four calls.
_FAILED: Final = "topic_failed"

# Rest nine times as long as sending took, so that sending lone lines takes a tenth of a
# worker's time.  ``streams.gather_seconds`` limits the rest and thereby the delay.
_REST_FACTOR: Final = 9

# A shorter rest is not worth a timer, because libev counts in milliseconds.
_REST_SECONDS: Final = 0.001

# With this many bytes at once, writes are large already and need not be coalesced.
_LARGE_BYTES: Final = 8_192

# The delay before a request that the socket did not take is sent again: the broker is away,
# or only the other socket has reconnected.
_AGAIN_SECONDS: Final = 0.05

# No collector publishes this topic, so the answer is short.
_PROBE_TOPIC: Final = b"probe/"

ListenerT = TypeVar("ListenerT", bound=Listener)


class Hub:
    """The topics to which a worker is subscribed, and their listeners."""

    def __init__(
        self, paths: Paths, settings: Settings, observe: Callable[[int], object] = lambda _: None
    ) -> None:
        self._paths = paths
        self._observe = observe
        self._settings = settings
        self._context = zmq.Context()
        self._events = Events(paths, settings)
        self._replay = replay_socket(self._context, paths)
        self._listeners: dict[bytes, Listener] = {}
        self._replays: dict[bytes, ReplayClient] = {}
        self._unasked: set[bytes] = set()

    def start(self) -> None:
        """Start reading the bus."""
        for loop in (self._read_events, self._read_replays, self._reconcile):
            gevent.spawn(loop)

    @property
    def topics(self) -> int:
        """The number of subscribed topics."""
        return len(self._listeners)

    def open(self, topic: bytes, make: Callable[[], ListenerT]) -> ListenerT:
        """Return the listener of a topic; subscribe to the topic if it is new."""
        listener = self._listeners.get(topic)
        if listener is None:
            listener = self._listeners[topic] = make()
            self._replays[topic] = ReplayClient(topic, self._settings.streams.reconcile_seconds)
            self._observe(self.topics)
            # Subscribe before asking for a replay, so that no message falls between the two.
            self._events.subscribe(topic)
            self._ask(topic, listener)
        return cast(ListenerT, listener)

    def leave(self, topic: bytes) -> None:
        """Unsubscribe from a topic that has no clients left."""
        listener = self._listeners.get(topic)
        if listener is not None and not listener.clients:
            del self._listeners[topic], self._replays[topic]
            self._observe(self.topics)
            self._events.unsubscribe(topic)

    def problem(self) -> str | None:
        """Return why the broker does not answer; None if it answers."""
        try:
            ask_replay(self._context, self._paths, _PROBE_TOPIC, timeout=ANSWER_SECONDS)
        except BusError as error:
            return str(error)
        return None

    def _read_events(self) -> None:
        while True:
            touched, size = self._receive()
            begin = time.monotonic()
            # Once per listener and round, however many messages it received.
            for listener in touched:
                try:
                    listener.flush()
                except Exception:
                    log.exception(_FAILED)
            # Sleep even for zero seconds: a busy bus must not starve the other greenlets.
            gevent.sleep(self._rest(time.monotonic() - begin, size))

    def _receive(self) -> tuple[set[Listener], int]:
        """Take at least one message.  Return the listeners concerned and the size in bytes."""
        arrived, size = self._events.receive()
        touched = {listener for frames in arrived if (listener := self._take(frames)) is not None}
        return touched, size

    def _rest(self, spent: float, size: int) -> float:
        """Return how long to coalesce lines after sending ``size`` bytes took ``spent`` seconds."""
        # The cost of a small write is the system call, which can take several lines as well.
        rest = min(_REST_FACTOR * spent, self._settings.streams.gather_seconds)
        return rest if size < _LARGE_BYTES and rest >= _REST_SECONDS else 0.0

    def _take(self, frames: list[bytes]) -> Listener | None:
        try:
            message = wire.parse(frames)
        except WireError as error:
            log.warning("bus_message_dropped", reason=str(error))
            return None
        listener = self._listeners.get(message.topic)
        if message.header.kind is Kind.POSITION:
            self._compare(message, listener)
        elif listener is not None:  # None: the last client left with the message in transit
            knew = listener.missing
            try:
                listener.feed(message)
            except Exception:
                log.exception(_FAILED)
            if listener.missing and not knew:
                self._ask(message.topic, listener)
        return listener

    def _compare(self, message: Message, listener: Listener | None) -> None:
        """Ask for what a listener lacks up to the position that the broker tells."""
        if listener is None or not (known := listener.position) or not known.epoch:
            return  # a new listener lacks everything, and has asked
        if (message.header.epoch, message.header.seq) > known:
            self._replays[message.topic].hurry()
            self._ask(message.topic, listener)

    def _read_replays(self) -> None:
        while True:
            try:
                snapshot = parse_replay_reply(self._replay.recv_multipart())
            except WireError as error:
                log.warning("replay_dropped", reason=str(error))
                continue
            self._fill(snapshot)

    def _fill(self, snapshot: Snapshot) -> None:
        """Pass a replay to the topic's listener, if it answers a request for this listener."""
        replay = self._replays.get(snapshot.topic)
        if replay is None or not replay.take(snapshot, time.monotonic()):
            return
        listener = self._listeners[snapshot.topic]
        try:
            # With unread messages in the socket, a missing one may still be among them.
            listener.fill(snapshot, settled=replay.settled and self._events.drained)
            listener.flush()
        except Exception:
            log.exception(_FAILED)
        if listener.missing and snapshot.epoch:
            # More was lost while this replay was in transit.  (A broker that does not know
            # the topic yet is asked again in the next turn.)
            self._ask(snapshot.topic, listener)

    def _reconcile(self) -> None:
        while True:
            gevent.sleep(self._settings.streams.reconcile_seconds)
            # A copy, because closing a connection may remove its topic.
            for topic, listener in list(self._listeners.items()):
                try:
                    listener.reconcile()
                except Exception:
                    log.exception(_FAILED)
                self._ask(topic, listener)

    def _ask(self, topic: bytes, listener: Listener) -> None:
        """Ask for the messages after the listener's position, unless a request is pending."""
        replay, now = self._replays[topic], time.monotonic()
        if listener.position is None or not replay.free(now):
            return
        try:
            self._replay.send_multipart(replay.ask(now, listener.position), zmq.NOBLOCK)
        except zmq.Again:
            replay.withdraw()
            if not self._unasked:
                gevent.spawn_later(_AGAIN_SECONDS, self._ask_again)
            self._unasked.add(topic)

    def _ask_again(self) -> None:
        """Ask for the topics whose requests could not be sent."""
        topics, self._unasked = self._unasked, set()
        while topics and not self._unasked:  # if one is not taken, neither are the others
            topic = topics.pop()
            listener = self._listeners.get(topic)
            if listener is not None:
                self._ask(topic, listener)
        self._unasked |= topics
