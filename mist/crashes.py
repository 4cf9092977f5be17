"""How often a process crashed lately, and how long to wait before it is started again."""

from __future__ import annotations

import signal
from collections import deque

from mist.settings import Supervisor as Limits


class Crashes:
    """The crashes of the last ``supervisor.crash_window_seconds``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._times: deque[float] = deque()

    def add(self, now: float) -> int:
        """Note a crash; return how many there were within the window."""
        self._times.append(now)
        while self._times[0] <= now - self._limits.crash_window_seconds:
            self._times.popleft()
        return len(self._times)

    @property
    def pause(self) -> float:
        """Seconds to wait after the newest crash: twice as long after each, up to the limit."""
        doublings = min(len(self._times) - 1, 64)  # beyond it a float would overflow in the end
        wait = self._limits.backoff_seconds * 2.0**doublings
        return min(wait, self._limits.backoff_limit_seconds)


def describe(code: int) -> str:
    """An exit code in words: ``exit status 1``, ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
