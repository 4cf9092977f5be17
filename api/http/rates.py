"""Bounds on how often something may happen, in the memory of one worker."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final

import falcon

# The keys that are remembered; with more, those that have been silent longest are forgotten.
_KEYS: Final = 10_000


class RateLimit:
    """At most ``limit`` events of a key within ``seconds``."""

    def __init__(
        self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def check(self, key: Hashable, message: str) -> None:
        """Raise HTTPTooManyRequests with ``Retry-After`` if there were too many events."""
        times = self._times.get(key)
        if times is None or len(times) < self._limit:
            return
        wait = times[0] + self._seconds - self._clock()
        if wait > 0:
            # A body that was not read yet makes the connection useless.
            headers = {"Retry-After": str(math.ceil(wait)), "Connection": "close"}
            raise falcon.HTTPTooManyRequests(description=message, headers=headers)

    def note(self, key: Hashable) -> None:
        """Count an event."""
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        times.append(self._clock())
        self._times.move_to_end(key)
        if len(self._times) > _KEYS:
            self._times.popitem(last=False)
