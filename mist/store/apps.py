"""Applications and the users who may see them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Unpack

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, or_, select, true, tuple_

from mist import clock
from mist.errors import AlreadyExists, Conflict
from mist.store import tables
from mist.store.database import Database
from mist.store.records import App, AppFields, Viewer

_apps = tables.apps
_grants = tables.grants
_members = tables.project_members
_adoptions = tables.adoptions
_users = tables.users

# Restart an application's container after crashes and reboots, but not after a stop.
DEFAULT_RESTART: Final = "unless-stopped"


# Statements are built once: building takes half the time of a small query.
_GRANTED: Final = exists().where(
    _grants.c.app_id == _apps.c.id, _grants.c.user_id == bindparam("viewer")
)
_MEMBER: Final = exists().where(
    _members.c.project_id == _apps.c.project_id, _members.c.user_id == bindparam("viewer")
)
_VISIBLE: Final = select(_apps).where(or_(_GRANTED, _MEMBER)).order_by(_apps.c.id)
_ALLOWED: Final = select(_apps.c.id).where(_apps.c.id == bindparam("id"), or_(_GRANTED, _MEMBER))
_PAIR: Final = tuple_(_apps.c.id, _users.c.id)
_PERMITTED: Final = (
    select(_apps.c.id, _users.c.id)
    # Every pair; the caller adds which ones it wants.
    .select_from(_apps.join(_users, true()))
    .where(
        or_(
            _users.c.role == "admin",
            exists().where(_grants.c.app_id == _apps.c.id, _grants.c.user_id == _users.c.id),
            exists().where(
                _members.c.project_id == _apps.c.project_id, _members.c.user_id == _users.c.id
            ),
        )
    )
)
# Pairs per query; SQLite's expressions are limited in depth.
_PAIRS: Final = 200
_ALL: Final = select(_apps).order_by(_apps.c.id)
_CONTAINERS: Final = select(_apps.c.id, _apps.c.container).where(
    _apps.c.id.in_(bindparam("ids", expanding=True))
)
_NEWEST_FIRST: Final = select(_apps.c.id, _apps.c.container).order_by(_apps.c.id.desc())
_BY_ID: Final = select(_apps).where(_apps.c.id == bindparam("id"))


class Apps:
    """The tables ``apps``, ``grants`` and ``adoptions``."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def get(self, app_id: int) -> App | None:
        """Return the application with this id."""
        with self._data.read() as connection:
            row = connection.execute(_BY_ID, {"id": app_id}).first()
        return _app(row) if row else None

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return the container of each of these applications that exists."""
        with self._data.read() as connection:
            rows = connection.execute(_CONTAINERS, {"ids": list(app_ids)})
            return {row.id: row.container or _usual_container(row.id) for row in rows}

    def of_containers(self) -> dict[str, int]:
        """Return for each container the application that it belongs to, the first of several."""
        with self._data.read() as connection:
            rows = connection.execute(_NEWEST_FIRST)
            return {row.container or _usual_container(row.id): row.id for row in rows}

    def by_name(self, name: str) -> App | None:
        """Return the application with this name."""
        with self._data.read() as connection:
            row = connection.execute(select(_apps).where(_apps.c.name == name)).first()
        return _app(row) if row else None

    def all(self) -> list[App]:
        """Return every application in the order of creation."""
        with self._data.read() as connection:
            return [_app(row) for row in connection.execute(_ALL)]

    def visible_to(self, viewer: Viewer) -> list[App]:
        """Return the applications that ``viewer`` may see."""
        if viewer.admin:
            return self.all()
        with self._data.read() as connection:
            rows = connection.execute(_VISIBLE, {"viewer": viewer.user_id})
            return [_app(row) for row in rows]

    def allowed(self, app_id: int, viewer: Viewer) -> bool:
        """Return True if ``viewer`` may see the application: as an admin, by a grant or a project.

        For an application that does not exist this is True only for an admin.
        """
        if viewer.admin:
            return True
        with self._data.read() as connection:
            values = {"id": app_id, "viewer": viewer.user_id}
            return connection.execute(_ALLOWED, values).first() is not None

    def permitted(self, wanted: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return those of ``wanted``, pairs of an application and a user, that are allowed now.

        One query for every 200 pairs.
        """
        found: set[tuple[int, int]] = set()
        pairs = sorted(wanted)
        with self._data.read() as connection:
            for start in range(0, len(pairs), _PAIRS):
                chunk = pairs[start : start + _PAIRS]
                rows = connection.execute(_PERMITTED.where(_PAIR.in_(chunk)))
                found.update((row[0], row[1]) for row in rows)
        return found

    def add(self, name: str, **fields: Unpack[AppFields]) -> App:
        """Add an application; raise AlreadyExists if the name is taken.

        Raise Conflict if another application deploys to the same container, because each
        would replace the other's.
        """
        values: dict[str, Any] = {
            "name": name,
            "dockerfile": "Dockerfile",
            "restart_policy": DEFAULT_RESTART,
            "created_at": clock.now(),
            **fields,
            "env": msgspec.json.encode(fields.get("env", {})).decode(),
        }
        try:
            with self._data.write() as connection:
                number = self._data.insert(connection, _apps, **values)
                app = _app(connection.execute(select(_apps).where(_apps.c.id == number)).one())
                # In the same transaction: two requests at once must not both pass the check.
                _check_container(connection, app)
        except AlreadyExists:
            raise AlreadyExists(f"the application {name!r} already exists") from None
        return app

    def grant(self, app_id: int, user_id: int) -> None:
        """Let a user see the application; a second grant has no effect."""
        try:
            with self._data.write() as connection:
                connection.execute(insert(_grants).values(app_id=app_id, user_id=user_id))
        except AlreadyExists:
            return

    def revoke(self, app_id: int, user_id: int) -> bool:
        """Withdraw a user's grant; return False if there is none."""
        grant = (_grants.c.app_id == app_id) & (_grants.c.user_id == user_id)
        with self._data.write() as connection:
            return bool(connection.execute(delete(_grants).where(grant)).rowcount)

    def adopt(self, app_id: int, container_id: str) -> None:
        """Let the application's deployments replace the container with this full id.

        Each application has at most one such container, and each container one such
        application; a new adoption replaces earlier ones.
        """
        former = or_(_adoptions.c.app_id == app_id, _adoptions.c.container_id == container_id)
        values = {"app_id": app_id, "container_id": container_id, "created_at": clock.now()}
        with self._data.write() as connection:
            connection.execute(delete(_adoptions).where(former))
            connection.execute(insert(_adoptions).values(values))

    def adopted(self, app_id: int) -> str | None:
        """Return the full id of the container that the application adopted, if any."""
        query = select(_adoptions.c.container_id).where(_adoptions.c.app_id == app_id)
        with self._data.read() as connection:
            return connection.execute(query).scalar()


def _check_container(connection: Connection, app: App) -> None:
    """Raise Conflict if another application deploys to the container of ``app``."""
    if app.git_url is None:  # it only watches the container; any number of applications may
        return
    for other in map(_app, connection.execute(_ALL)):
        if other.id != app.id and other.git_url is not None and other.container == app.container:
            raise Conflict(
                f"the container {app.container} is already deployed by {other.name}; "
                f"choose another container for {app.name}"
            )


def _app(row: Row[Any]) -> App:
    fields = dict(row._mapping)
    # Not stored, because the id is only known after the insert.
    fields["container"] = fields["container"] or _usual_container(fields["id"])
    fields["env"] = msgspec.json.decode(fields["env"], type=dict[str, str])
    return App(**fields)


def _usual_container(app_id: int) -> str:
    return f"mist-app-{app_id}"
