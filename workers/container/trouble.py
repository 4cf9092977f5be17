"""A collector's patience with an engine that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from mist import close_codes
from mist.errors import ContainerNotFound, EngineError, EngineUnreachable
from mist.settings import CollectorSettings
from workers.container.publisher import LogPublisher

log = structlog.get_logger(__name__)

# The first wait after a failure, in seconds; each further wait is twice as long.
FIRST_DELAY: Final = 0.05


class Trouble:
    """The failures since the engine last delivered lines."""

    def __init__(
        self, out: LogPublisher, limits: CollectorSettings, clock: Callable[[], float]
    ) -> None:
        self.since: float | None = None
        """The time of the first failure; None while the engine answers."""
        self._out = out
        self._limits = limits
        self._clock = clock
        self._delay = FIRST_DELAY

    def note(self, error: EngineError) -> None:
        """Wait after an error of the engine, and report an error that persists."""
        now = self._clock()
        self.since = self.since or now
        lasts = now - self.since >= self._limits.restart_seconds
        # That a container was just removed is not an error yet, because the next look decides.
        waits = self._out.opened or isinstance(error, ContainerNotFound)
        if not self._out.final and (lasts or not waits):
            log.warning("engine_log_unavailable", reason=str(error))
            self._out.error(_told(error), close_codes.TRY_AGAIN_LATER)
        self.back_off()

    def answered(self) -> None:
        """Record that the engine answered, so whatever was wrong is over."""
        self.since = None

    def recovered(self) -> None:
        """Forget past failures, because the engine delivers lines."""
        self._delay = FIRST_DELAY
        self.since = None

    def back_off(self) -> None:
        """Wait, and let the next wait be longer."""
        self._out.idle(self._delay)
        self._delay = min(2 * self._delay, self._limits.retry_seconds)


def _told(error: EngineError) -> str:
    """Return the error as shown to clients, without the engine's address."""
    if isinstance(error, EngineUnreachable):
        return "Docker Engine is unreachable"
    return str(error)
