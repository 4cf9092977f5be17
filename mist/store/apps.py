"""Applications, and who may see them."""

from __future__ import annotations

from typing import Any, Final, Unpack

import msgspec
from sqlalchemy import ColumnElement, Row, exists, insert, or_, select, true

from mist import clock
from mist.errors import AlreadyExists
from mist.store import tables
from mist.store.database import Database
from mist.store.records import App, AppFields, Viewer

_apps = tables.apps
_grants = tables.grants
_members = tables.project_members

#: What an application's container is restarted after, unless it says otherwise.
DEFAULT_RESTART: Final = "unless-stopped"


class Apps:
    """The tables of applications and of grants."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def get(self, app_id: int) -> App | None:
        """The application of this id."""
        return self._one(_apps.c.id == app_id)

    def by_name(self, name: str) -> App | None:
        """The application of this name."""
        return self._one(_apps.c.name == name)

    def all(self) -> list[App]:
        """Every application, in the order of their making."""
        return self._many(true())

    def visible_to(self, viewer: Viewer) -> list[App]:
        """The applications that ``viewer`` may see."""
        return self._many(_may_see(viewer))

    def allowed(self, app_id: int, viewer: Viewer) -> bool:
        """Whether ``viewer`` may see the application: as an admin, by a grant or a project.

        An application that does not exist is nobody's but an admin's.
        """
        if viewer.admin:
            return True
        with self._data.read() as connection:
            query = select(_apps.c.id).where(_apps.c.id == app_id, _may_see(viewer))
            return connection.execute(query).first() is not None

    def add(self, name: str, **fields: Unpack[AppFields]) -> App:
        """A new application; AlreadyExists if the name is taken."""
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
                row = connection.execute(select(_apps).where(_apps.c.id == number)).one()
        except AlreadyExists:
            raise AlreadyExists(f"there is an application {name!r} already") from None
        return _app(row)

    def grant(self, app_id: int, user_id: int) -> None:
        """Let a user see the application; once is enough, twice does no harm."""
        try:
            with self._data.write() as connection:
                connection.execute(insert(_grants).values(app_id=app_id, user_id=user_id))
        except AlreadyExists:
            return

    def _one(self, condition: ColumnElement[bool]) -> App | None:
        with self._data.read() as connection:
            row = connection.execute(select(_apps).where(condition)).first()
        return _app(row) if row else None

    def _many(self, condition: ColumnElement[bool]) -> list[App]:
        with self._data.read() as connection:
            rows = connection.execute(select(_apps).where(condition).order_by(_apps.c.id)).all()
        return [_app(row) for row in rows]


def _may_see(viewer: Viewer) -> ColumnElement[bool]:
    """The condition that keeps the applications that ``viewer`` may see."""
    if viewer.admin:
        return true()
    granted = exists().where(_grants.c.app_id == _apps.c.id, _grants.c.user_id == viewer.user_id)
    member = exists().where(
        _members.c.project_id == _apps.c.project_id, _members.c.user_id == viewer.user_id
    )
    return or_(granted, member)


def _app(row: Row[Any]) -> App:
    fields = dict(row._mapping)
    fields["container"] = fields["container"] or f"mist-app-{fields['id']}"
    fields["env"] = msgspec.json.decode(fields["env"], type=dict[str, str])
    return App(**fields)
