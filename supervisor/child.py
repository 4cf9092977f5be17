"""One row of the supervisor's table: a child, its state, and its timer.

The clock and the function that starts a process are injected, so that a test can replay
a child's whole life without processes and without waiting.
"""

from __future__ import annotations

import errno
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


# A shortage of the system.  It is no fault of the child, so it does not count as a crash.
SHORTAGES: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}
)


class Process(Protocol):
    """A running process of any kind."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def sentinel(self) -> int:
        """A file descriptor that becomes readable when the process ends."""

    def last_beat(self) -> float | None:
        """Return the time at which its loop last turned, in the clock's seconds.

        None if the process does not report it.
        """

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
        self.resumes = False
        """The process completes the work of another one, as does each that is restarted."""
        self.refusals = 0
        """How often in a row the system was short of something to start the process."""
        self.exit_status = 0
        self.process: Process | None = None
        self._cause = ""
        self._limits = limits
        self._start = start
        self._clock = clock
        self._crashes = Crashes(limits)

    @property
    def active(self) -> bool:
        """Return True if the child has a process."""
        return self.process is not None

    @property
    def watched(self) -> bool:
        """Return True if the process reports that its loop turns."""
        return self.process is not None and self.process.last_beat() is not None

    @property
    def pid(self) -> int | None:
        """The process id; None without a process."""
        return None if self.process is None else self.process.pid

    def start(self, why: str, *, resume: bool = False) -> None:
        """Start a process.  A failure to start one counts as a crash."""
        self._move(Move.START, why)
        if not self.refusals:
            self._cause = why
        self.reason = ""
        self.resumes = resume
        try:
            self.process = self._start(self.spec, resume)
            self.refusals = 0
        except OSError as error:
            if error.errno in SHORTAGES:
                self._refused(f"cannot be started: {error.strerror}")
            else:
                self._crashed(f"cannot be started: {error}")

    def stop(self, why: str) -> None:
        """Ask the process to end within the specification's ``stop_seconds``."""
        if self.state in {State.IDLE, State.STOPPING, State.KILLING}:
            return  # a second request must not extend the deadline
        killed = self.state is State.HUNG
        self._move(Move.STOP, why)
        if self.process is not None and not killed:
            self.process.send_signal(signal.SIGTERM)
            self.due = self.since + self.spec.stop_seconds

    def kill(self) -> None:
        """Kill the process without waiting for it to stop."""
        if self.state in {State.RUNNING, State.HUNG}:
            self.stop("killed")
        if self.state is State.STOPPING and self.process is not None:
            self._move(Move.KILL, self.why)
            self.process.send_signal(signal.SIGKILL)

    def silence(self, since: float) -> float:
        """Return for how many seconds a running loop has not turned.

        Whatever happened before ``since`` does not count.
        """
        beat = self.process.last_beat() if self.process and self.state is State.RUNNING else None
        return 0.0 if beat is None else max(0.0, self._clock() - max(beat, since))

    def hang(self, seconds: float) -> None:
        """Kill a process whose loop has not turned for this long."""
        self._move(Move.HANG, f"hung: its loop did not turn for {seconds:.1f} s")
        limit = self.spec.hang_seconds
        self.spec = self.spec._replace(reason=f"its process did not respond for {limit:g} s")
        if self.process is not None:
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
            self.restarts += not self.refusals
            # A child that is due and not stopping has crashed or failed, so resume its work,
            # unless it has never been started.
            why = self._cause if self.refusals else self.why
            self.start(why, resume=self.resumes or not self.refusals)
        return True

    def _ended(self, code: int) -> None:
        if self.state in {State.STOPPING, State.KILLING}:
            # Any exit status will do: the supervisor asked for the end.
            self._move(Move.GONE, self.why)
        elif code == 0 and self.spec.policy is Policy.ONE_SHOT:
            self._move(Move.FINISH, "finished")
        elif self.state is State.HUNG:
            self._crashed(self.why)
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

    def _refused(self, why: str) -> None:
        """Try again a little later, for as long as it takes."""
        self.refusals += 1
        self._move(Move.CRASH, why)
        self.due = self.since + self._limits.poll_seconds

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
