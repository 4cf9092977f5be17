"""How long an engine may be away before clients are told, without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from mist.errors import EngineError, EngineUnreachable
from mist.settings import Settings

# The first wait after a failure, in seconds; each further wait is twice as long.
_FIRST_DELAY: Final = 0.05


class Trouble:
    """The failures of the engine since it answered last."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self.told = ""
        """What the clients were told; empty while they are served."""
        self.due = float("-inf")
        """The time of the next attempt."""
        self._limits = settings.collector
        self._now = now
        self._since: float | None = None
        self._delay = _FIRST_DELAY

    def add(self, error: EngineError, *, streaming: bool) -> str | None:
        """Record a failure.  Return what to tell the clients now, if anything.

        Clients that are being served are told of a failure that lasts; a restart of the
        engine does not concern them.
        """
        now = self._now()
        self._since = now if self._since is None else self._since
        self.due = now + self._delay
        self._delay = min(2 * self._delay, self._limits.retry_seconds)
        lasts = now - self._since >= self._limits.restart_seconds
        text = shown(error)
        return text if (lasts or not streaming) and text != self.told else None

    def over(self) -> None:
        """Record that the engine answers."""
        self._since, self._delay = None, _FIRST_DELAY


def shown(error: EngineError) -> str:
    """Return the error as shown to clients, without the engine's address."""
    return "Docker Engine is unreachable" if isinstance(error, EngineUnreachable) else str(error)
