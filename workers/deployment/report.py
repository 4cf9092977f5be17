"""Report a deployment's progress in its log and in its row of the store.

The log comes first.  A runner that dies between the two leaves a log that is ahead of the
row, and the row is repaired from it.  Only the bus comes after the row: a client that is told
of the end, and then asks for the deployment, finds that it has ended.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, cast

from msgspec import structs

from mist import clock
from mist.deployments.records import COMPLETED, PENDING, STARTING, STOPPING, Stage
from mist.messages import DeploymentStatus, Stream
from mist.store import Store
from mist.store.records import Deployment, DeploymentChanges
from workers.deployment.errors import LogFailed
from workers.deployment.log import DeploymentLogFile
from workers.deployment.text import Redactor, cut

# The longest error or message; the engine's own can have megabytes.
_TEXT_BYTES: Final = 16_384


class Report:
    """The deployment's status; its progress never goes back."""

    def __init__(
        self, store: Store, deployment: Deployment, log: DeploymentLogFile, redact: Redactor
    ) -> None:
        self.log = log
        self._store = store
        self._redact = redact
        self._id = deployment.id
        self._stage = PENDING
        # After a crash the log says how far the predecessor came.
        self._now = log.last_status() or DeploymentStatus(
            deployment.id, "pending", PENDING.name, 0, "Deployment queued"
        )

    @property
    def touches_containers(self) -> bool:
        """True once a stage that stops or starts containers has begun."""
        return self._now.stage in (STOPPING.name, STARTING.name)

    @property
    def stayed_up(self) -> bool:
        """True if the new container was watched to the end and stayed up."""
        return self._now.stage == STARTING.name and self._now.progress == STARTING.last

    @property
    def stops_old(self) -> bool:
        """True if the old container may have been asked to stop, and may not have stopped yet."""
        stopping = self._now.stage == STOPPING.name and self._now.progress > STOPPING.first
        return stopping or self.stayed_up

    def begin(self) -> None:
        """Write the first record: the deployment left the queue."""
        self.log.status(self._now)
        self._write({"stage": PENDING.name, "started_at": clock.now()})

    def enter(self, stage: Stage, message: str) -> None:
        """Begin a stage."""
        self._stage = stage
        self._show(stage.first, message)

    def progress(self, share: float, message: str) -> None:
        """Report that ``share`` (0 to 1) of the stage is done."""
        first, last = self._stage.first, self._stage.last
        self._show(first + int(share * (last - first)), message)

    def line(self, *texts: str, stream: Stream = "stdout") -> None:
        """Write lines to the log."""
        self.log.lines(texts, stream)

    def note(self, changes: DeploymentChanges) -> None:
        """Write fields of the row that are not part of the status."""
        subject = changes.get("commit_message")
        self._write({**changes, "commit_message": self._redact(subject)} if subject else changes)

    def succeed(self) -> None:
        """Write the last record of a successful deployment."""
        self._stage = COMPLETED
        self._finish(self._next(COMPLETED.last, "Deployment complete"))

    def fail(self, error: str) -> None:
        """Write the last records of a failed deployment; stage and progress stay unchanged."""
        failed = structs.replace(
            self._now,
            status="failed",
            message="Deployment failed",
            error_message=self._shown(error),
        )
        self._finish(failed)

    def postpone(self, error: str, message: str) -> None:
        """Keep the deployment unfinished with ``error``, for a runner that finishes it later."""
        waiting = structs.replace(self._now, message=message)
        # Later runners find the same status, and do not repeat it.
        if waiting != self._now:
            self._now = waiting
            with suppress(LogFailed):
                self.log.status(waiting)
        self._write({"message": message, "error_message": self._shown(error)})

    def repeat(self) -> None:
        """Copy the log's last status to the row."""
        self._write_final(self._now)

    def _show(self, progress: int, message: str) -> None:
        following = self._next(progress, message)
        if following == self._now:
            return
        self._now = following
        self.log.status(following)
        self._write(
            {
                "status": following.status,
                "stage": following.stage,
                "progress": following.progress,
                "message": following.message,
            }
        )

    def _next(self, progress: int, message: str) -> DeploymentStatus:
        return DeploymentStatus(
            self._id,
            self._stage.status,
            self._stage.name,
            max(progress, self._now.progress),
            self._shown(message),
        )

    def _shown(self, text: str) -> str:
        return cut(self._redact(text), _TEXT_BYTES)

    def _finish(self, status: DeploymentStatus) -> None:
        self._now = status
        # An unwritable log has already failed the deployment; the row still says so.
        with suppress(LogFailed):
            self.log.status(status, publish=False)
        self._write_final(status)

    def _write_final(self, status: DeploymentStatus) -> None:
        self._write(
            {
                "status": status.status,
                "stage": status.stage,
                "progress": status.progress,
                "message": status.message,
                "error_message": status.error_message,
                "finished_at": clock.now(),
            }
        )
        with suppress(LogFailed):
            self.log.publish()

    def _write(self, changes: DeploymentChanges) -> None:
        # PostgreSQL stores no NUL, which an error that quotes a Dockerfile may contain.
        storable = {
            name: value.replace("\0", "\ufffd") if isinstance(value, str) else value
            for name, value in changes.items()
        }
        self._store.deployments.update(self._id, **cast(DeploymentChanges, storable))
