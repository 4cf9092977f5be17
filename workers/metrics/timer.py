"""A fixed-rate timer that does not sleep."""

from __future__ import annotations

import time
from collections.abc import Callable


class FixedRateTimer:
    """Absolute deadlines, ``period`` seconds apart.

    They do not drift, because each is computed from the first deadline and not from the
    time at which the previous one was met.  Deadlines missed during a stall are skipped,
    because several samples of the same instant are useless.
    """

    def __init__(self, period: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._now = now
        self._next = now() + period

    def remaining(self) -> float:
        """Return the seconds until the next deadline, 0 once it has passed."""
        return max(0.0, self._next - self._now())

    def met(self) -> None:
        """Advance to the first deadline in the future."""
        late = max(0.0, self._now() - self._next)
        self._next += self._period * (1 + late // self._period)
