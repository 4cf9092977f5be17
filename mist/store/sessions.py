"""Revoked sessions and log-in attempts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import bindparam, delete, func, insert, select, update

from mist.errors import AlreadyExists
from mist.store import tables
from mist.store.database import Database

_revocations = tables.revocations
_failures = tables.login_failures

# Values per query; SQLite accepts 32,766 and PostgreSQL's driver 65,535.
_CHUNK = 500

_REVOKED: Final = select(_revocations.c.digest).where(_revocations.c.digest == bindparam("digest"))

_T = TypeVar("_T", int, str)


class Attempt(NamedTuple):
    """A recorded log-in attempt, or the seconds to wait before the next one is allowed."""

    rows: tuple[int, ...]
    retry_after: float


class Sessions:
    """The tables ``revocations`` and ``login_failures``."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def revoke(self, digest: str, expires_at: float) -> None:
        """Revoke the session with this digest; the row is kept until the session's own expiry."""
        # Cleaned up here, so that the table stays small without a job of its own.
        expired = delete(_revocations).where(_revocations.c.expires_at < time.time())
        try:
            with self._data.write() as connection:
                connection.execute(expired)
                connection.execute(
                    insert(_revocations).values(digest=digest, expires_at=expires_at)
                )
        except AlreadyExists:
            return

    def is_revoked(self, digest: str) -> bool:
        """Return True if the session with this digest is revoked."""
        with self._data.read() as connection:
            return connection.execute(_REVOKED, {"digest": digest}).first() is not None

    def revoked(self, digests: Iterable[str]) -> set[str]:
        """Return those of ``digests`` that are revoked."""
        found: set[str] = set()
        with self._data.read() as connection:
            for chunk in _chunks(sorted(set(digests))):
                query = select(_revocations.c.digest).where(_revocations.c.digest.in_(chunk))
                found.update(connection.scalars(query))
        return found

    def sessions_after(self, user_ids: Iterable[int]) -> dict[int, float]:
        """Return, for each existing user, the time before which its sessions are invalid."""
        users = tables.users
        found: dict[int, float] = {}
        with self._data.read() as connection:
            for chunk in _chunks(sorted(set(user_ids))):
                query = select(users.c.id, users.c.sessions_after).where(users.c.id.in_(chunk))
                found.update((row[0], row[1]) for row in connection.execute(query))
        return found

    def attempt(self, limits: Mapping[str, int], window: float) -> Attempt:
        """Record a log-in attempt under every key, unless one has reached its limit.

        The attempt counts as a failure until :meth:`forgive` removes it.  Otherwise many
        concurrent attempts would all be admitted before the first had failed.
        """
        now = time.time()
        with self._data.write() as connection:
            # Older failures no longer count.
            connection.execute(delete(_failures).where(_failures.c.at <= now - window))
            # After the clock was set back, failures from its future would last longer.
            connection.execute(update(_failures).where(_failures.c.at > now).values(at=now))
            for key, limit in limits.items():
                query = select(func.count(), func.min(_failures.c.at)).where(_failures.c.key == key)
                count, oldest = connection.execute(query).one()
                if count >= limit:
                    # The next attempt is allowed when the oldest failure leaves the window.
                    return Attempt((), max(1.0, float(oldest) + window - now))
            # In the transaction of the check: concurrent attempts are counted one after another.
            rows = [self._data.insert(connection, _failures, key=key, at=now) for key in limits]
        return Attempt(tuple(rows), 0.0)

    def forgive(self, attempt: Attempt, keys: Iterable[str]) -> None:
        """Remove a successful attempt, and every failure under ``keys``."""
        gone = _failures.c.id.in_(attempt.rows) | _failures.c.key.in_(list(keys))
        with self._data.write() as connection:
            connection.execute(delete(_failures).where(gone))


def _chunks(values: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
