"""One row of the supervisor's table: a child, its state, and its timer.

The clock and the function that starts a process are injected, so that a test can replay
a child's whole life without processes and without waiting.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final, Protocol

from mist.crashes import Crashes, describe
from mist.errors import Exit
from mist.settings import SupervisorSettings
from supervisor.specs import Policy, Spec
from supervisor.states import Move, State, moved

# Exit statuses that mean "cannot start".  An immediate restart would fail in the same way.
CANNOT_START: Final = frozenset(Exit) - {Exit.OK, Exit.FAILURE}


class Process(Protocol):
    """A running process of any kind."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def sentinel(self) -> int:
        """A file descriptor that becomes readable when the process ends."""

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the process has ended."""

    def close(self) -> None:
        """Release the descriptors of a process that has ended."""


Start = Callable[[Spec, bool], Process]
Clock = Callable[[], float]


class Child:
    """A child of the supervisor: its specification, its state and its process, if any."""

    def __init__(self, spec: Spec, limits: SupervisorSettings, start: Start, clock: Clock) -> None:
        self.spec = spec
        self.state = State.IDLE
        self.since = clock()
        """The time of the last move, in the clock's seconds."""
        self.due: float | None = None
        """The time at which ``tick`` has to act, in the clock's seconds."""
        self.why = ""
        """The cause of the last move, as shown by ``mist status``."""
        self.reason = ""
        """The child's own explanation for giving up; it is not restarted at once."""
        self.restarts = 0
        self.exit_status = 0
        self.process: Process | None = None
        self._limits = limits
        self._start = start
        self._clock = clock
        self._crashes = Crashes(limits)

    @property
    def active(self) -> bool:
        """Return True if the child has a process."""
        return self.process is not None

    @property
    def pid(self) -> int | None:
        """The process id; None without a process."""
        return None if self.process is None else self.process.pid

    def start(self, why: str, *, resume: bool = False) -> None:
        """Start a process.  A failure to start one counts as a crash."""
        self._move(Move.START, why)
        self.reason = ""
        try:
            self.process = self._start(self.spec, resume)
        except (OSError, EOFError) as error:  # EOFError: the fork server died during the request
            self._crashed(f"cannot be started: {error}")

    def stop(self, why: str) -> None:
        """Ask the process to end within the specification's ``stop_seconds``."""
        if self.state in {State.IDLE, State.STOPPING, State.KILLING}:
            return  # a second request must not extend the deadline
        self._move(Move.STOP, why)
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.due = self.since + self.spec.stop_seconds

    def kill(self) -> None:
        """Kill the process without waiting for it to stop."""
        if self.state is State.RUNNING:
            self.stop("killed")
        if self.state is State.STOPPING and self.process is not None:
            self._move(Move.KILL, self.why)
            self.process.send_signal(signal.SIGKILL)

    def reap(self) -> bool:
        """Handle the end of the process.  Return True if it has ended."""
        if self.process is None:
            return False
        code = self.process.exit_code()
        if code is None:
            return False
        self.process.close()
        self.process = None
        self._ended(code)
        return True

    def tick(self) -> bool:
        """Kill a child that did not stop in time, or restart one whose pause is over.

        Return True if the state has changed.
        """
        if self.due is None or self._clock() < self.due:
            return False
        if self.state is State.STOPPING:
            self.kill()
        else:
            self.restarts += 1
            # A child that is due and not stopping has crashed or failed, so resume its work.
            self.start(self.why, resume=True)
        return True

    def _ended(self, code: int) -> None:
        if self.state in {State.STOPPING, State.KILLING}:
            # Any exit status will do: the supervisor asked for the end.
            self._move(Move.GONE, self.why)
        elif code == 0 and self.spec.policy is Policy.ONE_SHOT:
            self._move(Move.FINISH, "finished")
        # The web tier announces why it gives up; its exit status does not say as much.
        elif self.reason:
            self._give_up(f"gave up: {describe(code)}", code)
        elif code in CANNOT_START:
            self._give_up(f"cannot start: {describe(code)}", code)
        else:
            # Also status 0: a SIGTERM from outside does not end what is still needed.
            self._crashed(f"crashed: {describe(code)}" if code else "ended without being asked to")

    def _crashed(self, why: str) -> None:
        now = self._clock()
        times = self._crashes.add(now)
        if times >= self.spec.crash_limit:
            self._give_up(f"{why} ({times} times)", Exit.FAILURE)
            return
        self._move(Move.CRASH, why)
        self.due = now + self._crashes.pause

    def _give_up(self, why: str, status: int) -> None:
        """Move to FAILED.  The next attempt is a crash window away; a one-shot has none."""
        self._move(Move.GIVE_UP, why)
        self.exit_status = status
        if self.spec.policy is not Policy.ONE_SHOT:
            self.due = self.since + self._limits.crash_window_seconds

    def _move(self, move: Move, why: str) -> None:
        self.state = moved(self.state, move)
        self.since = self._clock()
        self.due = None
        self.why = why
