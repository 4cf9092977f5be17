"""One topic in a gunicorn worker: its order, its ring, its state and its clients.

Clients that arrive before the collector has loaded the history wait for it.  Later
clients start from the ring.  Nothing here blocks or switches greenlets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from gevent import spawn_later

from api.live.listener import Listener
from api.live.refusal import refuse
from api.live.ring import Cursor, Parts, Ring
from api.websocket.connection import Connection
from api.websocket.frames import text_frame, text_frames
from bus.reorder import Gap, ReorderBuffer
from bus.replay import START, Position, Snapshot
from bus.stream_state import StreamState
from bus.wire import Kind, Message
from mist import close_codes, messages
from mist.log_range import NOWHERE, LinePosition, LogRange
from mist.settings import Settings

NO_COLLECTOR = "The collector does not start; see `mist status` on the server"

# A function that calls another one after some seconds, with the signature of
# gevent.spawn_later.
Later = Callable[[float, Callable[[Connection], None], Connection], object]


class SubscribeOptions(NamedTuple):
    """The messages that a client wants to see first."""

    tail: int | None
    """The number of last messages of the kind that the topic carries."""
    since: str | LinePosition | None = None
    """Only messages after the line with this time stamp, or at this position."""
    stopped: bool = False
    """Send the tail even if the container is not running."""
    positions: bool = False
    """Add its position to each line."""


class StreamEnd(NamedTuple):
    """The message that ended a stream, and the close code for its clients."""

    kind: Kind
    body: bytes
    code: int


class Channel(Listener):
    """The clients of one topic, and the state that they share."""

    def __init__(
        self, settings: Settings, kind: Kind = Kind.LOG, later: Later = spawn_later
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._later = later
        self._reorder = ReorderBuffer(settings.bus.subscriber_queue)
        self.ring = Ring(settings.streams.ring_lines, settings.streams.ring_bytes)
        self.ending: StreamEnd | None = None
        self._reach = settings.replay.lines
        self._status = b""
        self._state = StreamState()
        self._truncated = False
        self._waiting: dict[Connection, SubscribeOptions] = {}
        self._unconfirmed: set[Connection] = set()
        self._awaited: set[Connection] = set()
        self._with_positions: set[Connection] = set()
        self._joined: dict[Connection, Cursor] = {}

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self._waiting) + len(self._joined)

    @property
    def position(self) -> Position:
        """The position up to which the topic was passed on."""
        return self._reorder.position

    @property
    def missing(self) -> bool:
        """Return True if messages after the position are missing."""
        return self._reorder.missing

    def add(self, connection: Connection, options: SubscribeOptions) -> None:
        """Add a client, and serve it as soon as the history is complete."""
        self._waiting[connection] = options
        # No collector may ever start; do not leave the client without an answer.
        self._later(self._settings.streams.start_seconds, self.give_up, connection)
        self._settle_known()

    def remove(self, connection: Connection) -> None:
        """Remove a client."""
        self._waiting.pop(connection, None)
        self._unconfirmed.discard(connection)
        self._awaited.discard(connection)
        self._joined.pop(connection, None)
        self._with_positions.discard(connection)
        if not self._with_positions:
            self.ring.forget_positions()

    def feed(self, message: Message) -> None:
        """Take a live message from the bus."""
        self._apply(self._reorder.feed(message))
        # A live message shows the present state, so not even an ending needs confirmation.
        if self._waiting and self._ready():
            self.settle_all()

    def fill(self, snapshot: Snapshot, *, settled: bool) -> None:
        """Take a replay of the broker's memory."""
        # The first replay shows whether the broker still has the topic's beginning.
        if not self.ring.head and snapshot.messages:
            self._truncated = snapshot.messages[0].header.seq > 1
        self._apply(self._reorder.fill(snapshot, settled=settled))
        self._settle_known()

    def flush(self) -> None:
        """Send every client its pending messages, as far as its socket takes them."""
        for connection in self._joined:
            connection.flush()

    def settle_all(self) -> None:
        """Serve every waiting client that has not seen more than this worker."""
        for connection, options in list(self._waiting.items()):
            if self._ahead(options):
                self._await(connection)
            else:
                self.serve(connection)

    def serve(self, connection: Connection) -> None:
        """Serve a waiting client according to the present state."""
        self._unconfirmed.discard(connection)
        self._awaited.discard(connection)
        options = self._waiting.pop(connection, None)
        if options is None:
            return  # served or gone before its timer fired
        if self.ending is not None:
            self._refuse(connection, options, self.ending)
        elif self._ahead(options):
            self._join(connection, options._replace(since=NOWHERE))
        else:
            self._join(connection, options)

    def _ahead(self, options: SubscribeOptions) -> bool:
        """Return True if the client's position is one that this worker has yet to reach.

        Another worker may have been faster.
        """
        return isinstance(options.since, LinePosition) and options.since > self.position

    def _await(self, connection: Connection) -> None:
        """Let a client wait until this worker has reached its position."""
        if connection not in self._awaited:
            self._awaited.add(connection)
            # By then, a replay has brought this worker up to what the broker has.  A position
            # that is still ahead is not one of this topic's.
            wait = 2 * self._settings.streams.reconcile_seconds
            self._later(wait, self.serve, connection)

    def give_up(self, connection: Connection) -> None:
        """Close a client that has waited too long."""
        self._unconfirmed.discard(connection)
        self._awaited.discard(connection)
        # The timer also fires for clients that were served in the meantime.
        if self._waiting.pop(connection, None) is not None:
            refuse(connection, NO_COLLECTOR, close_codes.TRY_AGAIN_LATER)

    def _settle_known(self) -> None:
        """Serve the waiting clients according to what is known without a live message."""
        if not self._ready():
            return
        if self.ending is None:
            self.settle_all()
        else:
            # A remembered ending may be outdated, because the container may just have been
            # started.  A running collector reports that within ``collector.retry_seconds``,
            # so wait twice as long before using the ending.
            # One timer for each client: clients that arrive together must not set timers
            # for one another.
            for connection in self._waiting.keys() - self._unconfirmed:
                self._later(2 * self._settings.collector.retry_seconds, self.serve, connection)
            self._unconfirmed.update(self._waiting)

    def _ready(self) -> bool:
        """Return True if clients can be served, with the history or with why there is none."""
        return self._state.complete or self.ending is not None

    def _apply(self, ordered: Iterable[Message | Gap]) -> None:
        for item in ordered:
            if isinstance(item, Message):
                self._take(item)
            elif self._kind is Kind.LOG:  # samples and states are replaced by later ones
                self.ring.append(text_frame(messages.skipped(item.lost, item.reason)), Kind.LOG)

    def _take(self, message: Message) -> None:
        header, body = message.header, message.body
        # A status that was kept apart comes before messages that it followed.
        position = START if header.apart else Position(header.epoch, header.seq)
        self._state.take(header)
        if header.kind is Kind.LOG:
            # A time stamp lies in the first 64 bytes of a line; do not copy the whole line.
            last = messages.log_timestamp(body[body.rfind(b"\n") + 1 :][:64])
            self.ring.append(text_frames(body), Kind.LOG, header.count, last, position=position)
        elif header.kind is Kind.STATE:
            self._status = body
        elif header.kind is Kind.STATUS:
            # A status after an ending means that the container runs again.
            self._status, self.ending = body, None
            self.ring.append(self._status_frame(), Kind.STATUS, position=position)
        elif header.kind is Kind.SKIPPED:
            # As part of the log, so that clients that come back are told, too.
            self.ring.append(text_frame(body), Kind.LOG, position=position)
        elif header.kind is not Kind.READY:
            self.ring.append(text_frame(body), header.kind, position=position)
            if header.final:
                self._end(StreamEnd(header.kind, body, header.code))

    def _end(self, ending: StreamEnd) -> None:
        """Close all clients once they have received everything before the end."""
        self.ending = ending
        for connection, cursor in self._joined.items():
            # The container may be started again, and its lines go to the same ring.
            cursor.stop_here()
            connection.finish(ending.code)
        self._joined.clear()

    def _join(self, connection: Connection, options: SubscribeOptions) -> None:
        cursor = self._cursor(self._prelude(options), positions=options.positions)
        if options.positions:
            self._with_positions.add(connection)
        self._joined[connection] = cursor
        connection.source = cursor
        connection.flush()

    def _cursor(self, prelude: list[bytes], *, positions: bool) -> Cursor:
        return Cursor(self.ring, prelude, positions=positions)

    def _prelude(self, options: SubscribeOptions) -> list[bytes]:
        """Return the frames of the status and of the earlier messages that the client wants."""
        status = [self._status_frame()] if self._status else []
        chosen = LogRange(options.tail, options.since).choose(self.ring, self._reach)
        skipped = chosen.skipped(complete=self._complete())
        if skipped and chosen.unknown:
            notice = [text_frame(messages.skipped(messages.UNKNOWN, "restart"))]
        else:
            notice = [text_frame(messages.skipped(skipped))] if skipped else []
        # A client that resumes has to learn of lines that are missing right after its last one.
        resumes = options.since is not None and options.tail is None and not skipped
        frames = self.ring.tail_frames(
            chosen.lines, self._kind, positions=options.positions, gap=resumes
        )
        return status + notice + frames

    def _status_frame(self) -> bytes:
        """Return the newest status, as of now."""
        try:
            return text_frame(messages.current_status(self._status))
        except msgspec.MsgspecError:
            return text_frame(self._status)  # not one of our collectors'

    def _complete(self) -> bool:
        """Return True if the ring holds everything that the container ever wrote."""
        # A collector reads at most ``replay.lines`` lines of history, so with that many the
        # log may have begun earlier.
        return not (self._truncated or self.ring.tail > 0 or self.ring.lines >= self._reach)

    def _refuse(self, connection: Connection, options: SubscribeOptions, ending: StreamEnd) -> None:
        """Tell a client that arrived after the end why there is nothing to follow."""
        code = ending.code
        body = ending.body
        parts: list[bytes] = []
        if ending.kind is Kind.END:
            # The end was news for earlier clients only; this one came to a stopped container.
            code = close_codes.NOT_RUNNING
            body = messages.error(f"Container is not running (state: {self._engine_state()})")
        if code in {close_codes.NOT_RUNNING, close_codes.NOT_READABLE}:
            parts = self._prelude(options if options.stopped else SubscribeOptions(tail=0))
        connection.source = Parts(*parts, text_frame(body))
        connection.finish(code)

    def _engine_state(self) -> str:
        try:
            return messages.read_status(self._status).state
        except msgspec.MsgspecError:
            return "unknown"
