"""The deployment queue, its progress and its history."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Unpack

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    func,
    select,
    update,
)

from mist import clock
from mist.errors import AlreadyExists, Conflict
from mist.store import tables
from mist.store.database import Database
from mist.store.records import FINISHED, Deployment, DeploymentChanges

_table = tables.deployments
_apps = tables.apps
_deliveries = tables.hook_deliveries

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


# Shown as the name of the user who cancelled.
_NEWER_PUSH: Final = "a newer push"


class Pushed(NamedTuple):
    """The deployment of a delivery, and the waiting ones that it replaced."""

    deployment_id: int
    replaced: list[int]
    seen: bool
    """An earlier request with the same delivery added the deployment."""


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

    def create_pushed(self, app_id: int, created_by: str, digest: str, keep: int) -> Pushed:
        """Add a pending deployment unless the delivery was seen, and cancel those that wait.

        A rollback that waits stays, because somebody asked for exactly that.  ``keep`` is the
        number of the application's deliveries that are remembered.
        """
        values = _NEW | {
            "app_id": app_id,
            "created_by": created_by,
            "rollback_to": None,
            "created_at": clock.now(),
        }
        try:
            with self._data.write() as connection:
                known = _delivered(connection, app_id, digest)
                if known is not None:
                    return Pushed(known, [], seen=True)
                replaced = _replace_waiting(connection, app_id)
                number = self._insert(connection, values).id
                self._data.insert(
                    connection,
                    _deliveries,
                    app_id=app_id,
                    digest=digest,
                    deployment_id=number,
                )
                _forget_deliveries(connection, app_id, keep)
        except AlreadyExists:
            # The same delivery arrived twice at once, where the database lets both look first.
            with self._data.read() as connection:
                return Pushed(_delivered(connection, app_id, digest) or 0, [], seen=True)
        return Pushed(number, replaced, seen=False)

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

    def ids(self, app_id: int) -> list[int]:
        """Return the ids of all deployments of the application."""
        with self._data.read() as connection:
            query = select(_table.c.id).where(_table.c.app_id == app_id)
            return list(connection.execute(query).scalars())

    def pending(self) -> list[Deployment]:
        """Return the queue in order of arrival."""
        return self._many(_table.c.status == "pending")

    def unfinished(self) -> list[Deployment]:
        """Return pending and running deployments in order of arrival."""
        # A restarted supervisor cleans up what was running.
        return self._many(_table.c.status.not_in(FINISHED))

    def counts(self) -> dict[str, int]:
        """Return the number of deployments by status."""
        with self._data.read() as connection:
            query = select(_table.c.status, func.count()).group_by(_table.c.status)
            return {row[0]: row[1] for row in connection.execute(query)}

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


def _delivered(connection: Connection, app_id: int, digest: str) -> int | None:
    """Return the deployment that a delivery led to, or None."""
    mine = (_deliveries.c.app_id == app_id) & (_deliveries.c.digest == digest)
    return connection.execute(select(_deliveries.c.deployment_id).where(mine)).scalar()


def _replace_waiting(connection: Connection, app_id: int) -> list[int]:
    """Cancel the deployments of the branch that wait, and return their ids."""
    waiting = (
        (_table.c.app_id == app_id)
        & (_table.c.status == "pending")
        & _table.c.rollback_to.is_(None)
        & _table.c.cancelled_by.is_(None)
    )
    found = list(connection.execute(select(_table.c.id).where(waiting).order_by(_table.c.id)))
    # Only a mark, as for any cancellation: a runner may just have started one of them.
    connection.execute(update(_table).where(waiting).values(cancelled_by=_NEWER_PUSH))
    return [row.id for row in found]


def _forget_deliveries(connection: Connection, app_id: int, keep: int) -> None:
    mine = _deliveries.c.app_id == app_id
    newest = select(_deliveries.c.id).where(mine).order_by(_deliveries.c.id.desc())
    last = connection.execute(newest.offset(keep).limit(1)).scalar()
    if last is not None:
        connection.execute(delete(_deliveries).where(mine & (_deliveries.c.id <= last)))


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(**row._mapping)
