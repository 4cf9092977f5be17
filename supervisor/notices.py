"""The facts about applications that the collectors see, kept in step with the store.

A collector of a log asks for an application, a collector of figures for a container's name.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from mist.errors import StoreError
from mist.noticeboard import AppFacts, Notice, Noticeboard

# The applications in one query; SQLite takes up to 32,766 (SQLITE_MAX_VARIABLE_NUMBER).
_QUERY: Final = 10_000

# An application's id, or the name of a container.
Key = int | str


class AppLookup(Protocol):
    """The part of the store's ``apps`` that collectors depend on."""

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return the container of each of these applications that exists; may raise StoreError."""


class Notices:
    """The notices of the running collectors, one for each application or container."""

    def __init__(self, apps: AppLookup, installation: str = "") -> None:
        self._apps = apps
        self._installation = installation
        self._board = Noticeboard()
        self._pages: dict[Key, int] = {}
        self._posted: dict[Key, AppFacts] = {}
        self._deploying: Collection[int] = ()
        self._unknown: set[int] = set()

    def look_up(self, app_ids: Collection[int]) -> None:
        """Find out which of these applications do not exist, with few queries for all."""
        # The collectors that run look after their own applications.
        asked = list(set(app_ids) - self._posted.keys())
        self._unknown.clear()
        # While the store fails, collectors start, and tell their clients about the error.
        with suppress(StoreError):
            for begin in range(0, len(asked), _QUERY):
                some = asked[begin : begin + _QUERY]
                self._unknown.update(set(some).difference(self._apps.containers(some)))

    def exists(self, app_id: int) -> bool:
        """Return False if the last ``look_up`` has not found the application."""
        return app_id not in self._unknown

    def open(self, key: Key) -> Notice:
        """Return the notice for a collector that is about to start."""
        try:
            facts = self._read([key])[key]
        except StoreError as error:
            # The collector starts all the same, and tells its clients about the error.
            facts = AppFacts(error=str(error))
        self._pages[key], notice = self._board.take(facts)
        self._posted[key] = facts
        return notice

    def close(self, key: Key) -> None:
        """Forget a collector that has ended."""
        self._board.release(self._pages.pop(key))
        del self._posted[key]

    def update(self, deploying: Collection[int]) -> None:
        """Post what has changed.

        ``deploying`` holds the applications that are being deployed.
        """
        self._deploying = deploying
        known = self._posted
        # While the store fails, the facts that it returned last remain valid.
        with suppress(StoreError):
            known = self._read(self._posted)  # one query for all collectors
        for key, facts in known.items():
            # While the store fails, no name tells whether it is being deployed.
            named = isinstance(key, str)
            now = facts.deploying if named else key in deploying
            changed = msgspec.structs.replace(facts, deploying=now)
            if changed != self._posted[key]:
                self._posted[key] = changed
                self._board.post(self._pages[key], changed)

    def end(self) -> None:
        """Release the shared memory.  Call this when all collectors have ended."""
        self._board.close()

    def _read(self, keys: Collection[Key]) -> dict[Key, AppFacts]:
        names = {key for key in keys if isinstance(key, str)}
        asked = [key for key in keys if isinstance(key, int)]
        # Names are few, and so are the applications that are being deployed.
        wanted = {*asked, *self._deploying} if names else asked
        found = self._apps.containers(wanted) if wanted else {}
        deployed = {found[each] for each in self._deploying if each in found}
        return {
            key: AppFacts(key, key in deployed, installation=self._installation)
            if isinstance(key, str)
            else AppFacts(found.get(key), key in self._deploying, installation=self._installation)
            for key in keys
        }
