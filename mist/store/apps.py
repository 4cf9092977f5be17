"""Applications and the users who may see them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Unpack

import msgspec
from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)

from mist import clock
from mist.errors import AlreadyExists, Conflict, NotFound
from mist.ids import parse_id
from mist.store import tables
from mist.store.database import Database
from mist.store.records import (
    FINISHED,
    App,
    AppFields,
    ContainerOptions,
    EditedFields,
    Grant,
    Right,
    Viewer,
    covers,
)

_apps = tables.apps
_grants = tables.grants
_members = tables.project_members
_adoptions = tables.adoptions
_users = tables.users
_deployments = tables.deployments

# Restart an application's container after crashes and reboots, but not after a stop.
DEFAULT_RESTART: Final = "unless-stopped"


# Statements are built once: building takes half the time of a small query.
_GRANTED: Final = (
    select(_grants.c.right)
    .where(_grants.c.app_id == _apps.c.id, _grants.c.user_id == bindparam("viewer"))
    .scalar_subquery()
)
_MEMBER: Final = exists().where(
    _members.c.project_id == _apps.c.project_id, _members.c.user_id == bindparam("viewer")
)
# The members of an application's project may deploy it.
_OWN_RIGHT: Final = case((_MEMBER, literal("deployer")), else_=_GRANTED).label("own_right")
_VISIBLE: Final = (
    select(_apps, _OWN_RIGHT).where(or_(_GRANTED.is_not(None), _MEMBER)).order_by(_apps.c.id)
)
_RIGHT: Final = select(_OWN_RIGHT).where(_apps.c.id == bindparam("id"))
_GRANTS: Final = select(_grants.c.app_id, _grants.c.user_id, _users.c.email, _grants.c.right).join(
    _users, _users.c.id == _grants.c.user_id
)
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
# The name of a container that was not named, in front of the application's id.
_USUAL: Final = "mist-app-"
# Pairs per query; SQLite's expressions are limited in depth.
_PAIRS: Final = 200
_ALL: Final = select(_apps).order_by(_apps.c.id)
_CONTAINERS: Final = select(_apps.c.id, _apps.c.container).where(
    # No collector starts for one that is being removed.
    _apps.c.id.in_(bindparam("ids", expanding=True)),
    _apps.c.removed_by.is_(None),
)
_BY_CONTAINER: Final = (
    select(_apps)
    .where(
        or_(
            _apps.c.container == bindparam("container"),
            and_(_apps.c.container.is_(None), _apps.c.id == bindparam("usual")),
        )
    )
    .order_by(_apps.c.id)
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
        """Return the container of each of these applications that exists and is to stay."""
        with self._data.read() as connection:
            rows = connection.execute(_CONTAINERS, {"ids": list(app_ids)})
            return {row.id: row.container or _usual_container(row.id) for row in rows}

    def by_container(self, container: str) -> App | None:
        """Return the oldest application with a container of this name."""
        usual = parse_id(container.removeprefix(_USUAL))
        # Not for mist-app-01, which is another name than mist-app-1.
        named = usual is not None and _usual_container(usual) == container
        values = {"container": container, "usual": usual if named else 0}
        with self._data.read() as connection:
            row = connection.execute(_BY_CONTAINER, values).first()
        return _app(row) if row else None

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
        return [app for app, _ in self.rights_of(viewer)]

    def rights_of(self, viewer: Viewer) -> list[tuple[App, Right]]:
        """Return the applications that ``viewer`` may see, each with the right to it."""
        own: list[tuple[App, Right]]
        if viewer.all_apps:
            own = [(app, "deployer") for app in self.all()]
        else:
            with self._data.read() as connection:
                rows = connection.execute(_VISIBLE, {"viewer": viewer.user_id})
                own = [(_app(row), row.own_right) for row in rows]
        limited = ((app, viewer.limits.apply(app.id, right)) for app, right in own)
        return [(app, right) for app, right in limited if right is not None]

    def right(self, app_id: int, viewer: Viewer) -> Right | None:
        """Return the right of ``viewer`` to the application: as an admin, by a grant or a project.

        For an application that does not exist this is None, except for an admin.
        """
        if viewer.all_apps:
            return viewer.limits.apply(app_id, "deployer")
        with self._data.read() as connection:
            own = connection.scalar(_RIGHT, {"id": app_id, "viewer": viewer.user_id})
        return viewer.limits.apply(app_id, own)

    def allowed(self, app_id: int, viewer: Viewer, right: Right = "viewer") -> bool:
        """Return True if ``viewer`` has at least this right to the application."""
        return covers(self.right(app_id, viewer), right)

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
            **_values({"env": {}, "options": ContainerOptions(), **fields}),
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

    def edit(self, app_id: int, change: Callable[[App], EditedFields]) -> App:
        """Set the fields that ``change`` returns for the application as it is now.

        Both happen in one transaction, so of two edits at once none is lost.  Raise NotFound,
        AlreadyExists for a name that is taken, or Conflict: while the application is being
        removed, and for its container while a deployment may be replacing it.
        """
        try:
            with self._data.write() as connection:
                before = _required(connection, app_id)
                if before.removed_by is not None:
                    raise Conflict(f"{before.name} is being removed")
                fields = change(before)
                if not fields:
                    return before
                connection.execute(
                    update(_apps).where(_apps.c.id == app_id).values(_values(fields))
                )
                after = _required(connection, app_id)
                _check_container(connection, after)
                if after.container != before.container:
                    _check_idle(connection, before)
        except AlreadyExists:
            name = fields.get("name")
            raise AlreadyExists(f"the application {name!r} already exists") from None
        return after

    def set_hook_secret(self, app_id: int, secret: str | None) -> None:
        """Replace the secret of the application's webhook; None turns the webhook off."""
        with self._data.write() as connection:
            connection.execute(update(_apps).where(_apps.c.id == app_id).values(hook_secret=secret))

    def request_removal(self, app_id: int, by: str) -> bool:
        """Mark the application for removal and cancel its deployments; False if it is gone.

        It keeps the name of the first user who asked.
        """
        unfinished = (_deployments.c.app_id == app_id) & _deployments.c.status.not_in(FINISHED)
        first = (_apps.c.id == app_id) & _apps.c.removed_by.is_(None)
        mine = unfinished & _deployments.c.cancelled_by.is_(None)
        with self._data.write() as connection:
            connection.execute(update(_apps).where(first).values(removed_by=by))
            connection.execute(update(_deployments).where(mine).values(cancelled_by=by))
            found = connection.execute(select(_apps.c.id).where(_apps.c.id == app_id)).first()
        return found is not None

    def removals(self) -> list[int]:
        """Return the applications that are to be removed."""
        query = select(_apps.c.id).where(_apps.c.removed_by.is_not(None)).order_by(_apps.c.id)
        with self._data.read() as connection:
            return list(connection.execute(query).scalars())

    def note_removal_problem(self, app_id: int, problem: str) -> None:
        """Record why a removal has to be tried again."""
        with self._data.write() as connection:
            connection.execute(
                update(_apps).where(_apps.c.id == app_id).values(removal_problem=problem)
            )

    def remove(self, app_id: int) -> None:
        """Delete the application with its grants, deployments and adoption."""
        with self._data.write() as connection:
            connection.execute(delete(_apps).where(_apps.c.id == app_id))

    def grant(self, app_id: int, user_id: int, right: Right = "deployer") -> None:
        """Give a user a right to the application, in place of an earlier one."""
        row = (_grants.c.app_id == app_id) & (_grants.c.user_id == user_id)
        values = {"app_id": app_id, "user_id": user_id, "right": right}
        with self._data.write() as connection:
            if not connection.execute(update(_grants).where(row).values(right=right)).rowcount:
                connection.execute(insert(_grants).values(values))

    def grants(self, app_id: int) -> list[Grant]:
        """Return the grants for the application, in the order of the users' ids."""
        query = _GRANTS.where(_grants.c.app_id == app_id).order_by(_grants.c.user_id)
        with self._data.read() as connection:
            return [Grant(*row) for row in connection.execute(query)]

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


def _check_idle(connection: Connection, app: App) -> None:
    """Raise Conflict while the application has a deployment that is not finished.

    Its runner, and one that undoes its work, look for containers by the name.
    """
    unfinished = (_deployments.c.app_id == app.id) & _deployments.c.status.not_in(FINISHED)
    number = connection.execute(select(_deployments.c.id).where(unfinished)).scalar()
    if number is not None:
        raise Conflict(
            f"deployment {number} of {app.name} is not finished; wait for its end, or cancel it, "
            "before you change the container"
        )


def _required(connection: Connection, app_id: int) -> App:
    row = connection.execute(_BY_ID, {"id": app_id}).first()
    if row is None:
        raise NotFound("Application not found")
    return _app(row)


def _values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields as the table stores them."""
    values: dict[str, Any] = dict(fields)
    for name in values.keys() & {"env", "options"}:
        values[name] = msgspec.json.encode(values[name]).decode()
    return values


def _app(row: Row[Any]) -> App:
    fields = {name: value for name, value in row._mapping.items() if name in _apps.c}
    # Not stored, because the id is only known after the insert.
    fields["container"] = fields["container"] or _usual_container(fields["id"])
    fields["env"] = msgspec.json.decode(fields["env"], type=dict[str, str])
    fields["options"] = msgspec.json.decode(fields["options"], type=ContainerOptions)
    return App(**fields)


def _usual_container(app_id: int) -> str:
    return f"{_USUAL}{app_id}"
