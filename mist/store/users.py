"""Users and their passwords."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, case, delete, select, update

from mist import clock
from mist.emails import canonical
from mist.errors import AlreadyExists, Conflict
from mist.store import tables
from mist.store.database import Database
from mist.store.records import Role, User

_users = tables.users
_columns = (
    _users.c.id,
    _users.c.email,
    _users.c.role,
    _users.c.created_at,
    _users.c.sessions_after,
)


# Used by every request, so built once: building takes half the time of such a query.
_BY_ID: Final = select(*_columns).where(_users.c.id == bindparam("id"))
_ADMINS: Final = select(_users.c.id).where(_users.c.role == "admin")
_BY_EMAIL: Final = select(*_columns).where(_users.c.email == bindparam("email"))


class StoredCredentials(NamedTuple):
    """A user and the hash of the password."""

    user: User
    password_hash: str


class Users:
    """The table of users; email addresses are stored and compared in canonical form."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def get(self, user_id: int) -> User | None:
        """Return the user with this id."""
        with self._data.read() as connection:
            row = connection.execute(_BY_ID, {"id": user_id}).first()
        return _user(row) if row else None

    def by_email(self, email: str) -> User | None:
        """Return the user with this email address."""
        with self._data.read() as connection:
            row = connection.execute(_BY_EMAIL, {"email": canonical(email)}).first()
        return _user(row) if row else None

    def credentials(self, email: str) -> StoredCredentials | None:
        """Return the user with this address, and the hash that a password is checked against."""
        with self._data.read() as connection:
            query = select(*_columns, _users.c.password_hash).where(
                _users.c.email == canonical(email)
            )
            row = connection.execute(query).first()
        return StoredCredentials(_user(row[:-1]), row[-1]) if row else None

    def all(self) -> list[User]:
        """Return every user in the order of creation."""
        with self._data.read() as connection:
            rows = connection.execute(select(*_columns).order_by(_users.c.id)).all()
        return [_user(row) for row in rows]

    def add(self, email: str, password_hash: str, role: Role = "user") -> User:
        """Add a user; raise AlreadyExists if the address already has an account."""
        created = clock.now()
        try:
            with self._data.write() as connection:
                number = self._data.insert(
                    connection,
                    _users,
                    email=canonical(email),
                    role=role,
                    password_hash=password_hash,
                    sessions_after=0.0,
                    created_at=created,
                )
        # The database decides, because two requests may pass a check at the same time.
        except AlreadyExists:
            raise AlreadyExists(f"the user {canonical(email)} already exists") from None
        return User(number, canonical(email), role, created)

    def set_password(self, user_id: int, password_hash: str) -> None:
        """Replace the password and end all sessions that began before."""
        change = update(_users).where(_users.c.id == user_id)
        with self._data.write() as connection:
            connection.execute(change.values(password_hash=password_hash, **_next_generation()))

    def admins(self) -> set[int]:
        """Return the ids of all admins."""
        with self._data.read() as connection:
            return set(connection.execute(_ADMINS).scalars())

    def set_role(self, user_id: int, role: Role) -> None:
        """Change the role; raise Conflict if no admin would be left."""
        with self._data.write() as connection:
            connection.execute(update(_users).where(_users.c.id == user_id).values(role=role))
            _check_admins(connection)

    def remove(self, user_id: int) -> None:
        """Remove the account with its grants; raise Conflict if no admin would be left."""
        with self._data.write() as connection:
            connection.execute(delete(_users).where(_users.c.id == user_id))
            _check_admins(connection)

    def replace_hash(self, user_id: int, old: str, new: str) -> None:
        """Replace a hash with a stronger one of the same password; sessions stay valid."""
        # Compare the old hash: a password that was changed meanwhile must not be overwritten.
        same = (_users.c.id == user_id) & (_users.c.password_hash == old)
        with self._data.write() as connection:
            connection.execute(update(_users).where(same).values(password_hash=new))


def _next_generation() -> dict[str, Any]:
    """Return the change that ends all sessions of an account.

    Fractional seconds, compared with the fractional ``iat`` of tokens without a
    generation.  The value never repeats, even if the clock was set back.
    """
    now, last = time.time(), _users.c.sessions_after
    return {"sessions_after": case((last >= now, last + 0.001), else_=now)}


def _check_admins(connection: Connection) -> None:
    """Raise Conflict, which undoes the transaction, unless an admin is left."""
    if connection.execute(select(_users.c.id).where(_users.c.role == "admin")).first() is None:
        raise Conflict("this is the last admin; make another user an admin first")


def _user(row: Row[tuple[int, str, Role, str, float]] | tuple[int, str, Role, str, float]) -> User:
    return User(*row)
