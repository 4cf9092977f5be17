"""The facts about applications that the collectors see, kept in step with the store."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from mist.errors import StoreError
from mist.noticeboard import AppFacts, Notice, Noticeboard

# The applications in one query; SQLite takes up to 32,766 (SQLITE_MAX_VARIABLE_NUMBER).
_QUERY: Final = 10_000


class AppLookup(Protocol):
    """The part of the store's ``apps`` that collectors depend on."""

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return the container of each of these applications that exists; may raise StoreError."""


class Notices:
    """The notices of the running collectors, one for each application."""

    def __init__(self, apps: AppLookup, installation: str = "") -> None:
        self._apps = apps
        self._installation = installation
        self._board = Noticeboard()
        self._pages: dict[int, int] = {}
        self._posted: dict[int, AppFacts] = {}
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

    def open(self, app_id: int) -> Notice:
        """Return the notice for a collector that is about to start."""
        try:
            facts = self._read([app_id])[app_id]
        except StoreError as error:
            # The collector starts all the same, and tells its clients about the error.
            facts = AppFacts(error=str(error))
        self._pages[app_id], notice = self._board.take(facts)
        self._posted[app_id] = facts
        return notice

    def close(self, app_id: int) -> None:
        """Forget a collector that has ended."""
        self._board.release(self._pages.pop(app_id))
        del self._posted[app_id]

    def update(self, deploying: Collection[int]) -> None:
        """Post what has changed.

        ``deploying`` holds the applications that are being deployed.
        """
        self._deploying = deploying
        known = self._posted
        # While the store fails, the facts that it returned last remain valid.
        with suppress(StoreError):
            known = self._read(self._posted)  # one query for all collectors
        for app_id, facts in known.items():
            changed = msgspec.structs.replace(facts, deploying=app_id in deploying)
            if changed != self._posted[app_id]:
                self._posted[app_id] = changed
                self._board.post(self._pages[app_id], changed)

    def end(self) -> None:
        """Release the shared memory.  Call this when all collectors have ended."""
        self._board.close()

    def _read(self, app_ids: Collection[int]) -> dict[int, AppFacts]:
        found = self._apps.containers(app_ids) if app_ids else {}
        return {
            app_id: AppFacts(
                found.get(app_id), app_id in self._deploying, installation=self._installation
            )
            for app_id in app_ids
        }
