"""The facts about applications that the collectors see, kept in step with the store.

A collector of a container that is known by its name alone, or of its figures, has the same
facts, with this name.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from mist.errors import StoreError
from mist.noticeboard import AppFacts, Notice, Noticeboard

# An application's id, or the kind of the collector and the name of its container.
Source = int | tuple[str, str]

# The applications in one query; SQLite takes up to 32,766 (SQLITE_MAX_VARIABLE_NUMBER).
_QUERY: Final = 10_000


class AppLookup(Protocol):
    """The part of the store's ``apps`` that collectors depend on."""

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return the container of each of these applications that exists; may raise StoreError."""


class Notices:
    """The notices of the running collectors, one for each of them."""

    def __init__(self, apps: AppLookup, installation: str = "") -> None:
        self._apps = apps
        self._installation = installation
        self._board = Noticeboard()
        self._pages: dict[Source, int] = {}
        self._posted: dict[Source, AppFacts] = {}
        self._deploying: Collection[int] = ()
        self._unknown: set[int] = set()

    def look_up(self, app_ids: Collection[int]) -> None:
        """Find out which of these applications do not exist, with few queries for all."""
        # The collectors that run look after their own applications.
        asked = [app_id for app_id in set(app_ids) if app_id not in self._posted]
        self._unknown.clear()
        # While the store fails, collectors start, and tell their clients about the error.
        with suppress(StoreError):
            for begin in range(0, len(asked), _QUERY):
                some = asked[begin : begin + _QUERY]
                self._unknown.update(set(some).difference(self._apps.containers(some)))

    def exists(self, app_id: int) -> bool:
        """Return False if the last ``look_up`` has not found the application."""
        return app_id not in self._unknown

    def open(self, source: Source) -> Notice:
        """Return the notice for a collector that is about to start."""
        try:
            facts = self._read([source])[source]
        except StoreError as error:
            # The collector starts all the same, and tells its clients about the error.
            facts = AppFacts(error=str(error))
        self._pages[source], notice = self._board.take(facts)
        self._posted[source] = facts
        return notice

    def close(self, source: Source) -> None:
        """Forget a collector that has ended."""
        self._board.release(self._pages.pop(source))
        del self._posted[source]

    def update(self, deploying: Collection[int]) -> set[int]:
        """Post what has changed; return the applications that have another container now.

        ``deploying`` holds the applications that are being deployed.
        """
        self._deploying = deploying
        moved: set[int] = set()
        known = self._posted
        # While the store fails, the facts that it returned last remain valid.
        with suppress(StoreError):
            known = self._read(self._posted)  # one query for all collectors
        for source, facts in known.items():
            changed, before = facts, self._posted[source]
            if isinstance(source, int):
                changed = msgspec.structs.replace(facts, deploying=source in deploying)
                if before.container and changed.container not in {None, before.container}:
                    moved.add(source)
            if changed != before:
                self._posted[source] = changed
                self._board.post(self._pages[source], changed)
        return moved

    def end(self) -> None:
        """Release the shared memory.  Call this when all collectors have ended."""
        self._board.close()

    def _read(self, sources: Collection[Source]) -> dict[Source, AppFacts]:
        app_ids = [source for source in sources if isinstance(source, int)]
        names = [source for source in sources if not isinstance(source, int)]
        asked = {*app_ids, *(self._deploying if names else ())}
        found = self._apps.containers(asked) if asked else {}
        replaced = {found.get(app_id) for app_id in self._deploying}
        facts: dict[Source, AppFacts] = {
            (kind, name): AppFacts(name, name in replaced, installation=self._installation)
            for kind, name in names
        }
        for app_id in app_ids:
            deploying = app_id in self._deploying
            facts[app_id] = AppFacts(found.get(app_id), deploying, installation=self._installation)
        return facts
