"""Decide when the master starts another worker after a failure, and when it gives up."""

from __future__ import annotations

import signal
from typing import Final

from api.server.worker_status import Failure, WorkerStatus
from mist.crashes import Crashes, describe
from mist.errors import Exit
from mist.settings import Settings

# Exit statuses of failures that only an operator can fix: retrying does not help.
_HOPELESS: Final = frozenset(Exit) - {Exit.OK, Exit.FAILURE, Exit.UNAVAILABLE, Exit.TEMPORARY}

_ADVICE: Final = {
    -signal.SIGKILL: "if memory ran out, the kernel log says so (`journalctl -k`)",
    -signal.SIGSYS: "the sandbox of the service forbids a system call that it needs",
}


class Attempts:
    """The failures since the start or the last reload; ``now`` is on the monotonic clock."""

    def __init__(self, settings: Settings, workers: int, now: float) -> None:
        self.due = now
        """The earliest time of the next start."""
        self.failures = 0
        """The number of failures within ``supervisor.crash_window_seconds``."""
        self.again = False
        """True if the latest failure has the same reason as the one before."""
        # Every worker may crash as often as any other process.
        self._limit = settings.supervisor.crash_limit * workers
        self._patience = settings.server.start_seconds
        self._crashes = Crashes(settings.supervisor)
        self._served_at = now
        self._last_reason = ""

    def note_serving(self, now: float) -> None:
        """Record that a worker is serving, or was until now."""
        self._served_at = now

    def note_failure(self, failure: Failure, now: float) -> None:
        """Record a failure, which delays the next start."""
        self.failures = self._crashes.add(now)
        # Without the delay a broken worker would be started in a busy loop.
        self.due = now + self._crashes.pause
        self.again = failure.reason == self._last_reason
        self._last_reason = failure.reason

    def hopeless(self, failure: Failure) -> bool:
        """Return True if the master should give up, provided that no worker is serving."""
        return (
            failure.status in _HOPELESS
            or self.failures >= self._limit
            # The next start would come too late: nothing has served for that long.
            or self.due > self._served_at + self._patience
        )


def explain_end(status: WorkerStatus, code: int) -> Failure:
    """Return the reason why a worker ended unexpectedly, derived from its exit code."""
    if status.failure is not None:  # it could report the reason itself
        return status.failure
    what = "crashed" if status.serves else "ended during its start"
    advice = _ADVICE.get(code, "see the log above")
    return Failure(Exit.FAILURE, f"a worker {what}: {describe(code)}; {advice}")


def explain_hanging(seconds: float) -> Failure:
    """Return the failure of a worker that was killed because it did not start in time."""
    return Failure(
        Exit.FAILURE,
        f"a worker did not serve within {seconds:g} s of its start; "
        "if this machine is slow, raise server.start_seconds",
    )
