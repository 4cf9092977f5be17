"""A steady clock, without sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable


class FixedRateTimer:
    """Absolute deadlines, ``period`` seconds apart.

    They do not drift, for each is reckoned from the first and not from the moment
    at which the one before was met.  After a stall those missed are left out:
    nobody is helped by five samples of the same instant.
    """

    def __init__(self, period: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._now = now
        self._next = now() + period

    def remaining(self) -> float:
        """Seconds until the next deadline, 0 when it has come."""
        return max(0.0, self._next - self._now())

    def met(self) -> None:
        """Go on to the first deadline that lies ahead."""
        late = max(0.0, self._now() - self._next)
        self._next += self._period * (1 + late // self._period)
