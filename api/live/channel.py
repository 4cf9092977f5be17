"""One topic in a gunicorn worker: its order, its ring, its state and its clients.

Clients that come before the collector has loaded the history wait for it; those
that come later start from the ring.  Nothing here blocks or switches greenlets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from gevent import spawn_later

from api.live import ring as rings
from api.live.listener import Listener
from api.live.refusal import refuse
from api.live.ring import Cursor, Parts, Ring
from api.websocket.connection import Connection
from api.websocket.frames import text_frame, text_frames
from bus.reorder import Gap, ReorderBuffer
from bus.replay import Position, Snapshot
from bus.stream_state import StreamState
from bus.wire import Kind, Message
from mist import close_codes, messages
from mist.log_range import LogRange
from mist.settings import Settings

NO_COLLECTOR = "The collector does not start; see `mist status` on the server"

# Calls a function with an argument after some seconds, as gevent.spawn_later does.
Later = Callable[[float, Callable[[Connection], None], Connection], object]


class SubscribeOptions(NamedTuple):
    """What a client wants to see first.

    ``tail`` are the last messages of the kind that the topic carries, ``since``
    limits them to what followed a time stamp, ``stopped`` asks for the tail of a
    container that does not run, too.
    """

    tail: int | None
    since: str | None = None
    stopped: bool = False


class StreamEnd(NamedTuple):
    """The message that ended a stream, and the code that its clients are closed with."""

    kind: Kind
    body: bytes
    code: int


class Channel(Listener):
    """The clients of one topic and what they share."""

    def __init__(
        self, settings: Settings, kind: Kind = Kind.LOG, later: Later = spawn_later
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._later = later
        self._sequence = ReorderBuffer(settings.bus.subscriber_queue)
        self.ring = Ring(settings.streams.ring_lines, settings.streams.ring_bytes)
        self.ending: StreamEnd | None = None
        self._reach = settings.replay.lines
        self._status = b""
        self._state = StreamState()
        self._truncated = False
        self._waiting: dict[Connection, SubscribeOptions] = {}
        self._doubting: set[Connection] = set()
        self._joined: dict[Connection, Cursor] = {}

    @property
    def clients(self) -> int:
        """How many clients the channel has."""
        return len(self._waiting) + len(self._joined)

    @property
    def position(self) -> Position:
        """Up to where the topic was passed on."""
        return self._sequence.position

    @property
    def missing(self) -> bool:
        """Whether messages between that and later ones are not there."""
        return self._sequence.missing

    def add(self, connection: Connection, wish: SubscribeOptions) -> None:
        """Take a client in; it is served as soon as the history is there."""
        self._waiting[connection] = wish
        self._later(self._settings.streams.start_seconds, self.give_up, connection)
        self._settle_known()

    def remove(self, connection: Connection) -> None:
        """Let a client go."""
        self._waiting.pop(connection, None)
        self._doubting.discard(connection)
        self._joined.pop(connection, None)

    def feed(self, message: Message) -> None:
        """Take a live message from the bus."""
        self._apply(self._sequence.feed(message))
        if self._ready():
            self.settle_all()

    def fill(self, snapshot: Snapshot, *, settled: bool) -> None:
        """Take what the broker remembers."""
        if not self.ring.head and snapshot.messages:
            self._truncated = snapshot.messages[0].header.seq > 1
        self._apply(self._sequence.fill(snapshot, settled=settled))
        self._settle_known()

    def flush(self) -> None:
        """Send every client what it has not yet got, as far as its socket takes it."""
        for connection in self._joined:
            connection.flush()

    def settle_all(self) -> None:
        """Serve every client that waits."""
        for connection in list(self._waiting):
            self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """Serve a client that waits, by what is known now."""
        self._doubting.discard(connection)
        wish = self._waiting.pop(connection, None)
        if wish is None:
            return
        if self.ending is not None:
            self._refuse(connection, wish, self.ending)
        else:
            self._join(connection, wish)

    def give_up(self, connection: Connection) -> None:
        """Close a client that has waited too long."""
        self._doubting.discard(connection)
        if self._waiting.pop(connection, None) is not None:
            refuse(connection, NO_COLLECTOR, close_codes.TRY_AGAIN_LATER)

    def _settle_known(self) -> None:
        """Serve those who wait by what is known without a live message.

        An ending that is only remembered may be out of date: the container may
        just have been started.  A collector that is there would say so within
        ``collector.retry_seconds``, so the clients wait for that long.
        """
        if not self._ready():
            return
        if self.ending is None:
            self.settle_all()
        else:
            # Once for each: many who come at once must not set timers for one another.
            for connection in self._waiting.keys() - self._doubting:
                self._later(2 * self._settings.collector.retry_seconds, self.settle, connection)
            self._doubting.update(self._waiting)

    def _ready(self) -> bool:
        """Return True if clients can be served: with the history, or with why there is none."""
        return self._state.complete or self.ending is not None

    def _apply(self, ordered: Iterable[Message | Gap]) -> None:
        for item in ordered:
            if isinstance(item, Gap):
                self.ring.append(text_frame(messages.skipped(item.lost)), Kind.STATUS)
            else:
                self._take(item)

    def _take(self, message: Message) -> None:
        header, body = message.header, message.body
        self._state.take(header)
        if header.kind is Kind.LOG:
            last = messages.log_timestamp(body[body.rfind(b"\n") + 1 :][:64])
            self.ring.append(text_frames(body), Kind.LOG, header.count, last)
        elif header.kind is not Kind.READY:
            self.ring.append(text_frame(body), header.kind)
        if header.kind is Kind.STATUS:
            self._status, self.ending = body, None
        elif header.final:
            self._end(StreamEnd(header.kind, body, header.code))

    def _end(self, ending: StreamEnd) -> None:
        """Close everybody once they have what came before the end."""
        self.ending = ending
        for connection, cursor in self._joined.items():
            cursor.stop_here()
            connection.finish(ending.code)
        self._joined.clear()

    def _join(self, connection: Connection, wish: SubscribeOptions) -> None:
        cursor = Cursor(self.ring, self._prelude(wish))
        self._joined[connection] = cursor
        connection.source = cursor
        connection.flush()

    def _prelude(self, wish: SubscribeOptions) -> list[bytes]:
        """The status, and of what was there before the client what it wishes."""
        status = [text_frame(self._status)] if self._status else []
        wanted = LogRange(wish.tail, wish.since)
        chosen = wanted.select(rings.timestamps(self.ring), self._reach)
        skipped = chosen.skipped(complete=self._complete())
        notice = [text_frame(messages.skipped(skipped))] if skipped else []
        return status + notice + rings.tail(self.ring, chosen.lines, self._kind)

    def _complete(self) -> bool:
        """Return True if all that the container ever wrote is here."""
        return not (self._truncated or self.ring.tail > 0 or self.ring.lines >= self._reach)

    def _refuse(self, connection: Connection, wish: SubscribeOptions, ending: StreamEnd) -> None:
        """Tell a client that came after the end why there is nothing to follow."""
        code = ending.code
        body = ending.body
        parts: list[bytes] = []
        if ending.kind is Kind.END:
            code = close_codes.NOT_RUNNING
            body = messages.error(f"Container is not running (state: {self._engine_state()})")
        if code == close_codes.NOT_RUNNING:
            parts = self._prelude(wish if wish.stopped else SubscribeOptions(tail=0))
        connection.source = Parts(*parts, text_frame(body))
        connection.finish(code)

    def _engine_state(self) -> str:
        try:
            return messages.read_status(self._status).state
        except msgspec.MsgspecError:
            return "unknown"
