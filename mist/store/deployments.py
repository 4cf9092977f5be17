"""The deployment queue, its progress and its history."""

from __future__ import annotations

from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select, update

from mist import clock
from mist.errors import Conflict
from mist.store import tables
from mist.store.database import Database
from mist.store.records import FINISHED, Deployment, DeploymentChanges

_table = tables.deployments
_apps = tables.apps

_REMOVED: Final = select(_apps.c.name).where(
    _apps.c.id == bindparam("id"), _apps.c.removed_by.is_not(None)
)

_NEW: Final = {
    "status": "pending",
    "stage": "",
    "progress": 0,
    "message": "Deployment queued",
    "error_message": "",
}


class Deployments:
    """The table of deployments; ids are in the order of arrival."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def create(self, app_id: int, created_by: str, rollback_to: int | None = None) -> Deployment:
        """Add a pending deployment; ``created_by`` is an email address or the name of a program."""
        values = _NEW | {
            "app_id": app_id,
            "created_by": created_by,
            "rollback_to": rollback_to,
            "created_at": clock.now(),
        }
        with self._data.write() as connection:
            return self._insert(connection, values)

    def _insert(self, connection: Connection, values: dict[str, Any]) -> Deployment:
        # In the same transaction: a removal waits for the deployments that it finds.
        app = connection.execute(_REMOVED, {"id": values["app_id"]}).first()
        if app is not None:
            raise Conflict(f"{app.name} is being removed")
        number = self._data.insert(connection, _table, **values)
        return _deployment(connection.execute(select(_table).where(_table.c.id == number)).one())

    def get(self, deployment_id: int) -> Deployment | None:
        """Return the deployment with this id."""
        with self._data.read() as connection:
            row = connection.execute(select(_table).where(_table.c.id == deployment_id)).first()
        return _deployment(row) if row else None

    def for_app(self, app_id: int, limit: int = 50) -> list[Deployment]:
        """Return the application's latest deployments, newest first."""
        query = select(_table).where(_table.c.app_id == app_id)
        with self._data.read() as connection:
            rows = connection.execute(query.order_by(_table.c.id.desc()).limit(limit)).all()
        return [_deployment(row) for row in rows]

    def pending(self) -> list[Deployment]:
        """Return the queue in order of arrival."""
        return self._many(_table.c.status == "pending")

    def unfinished(self) -> list[Deployment]:
        """Return pending and running deployments in order of arrival."""
        # A restarted supervisor cleans up what was running.
        return self._many(_table.c.status.not_in(FINISHED))

    def update(self, deployment_id: int, **changes: Unpack[DeploymentChanges]) -> bool:
        """Update an unfinished deployment; return True if there was one."""
        condition = (_table.c.id == deployment_id) & _table.c.status.not_in(FINISHED)
        with self._data.write() as connection:
            return (
                connection.execute(update(_table).where(condition).values(**changes)).rowcount > 0
            )

    def request_cancel(self, deployment_id: int, by: str) -> bool:
        """Ask the runner to stop; return False if the deployment is finished or does not exist.

        The deployment keeps the name of the first user who asked.
        """
        running = (_table.c.id == deployment_id) & _table.c.status.not_in(FINISHED)
        first = running & _table.c.cancelled_by.is_(None)
        with self._data.write() as connection:
            # Only a mark: the runner sees it and stops in an orderly way.
            connection.execute(update(_table).where(first).values(cancelled_by=by))
            return connection.execute(select(_table.c.id).where(running)).first() is not None

    def _many(self, condition: ColumnElement[bool]) -> list[Deployment]:
        with self._data.read() as connection:
            rows = connection.execute(select(_table).where(condition).order_by(_table.c.id)).all()
        return [_deployment(row) for row in rows]


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(**row._mapping)
