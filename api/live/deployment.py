"""A deployment's log for the clients of one worker: the file, and a ring at its end.

The file is the log: it holds every record before the bus does.  A client that joins reads
the file at its own pace, up to the beginning of the ring.  From there on it has a cursor
like the clients of every other topic, so new lines cost no client a read of the file.
Lines that the bus lost are read from the file, once for all clients.

The deployment's row in the store holds what the file cannot: the position in the queue
while there is no file, the end of the deployment, and its result if the disk had no room
for the last lines.
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

# The number of pieces of the file that the ring takes at once (four megabytes).  The rest
# follows with the next message or second, so that the worker's other clients get their turn.
_PIECES: Final = 16


class LogCursor(Cursor):
    """A client's position in a deployment's log, first in the file and then in the ring.

    A client that has fallen off the ring's end returns to the file, which has everything.
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
        """Return True if the client has received, or is about to receive, part of the file."""
        return self._reader is not None or self._offset > 0

    def take(self) -> list[bytes]:
        """Return frames of the next records, or of messages derived from the row."""
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
            # The place to continue in the file, should the client fall off the ring.
            self._offset = self._ring.offset_of(self._next)
            return buffers
        closing, self._closing = self._closing, []
        return [] if self._log.finished else closing

    def say(self, status: bytes) -> None:
        """Send a status that is not in the file."""
        self._prelude = [text_frame(status)]

    def conclude(self, closing: list[bytes]) -> None:
        """Send ``closing`` after the file's end, unless the file itself records the end."""
        self._closing = [text_frame(message) for message in closing]

    def fail(self) -> None:
        """Tell the client once that the file cannot be read."""
        self.failed = True
        # Without the reason, which only the operator may see, in the log.
        self._error = [text_frame(messages.error("The deployment's log cannot be read"))]

    def _read(self) -> bytes:
        """Return the next records of the file.  Where the ring begins, return none and leave."""
        if self._reader is None:
            # The client has fallen off the ring.  A status of the queue that was not sent yet
            # is older than the records that follow from the file.
            self._reader = Reader(self._log.path, self._line, self._offset)
            self._prelude = []
        reader = self._reader
        limit = READ_BYTES
        if self._log.live:
            # Stop exactly where the ring begins, or the client would get lines twice.
            limit = min(limit, self._ring.offset_of(self._ring.tail) - reader.offset)
        body = reader.read(limit) if limit > 0 else b""
        self._line, self._offset = reader.line, reader.offset
        if not body:
            self._reader = None
            self._log.begin(reader)  # the first client to reach the end starts the ring there
        return body


class DeploymentLog(Listener):
    """The clients that watch one deployment."""

    def __init__(
        self, streams: StreamSettings, path: Path, load: Callable[[], Deployment | None]
    ) -> None:
        self.path = path
        self.ring = Ring(streams.ring_lines, streams.ring_bytes)
        self.live = False
        """A client has reached the end of the file, so the ring takes new records."""
        self.finished = False
        """The ring holds the last record of the file."""
        self._unreadable = False
        self._load = load
        self._cursors: dict[Connection, LogCursor] = {}
        self._said = ""

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self._cursors)

    def begin(self, reader: Reader) -> None:
        """Start the ring at the position of ``reader``, unless it has already started."""
        if not self.live:
            self.live = True
            self.ring.lines, self.ring.offset = reader.line, reader.offset
            self.finished = reader.finished

    def add(self, connection: Connection) -> None:
        """Add a client, and send it everything that exists so far."""
        self._cursors[connection] = connection.source = cursor = LogCursor(self)
        row = self._row()
        self._catch_up()
        self._flush()
        if row is None or cursor.failed:
            return
        if row.finished:
            self._conclude(row)
        else:
            # Tell all waiting clients about a change now, because _say() records the message
            # as told and reconcile() would no longer see a change.
            changed = row.message != self._said
            self._say(row, list(self._cursors.items()) if changed else [(connection, cursor)])

    def remove(self, connection: Connection) -> None:
        """Remove a client."""
        self._cursors.pop(connection, None)

    def feed(self, message: Message) -> None:
        """Take new records, which the file holds already; their numbers are line numbers."""
        if not self.live:
            return  # the first client to reach the file's end will find them there
        if message.header.seq == self.ring.lines + 1:
            self._append(message.body)
        elif message.header.last > self.ring.lines:
            self._catch_up()  # the bus has lost records before these

    def flush(self) -> None:
        """Send every client its pending records, and close all after the last record."""
        self._flush()
        if self.finished:
            # The row, and not the file, decides that the deployment is over.
            self.reconcile()

    def reconcile(self) -> None:
        """Recover from lost messages, and send news from the row."""
        # Read the row before the file.  The runner writes the file first, so the file then
        # holds everything that the row refers to.
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
        """Log once that the file cannot be read."""
        if not self._unreadable:
            self._unreadable = True
            log.error("deployment_log_not_read", path=str(self.path), reason=error.strerror)

    def _flush(self) -> None:
        for connection, cursor in list(self._cursors.items()):  # a copy: clients may be removed
            connection.flush()
            if cursor.failed:
                self.remove(connection)
                connection.finish(close_codes.INTERNAL_ERROR)

    def _append(self, body: bytes) -> None:
        self.ring.append(text_frames(body), Kind.LOG, body.count(b"\n") + 1, size=len(body) + 1)
        self.finished = is_final(body.rpartition(b"\n")[2])

    def _catch_up(self) -> bool:
        """Append records from the file to the ring.  Return True if the ring has all of them."""
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
            # The clients of the ring may have missed records, and the file cannot tell which.
            self.note_unreadable(error)
            for cursor in self._cursors.values():
                cursor.fail()
        return False

    def _row(self) -> Deployment | None:
        """Return the deployment's row; None if it does not exist or the store fails."""
        try:
            return self._load()
        except StoreError as error:
            log.warning("deployment_not_read", reason=str(error))
            # The next row that can be read then counts as changed and reaches all clients.
            self._said = ""
            return None

    def _say(self, row: Deployment, to: list[tuple[Connection, LogCursor]]) -> None:
        """Tell clients that have not received any of the file what the deployment waits for."""
        self._said = row.message
        for connection, cursor in to:
            # After the queue the deployment has a file.  Its first records are older than the
            # row, so the status would appear to go backwards.
            if row.status == "pending" and not cursor.begun:
                cursor.say(status_record(row))
                connection.flush()

    def _conclude(self, row: Deployment) -> None:
        """Close the clients once they have received all of the file."""
        if not self._catch_up():
            return  # the next message or second continues
        closing = closing_records(row)
        for connection, cursor in self._cursors.items():
            cursor.conclude(closing)
            connection.finish(close_codes.NORMAL)
        self._cursors.clear()
