"""Deployments: the queue, the progress and the history."""

from __future__ import annotations

from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, Row, select, update

from mist import clock
from mist.store import tables
from mist.store.database import Database
from mist.store.records import FINISHED, Deployment, DeploymentChanges

_table = tables.deployments

_NEW: Final = {
    "status": "pending",
    "stage": "",
    "progress": 0,
    "message": "Deployment queued",
    "error_message": "",
}


class Deployments:
    """The table of deployments; a lower id arrived earlier."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def create(self, app_id: int, created_by: str, rollback_to: int | None = None) -> Deployment:
        """A new pending deployment; ``created_by`` is an e-mail address or a word for it."""
        values = _NEW | {
            "app_id": app_id,
            "created_by": created_by,
            "rollback_to": rollback_to,
            "created_at": clock.now(),
        }
        with self._data.write() as connection:
            number = self._data.insert(connection, _table, **values)
            return _deployment(
                connection.execute(select(_table).where(_table.c.id == number)).one()
            )

    def get(self, deployment_id: int) -> Deployment | None:
        """The deployment of this id."""
        with self._data.read() as connection:
            row = connection.execute(select(_table).where(_table.c.id == deployment_id)).first()
        return _deployment(row) if row else None

    def for_app(self, app_id: int, limit: int = 50) -> list[Deployment]:
        """The application's newest deployments, the newest first."""
        query = select(_table).where(_table.c.app_id == app_id)
        with self._data.read() as connection:
            rows = connection.execute(query.order_by(_table.c.id.desc()).limit(limit)).all()
        return [_deployment(row) for row in rows]

    def pending(self) -> list[Deployment]:
        """The queue, in order of arrival."""
        return self._many(_table.c.status == "pending")

    def unfinished(self) -> list[Deployment]:
        """The queue and what runs, in order of arrival."""
        return self._many(_table.c.status.not_in(FINISHED))

    def update(self, deployment_id: int, **changes: Unpack[DeploymentChanges]) -> bool:
        """Write fields of a deployment that is not over; whether there was one to write to."""
        condition = (_table.c.id == deployment_id) & _table.c.status.not_in(FINISHED)
        with self._data.write() as connection:
            return (
                connection.execute(update(_table).where(condition).values(**changes)).rowcount > 0
            )

    def request_cancel(self, deployment_id: int, by: str) -> bool:
        """Ask the runner to stop; False if the deployment is over, or was never there.

        The first who asks is the one whom the deployment names.
        """
        running = (_table.c.id == deployment_id) & _table.c.status.not_in(FINISHED)
        first = running & _table.c.cancelled_by.is_(None)
        with self._data.write() as connection:
            connection.execute(update(_table).where(first).values(cancelled_by=by))
            return connection.execute(select(_table.c.id).where(running)).first() is not None

    def _many(self, condition: ColumnElement[bool]) -> list[Deployment]:
        with self._data.read() as connection:
            rows = connection.execute(select(_table).where(condition).order_by(_table.c.id)).all()
        return [_deployment(row) for row in rows]


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(**row._mapping)
