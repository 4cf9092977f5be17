"""The bounds of a deployment as seen from outside its runner.

A runner ends by itself when its deployment is cancelled or a stage takes too long.  One
that does not is ended by the supervisor, whatever it is doing.  Only stages before the
containers are touched are bounded here: what follows may have to be undone, and that may
have to wait for the engine.  A runner that makes no progress at all is noticed by its
heartbeat, in every stage.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from mist.deployments.records import BUILDING, CLONING, PENDING
from mist.settings import DeploymentSettings
from mist.store import Deployment


class _Mark(NamedTuple):
    stage: str
    since: float
    cancelled_since: float | None


class Patience:
    """How long the stage of each running deployment has lasted, and its cancellation."""

    def __init__(self, limits: DeploymentSettings) -> None:
        self._end_seconds = limits.end_seconds
        self._limits = {
            PENDING.name: None,  # bounded by the engine's time limits
            CLONING.name: limits.clone_seconds,
            BUILDING.name: limits.build_seconds,
        }
        self._marks: dict[int, _Mark] = {}

    def over(
        self, rows: Collection[Deployment], running: Collection[int], now: float
    ) -> dict[int, str]:
        """Return the running deployments that have to be ended, and why."""
        marks = {row.id: self._mark(row, now) for row in rows if row.id in running}
        reasons = {number: self._reason(mark, now) for number, mark in marks.items()}
        # Another runner may take over, and has as much time from its beginning.
        self._marks = {number: mark for number, mark in marks.items() if not reasons[number]}
        return {number: reason for number, reason in reasons.items() if reason}

    def _mark(self, row: Deployment, now: float) -> _Mark:
        stage = row.stage or PENDING.name
        before = self._marks.get(row.id)
        since = before.since if before and before.stage == stage else now
        if row.cancelled_by is None:
            return _Mark(stage, since, None)
        noticed = before.cancelled_since if before else None
        return _Mark(stage, since, now if noticed is None else noticed)

    def _reason(self, mark: _Mark, now: float) -> str:
        if mark.stage not in self._limits:
            return ""
        if mark.cancelled_since is not None and now >= mark.cancelled_since + self._end_seconds:
            return "cancelled, and did not end by itself"
        limit = self._limits[mark.stage]
        if limit is not None and now >= mark.since + limit + self._end_seconds:
            return f"{mark.stage} took longer than {limit:g} s"
        return ""
