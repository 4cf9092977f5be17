"""A deployment's log for the clients of one worker: the file is the log.

Each client reads the file at its own pace, from its beginning, so whoever comes
at any time has all of it, once; messages on the bus merely say that there is
more to read.  The deployment's row in the store says what the file cannot:
the place in the queue while there is no file, the end, and how it ended should
the last lines have found no room on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from api.live.listener import Listener
from api.websocket.connection import Connection
from api.websocket.frames import text_frame, text_frames
from mist import messages
from mist.deployments import Reader, closing_records, status_record
from mist.errors import StoreError
from mist.store import Deployment
from mist.wire import Kind, Message

log = structlog.get_logger(__name__)

NORMAL: Final = 1000
INTERNAL_ERROR: Final = 1011


class LogFile:
    """A client's place in the file of a deployment: the ``Source`` of its connection."""

    def __init__(self, path: Path) -> None:
        self.failed = False
        self._path = path
        self._reader = Reader(path)
        self._status = b""
        self._closing: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether the client has anything of the file."""
        return self._reader.line > 0

    def take(self) -> list[bytes]:
        """Frames of the next whole lines, or of what the row says beside them."""
        if self._status:
            status, self._status = self._status, b""
            return [text_frame(status)]
        try:
            body = self._reader.read()
        except OSError as error:
            return self._fail(error)
        if body:
            return [text_frames(body)]
        closing, self._closing = self._closing, []
        return [] if self._reader.finished else [text_frame(message) for message in closing]

    def _fail(self, error: OSError) -> list[bytes]:
        """Tell the client once that the file cannot be read; the reason is for the operator."""
        if self.failed:
            return []
        self.failed = True
        log.error("deployment_log_not_read", path=str(self._path), reason=error.strerror)
        return [text_frame(messages.error("The deployment's log cannot be read"))]

    def say(self, status: bytes) -> None:
        """Give a status that is not in the file."""
        self._status = status

    def conclude(self, closing: list[bytes]) -> None:
        """Give ``closing`` after the file's end, if the file does not tell the end itself."""
        self._closing = closing


class DeploymentLog(Listener):
    """The clients that watch one deployment."""

    def __init__(self, path: Path, load: Callable[[], Deployment | None]) -> None:
        self._path = path
        self._load = load
        self._sources: dict[Connection, LogFile] = {}
        self._said = ""
        self._last_kind = Kind.STATUS

    @property
    def clients(self) -> int:
        """How many clients watch."""
        return len(self._sources)

    def add(self, connection: Connection) -> None:
        """Take a client in and give it what there is."""
        source = LogFile(self._path)
        self._sources[connection] = source
        connection.source = source
        self._flush()
        row = self._row()
        if row is None or source.failed:
            return
        if row.finished:
            self._conclude(row)
        else:
            # Those who wait already hear now of a change, for it is not one any more later.
            changed = row.message != self._said
            self._say(row, list(self._sources.items()) if changed else [(connection, source)])

    def remove(self, connection: Connection) -> None:
        """Let a client go."""
        self._sources.pop(connection, None)

    def feed(self, message: Message) -> None:
        """Take note that the file has grown; the message itself stands in it."""
        self._last_kind = message.header.kind

    def flush(self) -> None:
        """Send what is new in the file, and see to the end after a status or an error."""
        self._flush()
        if self._last_kind is not Kind.LOG:
            self._look_at_row()

    def reconcile(self) -> None:
        """Find what a lost message would have told."""
        self._flush()
        self._look_at_row()

    def _flush(self) -> None:
        for connection, source in list(self._sources.items()):
            connection.flush()
            if source.failed:
                self.remove(connection)
                connection.finish(INTERNAL_ERROR)

    def _row(self) -> Deployment | None:
        """What the store says; nothing while it is away: it is asked again soon."""
        try:
            return self._load()
        except StoreError as error:
            log.warning("deployment_not_read", reason=str(error))
            self._said = ""
            return None

    def _look_at_row(self) -> None:
        row = self._row()
        if row is None:
            return
        if row.finished:
            self._conclude(row)
        elif row.message != self._said:
            self._say(row, list(self._sources.items()))

    def _say(self, row: Deployment, to: list[tuple[Connection, LogFile]]) -> None:
        """Tell those who have nothing of the file yet what the deployment waits for.

        A row that is further than the queue has a file, whose beginning would
        take back what the row says: that file is all that is to be sent then.
        """
        self._said = row.message
        for connection, source in to:
            if source.begun:
                continue
            if row.status == "pending":
                source.say(status_record(row))
            connection.flush()

    def _conclude(self, row: Deployment) -> None:
        closing = closing_records(row)
        for connection, source in self._sources.items():
            source.conclude(closing)
            connection.finish(NORMAL)
        self._sources.clear()
