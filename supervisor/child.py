"""One row of the supervisor's table: a child, its state, and its timer.

The clock and what starts a process are handed in, so that its whole life can be
replayed in a test without a process and without waiting.
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

#: Exit statuses that mean "cannot start": trying again at once would change nothing.
CANNOT_START: Final = frozenset(Exit) - {Exit.OK, Exit.FAILURE}


class Process(Protocol):
    """A process that was started, of whatever kind."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def sentinel(self) -> int:
        """A file descriptor that becomes readable when the process ends."""

    def exit_code(self) -> int | None:
        """None while it runs; a signal's number is negative."""

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""

    def close(self) -> None:
        """Release the descriptors of a process that has ended."""


Start = Callable[[Spec, bool], Process]
Clock = Callable[[], float]


class Child:
    """``since`` and ``due`` are the clock's seconds; ``why`` says how the state came about."""

    def __init__(self, spec: Spec, limits: SupervisorSettings, start: Start, clock: Clock) -> None:
        self.spec = spec
        self.state = State.IDLE
        self.since = clock()
        self.due: float | None = None
        self.why = ""
        self.reason = ""
        """What the child has said when it gave up; it is not started again at once."""
        self.restarts = 0
        self.exit_status = 0
        self.process: Process | None = None
        self._limits = limits
        self._start = start
        self._clock = clock
        self._crashes = Crashes(limits)

    @property
    def active(self) -> bool:
        """Whether a process is there."""
        return self.process is not None

    @property
    def pid(self) -> int | None:
        """The process's number, if one is there."""
        return None if self.process is None else self.process.pid

    def start(self, why: str, *, resume: bool = False) -> None:
        """Start a process; that it cannot even be started counts as a crash."""
        self._move(Move.START, why)
        self.reason = ""
        try:
            self.process = self._start(self.spec, resume)
        except (OSError, EOFError) as error:  # EOFError: the fork server died at this moment
            self._crashed(f"cannot be started: {error}")

    def stop(self, why: str) -> None:
        """Ask it to end, within the specification's ``stop_seconds``."""
        if self.state in {State.IDLE, State.STOPPING, State.KILLING}:
            return
        self._move(Move.STOP, why)
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.due = self.since + self.spec.stop_seconds

    def kill(self) -> None:
        """Do not ask."""
        if self.state is State.RUNNING:
            self.stop("killed")
        if self.state is State.STOPPING and self.process is not None:
            self._move(Move.KILL, self.why)
            self.process.send_signal(signal.SIGKILL)

    def reap(self) -> bool:
        """Look whether the process has ended, and move on if so."""
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
        """Do what is due: kill what does not stop, start what has waited."""
        if self.due is None or self._clock() < self.due:
            return False
        if self.state is State.STOPPING:
            self.kill()
        else:
            self.restarts += 1
            self.start(self.why, resume=True)
        return True

    def _ended(self, code: int) -> None:
        if self.state in {State.STOPPING, State.KILLING}:
            self._move(Move.GONE, self.why)
        elif code == 0 and self.spec.policy is Policy.ONE_SHOT:
            self._move(Move.FINISH, "finished")
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
        """Leave it alone for a window's time; what is to happen once is not tried again."""
        self._move(Move.GIVE_UP, why)
        self.exit_status = status
        if self.spec.policy is not Policy.ONE_SHOT:
            self.due = self.since + self._limits.crash_window_seconds

    def _move(self, move: Move, why: str) -> None:
        self.state = moved(self.state, move)
        self.since = self._clock()
        self.due = None
        self.why = why
