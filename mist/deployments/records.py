"""What runner, web tier and command share about deployments: stages, progress, the log file.

The log of a deployment is a file of newline-delimited JSON, the exact messages
that a client receives.  The number of a line, from 1 on, is the sequence number
of the same record on the bus.  A reader needs no bus to be complete: it reads the
file from its beginning to its last record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from mist import messages
from mist.messages import DeploymentStatus
from mist.store.records import Deployment, DeploymentState

#: How much of a log one read takes, in bytes; a longer line is read whole all the same.
READ_BYTES: Final = 262_144


class Stage(NamedTuple):
    """A stage of the document, with the status and the progress that it may show."""

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
    """A ``status`` message that says what the store's row says."""
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
    """The last records of a finished deployment, for a log that has lost or never had them."""
    records = [status_record(deployment)]
    if deployment.status == "failed":
        records.append(messages.error(deployment.error_message))
    return records


def is_final(record: bytes) -> bool:
    """Whether nothing follows this record of a log.

    That is the ``error`` after the status ``failed``, or the status ``success``.
    """
    if messages.has_type(record, "error"):
        return True
    status = status_of(record)
    return status is not None and status.status == COMPLETED.status


def status_of(record: bytes) -> DeploymentStatus | None:
    """The status that a record holds, or None if it is another message."""
    if not messages.has_type(record, "status"):
        return None
    return messages.read_deployment_status(record)


def text_of(record: bytes) -> str | None:
    """The line of a ``log`` record, or None if it is another message."""
    return messages.read_log(record).data.line if messages.has_type(record, "log") else None


class Reader:
    """Reads a log as far as it is written; never waits.

    ``line`` is the number of the last record that was read, 0 before the first, and
    ``offset`` the number of bytes up to its end.  A reader may begin behind any record.
    """

    def __init__(self, path: Path, line: int = 0, offset: int = 0) -> None:
        self.line = line
        self.offset = offset
        self.finished = False
        self._path = path

    def read(self, limit: int = READ_BYTES) -> bytes:
        """Return whole records, newline-delimited and without a newline at the end.

        About ``limit`` bytes of them; empty while nothing new is there.  A line
        that is not complete yet is left for the next time.
        """
        data = self._whole_lines(limit)
        if not data:
            return b""
        self.offset += len(data)
        self.line += data.count(b"\n")
        body = data[:-1]
        self.finished = is_final(body.rpartition(b"\n")[2])
        return body

    def _whole_lines(self, limit: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(limit)
                if data and b"\n" not in data:
                    data += file.readline()
        except FileNotFoundError:
            return b""
        return data[: data.rfind(b"\n") + 1]
