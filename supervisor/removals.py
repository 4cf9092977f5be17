"""The applications that are to be removed, and when a worker may begin with one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from mist.errors import StoreError
from mist.settings import Settings
from supervisor.retries import Retries

log = structlog.get_logger(__name__)


class AppRemovals(Protocol):
    """The part of the store's ``apps`` that removals need."""

    def removals(self) -> list[int]:
        """Return the applications that are to be removed; may raise StoreError."""


class Removals:
    """Read which applications are to be removed, and say when to start their workers."""

    def __init__(
        self,
        apps: AppRemovals,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apps = apps
        self._retries = Retries(settings.supervisor, clock)
        self.wanted: frozenset[int] = frozenset()
        """The applications that are to be removed, as they were read last."""

    def look(self, running: Collection[int], deploying: Collection[int]) -> list[int]:
        """Return the applications whose removal may start now.

        ``running`` holds the applications that have a worker, ``deploying`` those with a
        deployment that is not finished.  These were cancelled, and have to undo their work.
        """
        try:
            wanted = self._apps.removals()
        except StoreError as error:
            log.error("removals_not_read", reason=str(error))
            return []
        self.wanted = frozenset(wanted)
        self._retries.keep(self.wanted)
        free = [app_id for app_id in wanted if app_id not in running and app_id not in deploying]
        return [app_id for app_id in free if self._retries.due(app_id)]
