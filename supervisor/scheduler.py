"""The queue of deployments: which may start, which wait, and for what they wait.

``plan`` decides without I/O: it turns rows of the store into actions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol, Unpack

import structlog

from mist import clock
from mist.errors import StoreError
from mist.settings import Settings
from mist.store import Deployment, DeploymentChanges
from supervisor.retries import Retries

log = structlog.get_logger(__name__)

_INTERRUPTED = "Interrupted by a restart"


class Start(NamedTuple):
    """Start a runner; with ``resume`` it only cleans up what an earlier runner left."""

    deployment_id: int
    resume: bool


class Wait(NamedTuple):
    """Leave the deployment in the queue, with this ``message`` about its position."""

    deployment_id: int
    message: str


class Plan(NamedTuple):
    """The decisions about the queue."""

    actions: list[Start | Wait]
    """To be carried out in this order."""
    deploying: frozenset[int]
    """The applications that are being deployed once the actions are carried out."""


class Rows(Protocol):
    """The part of the store's ``deployments`` that the queue needs."""

    def unfinished(self) -> list[Deployment]:
        """Return the waiting and running deployments, in order of arrival."""

    def update(self, deployment_id: int, **changes: Unpack[DeploymentChanges]) -> bool:
        """Update fields of an unfinished deployment."""


class Scheduler:
    """Read the queue and carry out the plan; retry later while the store fails."""

    def __init__(
        self,
        rows: Rows,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._concurrency = settings.deployments.concurrency
        # A clean-up that ends without finishing the deployment, because the engine is away, is
        # repeated.
        self._clean_ups = Retries(settings.supervisor, clock)
        self.unfinished: list[Deployment] = []
        """The waiting and running deployments, as they were read last."""
        self._failing = False

    def look(
        self, running: Collection[int], start: Callable[[Start], None]
    ) -> frozenset[int] | None:
        """Start what may start, and tell the others their position in the queue.

        ``running`` holds the deployments that have a runner.  Return the applications that
        are being deployed, or None if the store fails.
        """
        try:
            rows = self.unfinished = self._rows.unfinished()
        except StoreError as error:
            self._failed(error)
            return None
        actions, deploying = plan(rows, running, self._concurrency)
        self._clean_ups.keep({row.id for row in rows})
        # Starts come first: they need no store, and a failing write must not hold them up.
        for action in actions:
            if isinstance(action, Start) and (
                not action.resume or self._clean_ups.due(action.deployment_id)
            ):
                start(action)
        try:
            self._tell({row.id: row.message for row in rows}, actions)
            self._failing = False
        except StoreError as error:
            self._failed(error)
        return deploying

    def lost(self, deployment_id: int) -> None:
        """Mark a deployment as failed when no runner could clean it up."""
        try:
            self._rows.update(
                deployment_id,
                status="failed",
                error_message=_INTERRUPTED,
                finished_at=clock.now(),
            )
        except StoreError as error:
            log.error("deployment_not_closed", id=deployment_id, reason=str(error))

    def _tell(self, told: dict[int, str], actions: list[Start | Wait]) -> None:
        for action in actions:
            # Write only what differs: the queue is read every second, by default.
            if isinstance(action, Wait) and action.message != told[action.deployment_id]:
                self._rows.update(action.deployment_id, message=action.message)

    def _failed(self, error: StoreError) -> None:
        """Log the first of several consecutive failures."""
        if not self._failing:
            log.error("deployment_queue_not_read", reason=str(error))
        self._failing = True


def plan(rows: Collection[Deployment], running: Collection[int], concurrency: int) -> Plan:
    """Return what to do about the unfinished ``rows``, which are in order of arrival.

    ``running`` holds the deployments that have a runner.  One deployment runs at a time
    for each application, and ``concurrency`` in all.  A deployment that waits for its
    application lets deployments of other applications pass.

    The runner of a deployment that was cancelled while it waited only records that.  It takes
    no place, but a burst of pushes cancels many, and as many processes at once would hold up
    everything.  So ``concurrency`` of them run at a time, and where a deployment waits only
    for them, no more are started before it.
    """
    # A deployment that has begun and has no runner was interrupted; clean it up at once.
    begun = [row for row in rows if row.id in running or row.status != "pending"]
    taken = {row.id for row in begun}
    closing = [row for row in begun if _only_closes(row)]
    deployed = [row for row in begun if not _only_closes(row)]
    busy = {row.app_id: row.id for row in (*closing, *deployed)}
    free = concurrency - len(deployed)
    actions: list[Start | Wait] = [Start(row.id, True) for row in begun if row.id not in running]
    waiting: list[tuple[Deployment, str]] = []
    for row in rows:
        if row.id in taken or row.cancelled_by is not None:
            continue
        if row.app_id in busy:
            waiting.append((row, f"deployment {busy[row.app_id]} of this app"))
        elif free <= 0:
            waiting.append((row, _for_a_place(concurrency)))
        else:
            actions.append(Start(row.id, False))
            busy[row.app_id] = row.id
            free -= 1
    held = {row.app_id for row in closing} - {row.app_id for row in deployed}
    held &= {row.app_id for row, _ in waiting}
    cancelled = [
        Start(row.id, False)
        for row in rows
        if row.id not in taken and row.cancelled_by is not None and row.app_id not in held
    ]
    actions += cancelled[: max(0, concurrency - len(closing))]
    return Plan(actions + _places(waiting), frozenset(busy))


def _only_closes(row: Deployment) -> bool:
    """Return True for a deployment whose runner only records that it was cancelled."""
    return row.status == "pending" and row.cancelled_by is not None


def _places(waiting: list[tuple[Deployment, str]]) -> list[Start | Wait]:
    total = len(waiting)
    return [
        Wait(row.id, f"Queued: {ordinal(place)} of {total}, waits for {what}")
        for place, (row, what) in enumerate(waiting, 1)
    ]


def _for_a_place(concurrency: int) -> str:
    if concurrency == 1:
        return "the running deployment to end"
    return f"one of the {concurrency} running deployments to end"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, … 11th, 12th, 13th, … 21st."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
