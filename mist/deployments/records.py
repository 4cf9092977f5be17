"""Stages, progress and the log file of a deployment.

The runner, the web tier and the command line share this module.  A log is a file of
newline-delimited JSON that holds the exact messages clients receive.  The number of a
line, counted from 1, is the sequence number of the same record on the bus.  The file
alone is complete: it can be read from the first to the last record without the bus.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mist import messages
from mist.messages import DeploymentStatus
from mist.store.records import Deployment, DeploymentState

# Bytes of a log per read; a longer line is still read in one piece.
READ_BYTES: Final = 262_144


class Stage(NamedTuple):
    """A stage of the public contract, with its status and its range of progress in percent."""

    name: str
    status: DeploymentState
    first: int
    last: int


PENDING: Final = Stage("pending", "pending", 0, 0)
CLONING: Final = Stage("cloning_repo", "building", 25, 25)
BUILDING: Final = Stage("building_image", "building", 25, 75)
STOPPING: Final = Stage("stopping_old", "deploying", 75, 80)
STARTING: Final = Stage("starting_new", "deploying", 80, 90)
COMPLETED: Final = Stage("completed", "success", 100, 100)


def status_record(deployment: Deployment) -> bytes:
    """Return a ``status`` message with the current row of the store."""
    return messages.status(
        DeploymentStatus(
            deployment_id=deployment.id,
            status=deployment.status,
            stage=deployment.stage or PENDING.name,
            progress=deployment.progress,
            message=deployment.message,
            error_message=deployment.error_message,
        )
    )


def closing_records(deployment: Deployment) -> list[bytes]:
    """Return the final records of a finished deployment, for a log that lacks them."""
    records = [status_record(deployment)]
    if deployment.status == "failed":
        records.append(messages.error(deployment.error_message))
    return records


def is_final(record: bytes) -> bool:
    """Return True if ``record`` is the last one of a log.

    That is the ``error`` after the status ``failed``, or the status ``success``.
    """
    if messages.has_type(record, "error"):
        return True
    status = status_of(record)
    return status is not None and status.status == COMPLETED.status


def status_of(record: bytes) -> DeploymentStatus | None:
    """Return the status in ``record``, or None if it is another type of message."""
    if not messages.has_type(record, "status"):
        return None
    return messages.read_deployment_status(record)


def text_of(record: bytes) -> str | None:
    """Return the text of a ``log`` record, or None if it is another type of message."""
    return messages.read_log(record).data.line if messages.has_type(record, "log") else None


def records_of(path: Path) -> Iterator[bytes]:
    """Yield every record that a log has now."""
    reader = Reader(path)
    while body := reader.read():
        yield from body.split(b"\n")


class Reader:
    """Read a log as far as it has been written, without waiting.

    ``line`` is the number of the last record read (0 before the first) and ``offset``
    the number of bytes up to its end.  A reader may start after any record.
    """

    def __init__(self, path: Path, line: int = 0, offset: int = 0) -> None:
        self.line = line
        self.offset = offset
        self.finished = False
        self._path = path

    def read(self, limit: int = READ_BYTES) -> bytes:
        """Return complete records, separated by newlines, without a trailing newline.

        Return about ``limit`` bytes, or ``b""`` if there is nothing new.  An incomplete last
        line is left for the next call.
        """
        data = self._whole_lines(limit)
        if not data:
            return b""
        self.offset += len(data)
        self.line += data.count(b"\n")
        body = data[:-1]
        self.finished = is_final(body.rpartition(b"\n")[2])  # nothing follows the final record
        return body

    def _whole_lines(self, limit: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(limit)
                if data and b"\n" not in data:  # one line is longer than the limit
                    data += file.readline()
        # The runner creates the file when the deployment starts.
        except FileNotFoundError:
            return b""
        # Without a newline rfind() returns -1, which leaves nothing.
        return data[: data.rfind(b"\n") + 1]
