"""The delays between attempts to connect."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

# A restarting service loses all its clients at once; they come back spread over this time.
_RESTART_SPREAD: Final = 0.5


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often a lost stream tries to connect; all times are in seconds.

    The delay grows by ``factor`` from ``initial`` to ``longest``, and each one is random
    between half of it and all of it.  After ``give_up_after`` without a connection the stream
    raises StreamError; None never gives up, and 0 does so at the first loss.
    """

    initial: float = 0.2
    longest: float = 10.0
    factor: float = 1.5
    give_up_after: float | None = None

    def __post_init__(self) -> None:
        if not (0 < self.initial <= self.longest and self.factor >= 1):
            raise ValueError(f"{self} needs 0 < initial <= longest and factor >= 1")


class Backoff:
    """The delays of one stream."""

    def __init__(self, retry: Retry, chance: Callable[[], float] = random.random) -> None:
        self._retry = retry
        self._chance = chance
        self._delay = retry.initial
        self._first = True

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay = self._delay
        # Multiplied step by step, because a power of the attempts would overflow one day.
        self._delay = min(self._retry.longest, delay * self._retry.factor)
        self._first = False
        return delay * (0.5 + self._chance() / 2)

    def after_restart(self) -> float:
        """Return the seconds to wait before the first attempt after a restart of the service."""
        if not self._first:
            return self.next()
        self._first = False
        return _RESTART_SPREAD * self._chance()

    def reset(self) -> None:
        """Start again with the shortest delay."""
        self._delay = self._retry.initial
        self._first = True
