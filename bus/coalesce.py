"""Rests for a loop, so that small messages share a round.

Two other loops coalesce lines, each by its own measure.  A collector paces its reads,
shares that rate with the host's other collectors, and must not let the engine's socket
fill up (``workers/container/pacing.py``).  A web worker rests for a multiple of the time
that its last writes took (``api/live/hub.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# More than this many consecutive rounds without a pause are a flood of small messages.
_FLOOD_ROUNDS: Final = 8


class Coalescer:
    """Coalesce small messages while they arrive faster than one per ``seconds``.

    The first message after a pause is never delayed, nor are the first few of a flood.
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
        """Sleep after a round if many rounds have followed each other without a pause."""
        self._quick = self._quick + 1 if self._clock() - self._last < self._seconds else 0
        if self._quick > _FLOOD_ROUNDS:
            # A lone message wakes the broker, and the broker wakes every subscriber.
            # Messages that arrive during the sleep share these wake-ups.
            self._sleep(self._seconds)
        self._last = self._clock()
