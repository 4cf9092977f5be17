"""When the master starts another worker after one has failed, and when it gives up."""

from __future__ import annotations

import signal
from typing import Final

from api.worker_status import Failure, WorkerStatus
from mist.crashes import Crashes, describe
from mist.errors import Exit
from mist.settings import Settings

#: The statuses of a worker that fails because of something that only a person can change.
_HOPELESS: Final = frozenset(Exit) - {Exit.OK, Exit.FAILURE, Exit.UNAVAILABLE, Exit.TEMPORARY}

_ADVICE: Final = {
    -signal.SIGKILL: "if memory ran out, the kernel's log says so (`journalctl -k`)",
    -signal.SIGSYS: "the sandbox of the service does not allow a system call",
}


class Attempts:
    """The failures since the start or the last reload; ``now`` is on the monotonic clock."""

    def __init__(self, settings: Settings, workers: int, now: float) -> None:
        self.due = now
        """When the next worker may be started."""
        self.failures = 0
        """How many workers have failed within ``supervisor.crash_window_seconds``."""
        self.again = False
        """Whether the newest failure is the same as the one before."""
        self._limit = settings.supervisor.crash_limit * workers
        self._patience = settings.server.start_seconds
        self._crashes = Crashes(settings.supervisor)
        self._served_at = now
        self._last_reason = ""

    def note_serving(self, now: float) -> None:
        """A worker serves, or has done so until now."""
        self._served_at = now

    def note_failure(self, failure: Failure, now: float) -> None:
        """A worker has failed: the next one waits."""
        self.failures = self._crashes.add(now)
        self.due = now + self._crashes.pause
        self.again = failure.reason == self._last_reason
        self._last_reason = failure.reason

    def hopeless(self, failure: Failure) -> bool:
        """Return True if none is to follow, should no worker serve."""
        return (
            failure.status in _HOPELESS
            or self.failures >= self._limit
            or self.due > self._served_at + self._patience
        )


def explain_end(status: WorkerStatus, code: int) -> Failure:
    """Return why a worker has ended that nobody had asked to, by its exit code."""
    if status.failure is not None:
        return status.failure
    what = "crashed" if status.serves else "ended while it started"
    advice = _ADVICE.get(code, "the log above may say why")
    return Failure(Exit.FAILURE, f"a worker {what}: {describe(code)}; {advice}")


def explain_hanging(seconds: float) -> Failure:
    """Return why a worker was killed that did not get to serve in time."""
    return Failure(
        Exit.FAILURE,
        f"a worker does not serve within {seconds:g} s of its start; "
        "if this machine is just slow, raise server.start_seconds",
    )
