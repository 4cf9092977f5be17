"""Accounts."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from sqlalchemy import Row, bindparam, select, update

from mist import clock
from mist.emails import canonical
from mist.errors import AlreadyExists
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


#: Asked for with every request, so put together once: that is half of such a query's time.
_BY_ID: Final = select(*_columns).where(_users.c.id == bindparam("id"))
_BY_EMAIL: Final = select(*_columns).where(_users.c.email == bindparam("email"))


class Credentials(NamedTuple):
    """A user and the hash of the password."""

    user: User
    password_hash: str


class Users:
    """The table of users; e-mail addresses are kept and compared in their canonical form."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def get(self, user_id: int) -> User | None:
        """The user of this id."""
        with self._data.read() as connection:
            row = connection.execute(_BY_ID, {"id": user_id}).first()
        return _user(row) if row else None

    def by_email(self, email: str) -> User | None:
        """The user of this address."""
        with self._data.read() as connection:
            row = connection.execute(_BY_EMAIL, {"email": canonical(email)}).first()
        return _user(row) if row else None

    def credentials(self, email: str) -> Credentials | None:
        """The user of this address with the hash that a password is verified against."""
        with self._data.read() as connection:
            query = select(*_columns, _users.c.password_hash).where(
                _users.c.email == canonical(email)
            )
            row = connection.execute(query).first()
        return Credentials(_user(row[:-1]), row[-1]) if row else None

    def all(self) -> list[User]:
        """Every user, in the order of their making."""
        with self._data.read() as connection:
            rows = connection.execute(select(*_columns).order_by(_users.c.id)).all()
        return [_user(row) for row in rows]

    def add(self, email: str, password_hash: str, role: Role = "user") -> User:
        """A new user; AlreadyExists if the address has an account."""
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
        except AlreadyExists:
            raise AlreadyExists(f"there is a user {canonical(email)} already") from None
        return User(number, canonical(email), role, created)

    def set_password(self, user_id: int, password_hash: str) -> None:
        """Replace the password, and end the sessions that began with the old one."""
        change = update(_users).where(_users.c.id == user_id)
        with self._data.write() as connection:
            connection.execute(
                change.values(password_hash=password_hash, sessions_after=time.time())
            )

    def replace_hash(self, user_id: int, old: str, new: str) -> None:
        """Replace a hash by a stronger one of the same password; sessions go on."""
        same = (_users.c.id == user_id) & (_users.c.password_hash == old)
        with self._data.write() as connection:
            connection.execute(update(_users).where(same).values(password_hash=new))


def _user(row: Row[tuple[int, str, Role, str, float]] | tuple[int, str, Role, str, float]) -> User:
    return User(*row)
