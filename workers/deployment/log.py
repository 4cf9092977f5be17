"""Write a deployment's log to its file, then publish it on the bus.

The file is authoritative.  The bus carries the same records, read back from the file.  So a
broker that was away receives what it missed, and the sequence number of a record is always
its line number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from bus import wire
from bus.publisher import Publisher
from bus.wire import Kind
from mist import clock, close_codes, messages
from mist.deployments.records import Reader, is_final, records_of, status_of
from mist.messages import DeploymentStatus, Stream
from mist.paths import owner_of_new
from workers.deployment.errors import LogFailed
from workers.deployment.text import Redactor, cut

# O_NOFOLLOW, so that a planted link cannot redirect the log.
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW

# The longest text of a record.  Even if each byte needs an escape of six, the record fits
# into a message of the bus.
_TEXT_BYTES: Final = wire.MAX_MESSAGE_BYTES // 8

# A starting runner waits this long for the broker, in seconds, then works without it.
_BROKER_SECONDS: Final = 0.2


class DeploymentLogFile:
    """An append-only file.  An earlier runner's records stay, except for an incomplete one."""

    def __init__(
        self, path: Path, redact: Redactor, limit: int, publisher: RecordPublisher | None = None
    ) -> None:
        self.path = path
        self._redact = redact
        self._limit = limit
        self._publisher = publisher
        self._full = False
        self._file: int | None = None
        self._end = 0

    def lines(self, texts: Iterable[str], stream: Stream = "stdout") -> None:
        """Append log lines; at the size limit, append a notice and then nothing more."""
        now = clock.now()
        self._open()
        shown = (cut(self._redact(text), _TEXT_BYTES) for text in texts)
        records = [messages.log(now, text, stream) for text in shown]
        if self._full or not records:
            return
        if self._end + sum(map(len, records)) > self._limit:
            self._full = True
            notice = f"The log ends here: it has reached its limit of {self._limit} bytes."
            records = [messages.log(now, notice, "stderr")]
        self._append(records)

    def status(self, status: DeploymentStatus, *, publish: bool = True) -> None:
        """Append a status, and after a failed one its error."""
        records = [messages.status(status)]
        if status.status == "failed":
            records.append(messages.error(status.error_message))
        self._append(records, publish=publish)

    def publish(self) -> None:
        """Publish what the file has and the bus has not; raise LogFailed without a file."""
        if self._publisher is not None:
            self._open()
            self._publisher.catch_up()

    def last_status(self) -> DeploymentStatus | None:
        """Return the last status in the file."""
        found = None
        for record in self.records():
            found = status_of(record) or found
        return found

    def finished(self) -> bool:
        """Return True if the file holds the deployment's last record."""
        return any(is_final(record) for record in self.records())

    def records(self) -> Iterator[bytes]:
        """Yield every record of the file."""
        return records_of(self.path)

    def close(self) -> None:
        """Close the file, and hand queued messages to the broker."""
        if self._file is not None:
            os.close(self._file)
        if self._publisher is not None:
            self._publisher.close()

    def _append(self, records: list[bytes], *, publish: bool = True) -> None:
        """Write whole records or raise LogFailed; a reader never sees part of a record."""
        file = self._open()
        data = b"".join(record + b"\n" for record in records)
        written = 0
        try:
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError as error:
            # Records that were written completely may have been read, so they stay.
            written = data.rfind(b"\n", 0, written) + 1
            os.ftruncate(file, self._end + written)
            raise LogFailed(self.path, error.strerror or str(error)) from None
        finally:
            self._end += written
        if publish:
            self.publish()

    def _open(self) -> int:
        """Open the file at the first write, when a failure can fail the deployment."""
        if self._file is None:
            try:
                self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._file = os.open(self.path, _FLAGS, 0o640)
                os.fchown(self._file, *owner_of_new(self.path.parent))
                os.fchmod(self._file, 0o640)  # the web tier reads it, whatever the umask is
                self._end = _drop_torn_record(self._file)
            except OSError as error:
                raise LogFailed(self.path, error.strerror or str(error)) from None
        return self._file


class RecordPublisher:
    """A publisher of the file's records that are not on the bus yet."""

    def __init__(self, publisher: Publisher, path: Path, batch_bytes: int) -> None:
        self._publisher = publisher
        self._reader = Reader(path)
        self._batch_bytes = batch_bytes
        publisher.wait(_BROKER_SECONDS)

    def catch_up(self) -> None:
        """Publish the rest of the file; if the broker is away, the next call does so."""
        if not self._publisher.service():
            return
        while body := self._reader.read(self._batch_bytes):
            for kind, records in groupby(body.split(b"\n"), key=_kind):
                self._publish(kind, list(records))

    def close(self) -> None:
        """Hand what is queued to the broker."""
        self._publisher.close()

    def _publish(self, kind: Kind, records: list[bytes]) -> None:
        code = close_codes.NORMAL if kind is Kind.ERROR else 0
        body = b"\n".join(records)
        # A single batch, unless it is larger than a message may be.
        if kind is Kind.LOG and len(body) <= wire.MAX_MESSAGE_BYTES:
            self._publisher.publish(kind, body, count=len(records))
            return
        for record in records:
            # The broker would refuse it and end the connection, again and again.
            if len(record) > wire.MAX_MESSAGE_BYTES:
                notice = f"A record of {len(record)} bytes is left out; the log's file has it"
                record = messages.log(clock.now(), notice, "stderr")  # noqa: PLW2901
            self._publisher.publish(kind, record, code=code)


def _kind(record: bytes) -> Kind:
    # By its beginning: decoding every line of a build again would be slow.
    if record.startswith(b'{"type":"log"'):
        return Kind.LOG
    return Kind.ERROR if is_final(record) and status_of(record) is None else Kind.STATUS


def _drop_torn_record(file: int) -> int:
    """Cut off what follows the last newline, and return the new length.

    No reader was shown it, because readers take whole lines only.
    """
    end = os.fstat(file).st_size
    step = 65_536
    # Backwards in steps, because the log may be large and its last line is near the end.
    while end:
        start = max(0, end - step)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    os.ftruncate(file, end)
    return end
