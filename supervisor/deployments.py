"""Keeps the store's queue of deployments and the runners in step."""

from __future__ import annotations

from typing import Protocol, Unpack

from mist import clock, logs
from mist.errors import StoreError
from mist.store import Deployment, DeploymentChanges
from supervisor.queue import plan

_INTERRUPTED = "Interrupted by a restart"


class Rows(Protocol):
    """The part of the store's ``deployments`` that the queue needs."""

    def unfinished(self) -> list[Deployment]:
        """The queue and what runs, in order of arrival."""

    def update(self, deployment_id: int, **changes: Unpack[DeploymentChanges]) -> bool:
        """Write fields of a deployment that is not over."""


class Runners(Protocol):
    """What the supervisor offers the queue."""

    def running_deployments(self) -> set[int]:
        """Those in its table, whatever their state."""

    def run_deployment(self, deployment_id: int, *, resume: bool) -> None:
        """Start a runner; with ``resume`` it only cleans up."""


class Queue:
    """One look at the store at a time; a store that fails is looked at again later."""

    def __init__(self, rows: Rows, concurrency: int) -> None:
        self._rows = rows
        self._concurrency = concurrency
        self._apps: dict[int, int] = {}
        self._failing = False

    def look(self, runners: Runners) -> None:
        """Start what may start, and tell the others their place."""
        try:
            self._look(runners)
            self._failing = False
        except StoreError as error:
            if not self._failing:
                logs.logger().error("the queue of deployments is not read", reason=str(error))
            self._failing = True

    def lost(self, deployment_id: int) -> None:
        """No runner could clean up: at least the row does not stay unfinished for ever."""
        try:
            self._rows.update(
                deployment_id,
                status="failed",
                error_message=_INTERRUPTED,
                finished_at=clock.now(),
            )
        except StoreError as error:
            logs.logger().error("deployment stays open", id=deployment_id, reason=str(error))

    def _look(self, runners: Runners) -> None:
        rows = self._rows.unfinished()
        here = runners.running_deployments()
        self._apps = {row.id: row.app_id for row in rows if row.id in here}
        for row in rows:
            if row.status != "pending" and row.id not in here:
                runners.run_deployment(row.id, resume=True)
                self._apps[row.id] = row.app_id
        pending = [row for row in rows if row.status == "pending" and row.id not in here]
        found = plan(pending, self._apps, self._concurrency)
        for row in found.start:
            runners.run_deployment(row.id, resume=False)
        for row in pending:
            text = found.messages.get(row.id, row.message)
            if text != row.message:
                self._rows.update(row.id, message=text)
