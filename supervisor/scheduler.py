"""The queue of deployments: what may start, what waits, and what the others wait for.

``plan`` decides without I/O: rows of the store go in, actions come out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol, Unpack

from mist import clock, logs
from mist.errors import StoreError
from mist.store import Deployment, DeploymentChanges

_INTERRUPTED = "Interrupted by a restart"


class Start(NamedTuple):
    """Start a runner; with ``resume`` it only cleans up what an earlier one left."""

    deployment_id: int
    resume: bool


class Wait(NamedTuple):
    """Leave the deployment in the queue, with this ``message`` about its place."""

    deployment_id: int
    message: str


class Plan(NamedTuple):
    """The ``actions`` in their order; ``deploying`` are the applications that are deployed then."""

    actions: list[Start | Wait]
    deploying: frozenset[int]


class Rows(Protocol):
    """The part of the store's ``deployments`` that the queue needs."""

    def unfinished(self) -> list[Deployment]:
        """Return the queue and what runs, in order of arrival."""

    def update(self, deployment_id: int, **changes: Unpack[DeploymentChanges]) -> bool:
        """Write fields of a deployment that is not over."""


class Scheduler:
    """Reads the queue and carries out the plan; a store that fails is read again later."""

    def __init__(self, rows: Rows, concurrency: int) -> None:
        self._rows = rows
        self._concurrency = concurrency
        self._failing = False

    def look(
        self, running: Collection[int], start: Callable[[Start], None]
    ) -> frozenset[int] | None:
        """Start what may start and tell the others their place.

        ``running`` are the deployments that have a runner.  Returns the
        applications that are being deployed, or None if the store does not say.
        """
        try:
            rows = self._rows.unfinished()
        except StoreError as error:
            self._failed(error)
            return None
        actions, deploying = plan(rows, running, self._concurrency)
        for action in actions:
            if isinstance(action, Start):
                start(action)
        try:
            self._tell({row.id: row.message for row in rows}, actions)
            self._failing = False
        except StoreError as error:
            self._failed(error)
        return deploying

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

    def _tell(self, told: dict[int, str], actions: list[Start | Wait]) -> None:
        for action in actions:
            if isinstance(action, Wait) and action.message != told[action.deployment_id]:
                self._rows.update(action.deployment_id, message=action.message)

    def _failed(self, error: StoreError) -> None:
        """Log the first of several failures in a row."""
        if not self._failing:
            logs.logger().error("the queue of deployments is not read", reason=str(error))
        self._failing = True


def plan(rows: Collection[Deployment], running: Collection[int], concurrency: int) -> Plan:
    """Return what to do about the unfinished ``rows``, which are in order of arrival.

    ``running`` are the deployments that have a runner.  One that was begun and has
    none was interrupted, and is cleaned up at once.  Otherwise one at a time runs
    for an application, ``concurrency`` in all; a deployment that waits for its
    application lets those of others pass.  One that was cancelled is started
    whatever runs: all its runner does is to say so.
    """
    begun = [row for row in rows if row.id in running or row.status != "pending"]
    taken = {row.id for row in begun}
    busy = {row.app_id: row.id for row in begun}
    free = concurrency - len(begun)
    actions: list[Start | Wait] = [Start(row.id, True) for row in begun if row.id not in running]
    waiting: list[tuple[Deployment, str]] = []
    for row in (row for row in rows if row.id not in taken):
        if row.cancelled_by is not None:
            actions.append(Start(row.id, False))
        elif row.app_id in busy:
            waiting.append((row, f"deployment {busy[row.app_id]} of this app"))
        elif free <= 0:
            waiting.append((row, _for_a_place(concurrency)))
        else:
            actions.append(Start(row.id, False))
            busy[row.app_id] = row.id
            free -= 1
    return Plan(actions + _places(waiting), frozenset(busy))


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
    """1st, 2nd, 3rd, 4th, … 11th, 12th, 13th, … 21st."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
