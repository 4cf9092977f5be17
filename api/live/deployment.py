"""A deployment's log for the clients of one worker: the file, and a ring at its end.

The file holds every record before the bus does, and is the log.  A client that
joins reads it, at its own pace, up to where the ring begins, and from there on has
a cursor like the clients of every other topic: a line costs no client a read of
the file.  What the bus lost is read from the file, once for all clients.  The
deployment's row in the store says what the file cannot: the place in the queue
while there is no file, the end, and how it ended should the last lines have found
no room on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from api.live.listener import Listener
from api.live.ring import Cursor, Ring
from api.websocket.connection import Connection
from api.websocket.frames import text_frame, text_frames
from bus.wire import Kind, Message
from mist import close_codes, messages
from mist.deployments.records import (
    READ_BYTES,
    Reader,
    closing_records,
    is_final,
    status_record,
)
from mist.errors import StoreError
from mist.settings import StreamSettings
from mist.store import Deployment

log = structlog.get_logger(__name__)

# How many pieces of the file the ring takes at once, four megabytes.  The rest follows
# with the next message or second, so that the worker's other clients get their turn.
_PIECES: Final = 16


class LogCursor(Cursor):
    """A client's place in a deployment's log: in the file first, then in the ring.

    One that has fallen off the ring's end goes back to the file, which has everything.
    """

    __slots__ = ("_closing", "_error", "_log", "_offset", "_reader", "failed")

    def __init__(self, log: DeploymentLog) -> None:
        super().__init__(log.ring, [])
        self._next = self._line = self._offset = 0
        self._log = log
        self._reader: Reader | None = Reader(log.path)
        self._closing: list[bytes] = []
        self._error: list[bytes] = []
        self.failed = False

    @property
    def begun(self) -> bool:
        """Return True if the client has, or is about to have, something of the file."""
        return self._reader is not None or self._offset > 0

    def take(self) -> list[bytes]:
        """Return frames of the next records, or of what the row says besides them."""
        if self.failed:
            error, self._error = self._error, []
            return error
        if self._reader is not None or self._next < self._ring.tail:
            try:
                body = self._read()
            except OSError as error:
                self._log.note_unreadable(error)
                self.fail()
                return self.take()
            if body:
                return [text_frames(body)]
        buffers = super().take()
        if buffers:
            self._offset = self._ring.offset_of(self._next)
            return buffers
        closing, self._closing = self._closing, []
        return [] if self._log.finished else closing

    def say(self, status: bytes) -> None:
        """Give a status that is not in the file."""
        self._prelude = [text_frame(status)]

    def conclude(self, closing: list[bytes]) -> None:
        """Give ``closing`` after the file's end, if the file does not tell the end itself."""
        self._closing = [text_frame(message) for message in closing]

    def fail(self) -> None:
        """Tell the client once that the file cannot be read; the reason is for the operator."""
        self.failed = True
        self._error = [text_frame(messages.error("The deployment's log cannot be read"))]

    def _read(self) -> bytes:
        """Return the file's next records; none, and go over to the ring, where that begins."""
        if self._reader is None:
            self._reader = Reader(self._log.path, self._line, self._offset)
            self._prelude = []
        reader = self._reader
        limit = READ_BYTES
        if self._log.live:
            limit = min(limit, self._ring.offset_of(self._ring.tail) - reader.offset)
        body = reader.read(limit) if limit > 0 else b""
        self._line, self._offset = reader.line, reader.offset
        if not body:
            self._reader = None
            self._log.begin(reader)
        return body


class DeploymentLog(Listener):
    """The clients that watch one deployment.

    The ring is ``live`` from the moment on at which a client has reached the end of
    the file; ``finished`` tells that it holds the file's last record.
    """

    def __init__(
        self, streams: StreamSettings, path: Path, load: Callable[[], Deployment | None]
    ) -> None:
        self.path = path
        self.ring = Ring(streams.ring_lines, streams.ring_bytes)
        self.live = False
        self.finished = False
        self._unreadable = False
        self._load = load
        self._cursors: dict[Connection, LogCursor] = {}
        self._said = ""

    @property
    def clients(self) -> int:
        """How many clients watch."""
        return len(self._cursors)

    def begin(self, reader: Reader) -> None:
        """Begin the ring behind what ``reader`` has read, unless it has begun already."""
        if not self.live:
            self.live = True
            self.ring.lines, self.ring.offset = reader.line, reader.offset
            self.finished = reader.finished

    def add(self, connection: Connection) -> None:
        """Take a client in and give it what there is."""
        self._cursors[connection] = connection.source = cursor = LogCursor(self)
        row = self._row()
        self._catch_up()
        self._flush()
        if row is None or cursor.failed:
            return
        if row.finished:
            self._conclude(row)
        else:
            # Those who wait already hear now of a change, for it is not one any more later.
            changed = row.message != self._said
            self._say(row, list(self._cursors.items()) if changed else [(connection, cursor)])

    def remove(self, connection: Connection) -> None:
        """Let a client go."""
        self._cursors.pop(connection, None)

    def feed(self, message: Message) -> None:
        """Take records that the file has got; their number is that of their line."""
        if not self.live:
            return  # The client that is about to reach the file's end finds them there.
        if message.header.seq == self.ring.lines + 1:
            self._append(message.body)
        elif message.header.last > self.ring.lines:
            self._catch_up()

    def flush(self) -> None:
        """Send every client what it has not yet got, and look at the row after the last record."""
        self._flush()
        if self.finished:
            self.reconcile()

    def reconcile(self) -> None:
        """Find what a lost message would have told, and what the row says."""
        # The row first: what it tells of, the file holds already.
        row = self._row()
        self._catch_up()
        self._flush()
        if row is None:
            return
        if row.finished:
            self._conclude(row)
        elif row.message != self._said:
            self._say(row, list(self._cursors.items()))

    def note_unreadable(self, error: OSError) -> None:
        """Tell the operator, once, that the file cannot be read."""
        if not self._unreadable:
            self._unreadable = True
            log.error("deployment_log_not_read", path=str(self.path), reason=error.strerror)

    def _flush(self) -> None:
        for connection, cursor in list(self._cursors.items()):
            connection.flush()
            if cursor.failed:
                self.remove(connection)
                connection.finish(close_codes.INTERNAL_ERROR)

    def _append(self, body: bytes) -> None:
        self.ring.append(text_frames(body), Kind.LOG, body.count(b"\n") + 1, size=len(body) + 1)
        self.finished = is_final(body.rpartition(b"\n")[2])

    def _catch_up(self) -> bool:
        """Put into the ring what only the file has; return True if the ring has all of it."""
        if not self.live:
            return True
        reader = Reader(self.path, self.ring.lines, self.ring.offset)
        try:
            for _ in range(_PIECES):
                body = reader.read(READ_BYTES)
                if not body:
                    return True
                self._append(body)
        except OSError as error:
            # What the clients of the ring have missed, if anything, cannot be known.
            self.note_unreadable(error)
            for cursor in self._cursors.values():
                cursor.fail()
        return False

    def _row(self) -> Deployment | None:
        """What the store says; nothing while it is away: it is asked again soon."""
        try:
            return self._load()
        except StoreError as error:
            log.warning("deployment_not_read", reason=str(error))
            self._said = ""
            return None

    def _say(self, row: Deployment, to: list[tuple[Connection, LogCursor]]) -> None:
        """Tell those who have nothing of the file yet what the deployment waits for.

        A row that is further than the queue has a file, whose beginning would
        take back what the row says.
        """
        self._said = row.message
        for connection, cursor in to:
            if row.status == "pending" and not cursor.begun:
                cursor.say(status_record(row))
                connection.flush()

    def _conclude(self, row: Deployment) -> None:
        """Close the clients once they have all of the file; later, if the ring has not."""
        if not self._catch_up():
            return
        closing = closing_records(row)
        for connection, cursor in self._cursors.items():
            cursor.conclude(closing)
            connection.finish(close_codes.NORMAL)
        self._cursors.clear()
