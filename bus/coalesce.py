"""Decides when a loop rests so that small messages share a round, without I/O.

Two other loops let lines gather, and each of them by a measure of its own.  A
collector's reads have a rate, which the collectors of a host share, and the engine's
socket must not fill up in between (``workers/container/pacing.py``).  A web worker
rests for a multiple of what its last writes cost (``api/live/hub.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# So many rounds that follow each other at once are a flood of small messages.
_FLOOD_ROUNDS: Final = 8


class Coalescer:
    """Lets small messages gather while they come faster than one in ``seconds``.

    Each message alone wakes the broker, and the broker every subscriber; those
    that gather for a moment share the wake-ups.  A message after a pause finds
    the broker waiting for it, and so do the first few of a flood.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._quick = 0
        self._last = clock()

    def rest(self) -> None:
        """Sleep after a round if several have followed each other at once."""
        self._quick = self._quick + 1 if self._clock() - self._last < self._seconds else 0
        if self._quick > _FLOOD_ROUNDS:
            self._sleep(self._seconds)
        self._last = self._clock()
