"""The tokens of programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select, true, update

from mist import clock
from mist.errors import Conflict
from mist.store import tables
from mist.store.database import Database
from mist.store.records import AccessToken, User

_tokens = tables.tokens
_users = tables.users
_columns: Final = [column for column in _tokens.c if column is not _tokens.c.digest]

# Used by every request of a program, so built once.
_BY_DIGEST: Final = (
    select(*_columns, _users.c.email, _users.c.role, _users.c.created_at.label("user_since"))
    .join(_users, _users.c.id == _tokens.c.user_id)
    .where(_tokens.c.digest == bindparam("digest"))
)
# Values per query, as in mist.store.sessions.
_CHUNK: Final = 500


class TokenAndUser(NamedTuple):
    """A token and the account that it acts for."""

    token: AccessToken
    user: User


class Tokens:
    """The table ``tokens``; a token is found by the SHA-256 of its text."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def add(self, token: AccessToken, digest: str, most: int) -> AccessToken:
        """Add a token and return it with its id.

        Raise Conflict if the user has ``most`` tokens that have not expired.
        """
        mine = _tokens.c.user_id == token.user_id
        values = msgspec.structs.asdict(token)
        del values["id"]
        if token.apps is not None:
            values["apps"] = msgspec.json.encode(token.apps).decode()
        with self._data.write() as connection:
            # Cleaned up here, so that the table stays small without a job of its own.
            expired = _tokens.c.expires_at <= token.created_at
            connection.execute(delete(_tokens).where(mine, expired))
            count = connection.scalar(select(func.count()).select_from(_tokens).where(mine)) or 0
            if count >= most:
                raise Conflict(
                    f"the user has {count} tokens, and at most {most} are allowed "
                    "(auth.tokens_per_user); revoke one first"
                )
            number = self._data.insert(connection, _tokens, digest=digest, **values)
        return msgspec.structs.replace(token, id=number)

    def by_digest(self, digest: str) -> TokenAndUser | None:
        """Return the token with this digest, expired or not, and its user."""
        with self._data.read() as connection:
            row = connection.execute(_BY_DIGEST, {"digest": digest}).first()
        if row is None:
            return None
        return TokenAndUser(_token(row), User(row.user_id, row.email, row.role, row.user_since))

    def get(self, token_id: int) -> AccessToken | None:
        """Return the token with this id."""
        return next(iter(self._many(_tokens.c.id == token_id)), None)

    def all(self) -> list[AccessToken]:
        """Return every token in the order of creation."""
        return self._many(true())

    def of_user(self, user_id: int) -> list[AccessToken]:
        """Return the user's tokens in the order of creation."""
        return self._many(_tokens.c.user_id == user_id)

    def remove(self, token_id: int) -> bool:
        """Remove the token, which ends its validity; return False if there is none."""
        with self._data.write() as connection:
            query = delete(_tokens).where(_tokens.c.id == token_id)
            return bool(connection.execute(query).rowcount)

    def note_use(self, token_id: int, now: str) -> None:
        """Record the time of the last use."""
        query = update(_tokens).where(_tokens.c.id == token_id).values(last_used_at=now)
        with self._data.write() as connection:
            connection.execute(query)

    def valid(self, token_ids: Iterable[int]) -> set[int]:
        """Return those of ``token_ids`` that exist and have not expired."""
        wanted, now = sorted(set(token_ids)), clock.now()
        lasts = or_(_tokens.c.expires_at.is_(None), _tokens.c.expires_at > now)
        found: set[int] = set()
        with self._data.read() as connection:
            for start in range(0, len(wanted), _CHUNK):
                chunk = _tokens.c.id.in_(wanted[start : start + _CHUNK])
                found.update(connection.scalars(select(_tokens.c.id).where(chunk, lasts)))
        return found

    def _many(self, condition: ColumnElement[bool]) -> list[AccessToken]:
        query = select(*_columns).where(condition).order_by(_tokens.c.id)
        with self._data.read() as connection:
            return [_token(row) for row in connection.execute(query).all()]


def _token(row: Any) -> AccessToken:
    fields = {column.name: getattr(row, column.name) for column in _columns}
    if fields["apps"] is not None:
        fields["apps"] = tuple(msgspec.json.decode(fields["apps"], type=list[int]))
    return AccessToken(**fields)
