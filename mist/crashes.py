"""Count recent crashes of a process and compute the delay before its next start."""

from __future__ import annotations

import signal
from collections import deque

from mist.settings import SupervisorSettings


class Crashes:
    """The crashes of the last ``supervisor.crash_window_seconds``."""

    def __init__(self, limits: SupervisorSettings) -> None:
        self._limits = limits
        self._times: deque[float] = deque()

    def add(self, now: float) -> int:
        """Record a crash and return the number of crashes within the window."""
        self._times.append(now)
        # The newest entry is ``now`` itself, so the queue never becomes empty.
        while self._times[0] <= now - self._limits.crash_window_seconds:
            self._times.popleft()
        return len(self._times)

    @property
    def pause(self) -> float:
        """The delay after the newest crash in seconds: it doubles with each, up to a limit."""
        doublings = min(len(self._times) - 1, 64)  # 2.0**1024 would overflow a float
        wait = self._limits.backoff_seconds * 2.0**doublings
        return min(wait, self._limits.backoff_limit_seconds)


def describe(code: int) -> str:
    """Describe an exit code: ``exit status 1``, ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"  # real-time signals have no name
