"""When work that ended without success is tried again: after a growing delay."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from mist.settings import SupervisorSettings


class _Attempts(NamedTuple):
    """The attempts so far, and the clock's time of the next one."""

    done: int
    next: float


class Retries:
    """The attempts for each of several pieces of work, by their numbers."""

    def __init__(self, limits: SupervisorSettings, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._attempts: dict[int, _Attempts] = {}

    def keep(self, numbers: Collection[int]) -> None:
        """Forget all pieces of work but these."""
        self._attempts = {n: known for n, known in self._attempts.items() if n in numbers}

    def due(self, number: int) -> bool:
        """Return True, and count an attempt, unless the next one has to wait; the first is due."""
        now = self._clock()
        known = self._attempts.get(number, _Attempts(0, now))
        if now < known.next:
            return False
        pause = self._limits.backoff_seconds * 2.0 ** min(known.done, 64)
        following = now + min(pause, self._limits.backoff_limit_seconds)
        self._attempts[number] = _Attempts(known.done + 1, following)
        return True
