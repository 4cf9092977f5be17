"""Processes referred to by descriptor, and programs that run outside the fork server."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


class Handle:
    """A process referred to by its descriptor (pidfd_open(2)).

    A signal never reaches another process that was given the same pid later.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # it has ended, and the fork server has reaped it
            self._pidfd = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the process has ended."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, timeout_ms: int = 0) -> bool:
        """Wait for up to ``timeout_ms``.  Return True if the process has ended."""
        if self._pidfd is None:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(timeout_ms))

    @property
    def descriptor(self) -> int:
        """A descriptor that is readable once the process has ended; -1 without one."""
        return -1 if self._pidfd is None else self._pidfd

    def close(self) -> None:
        """Release the descriptor."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


class Program(Handle):
    """A separate program, to which the kernel sends SIGTERM when the supervisor dies."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 - our own command
            ["setpriv", "--pdeathsig", "TERM", *command],  # noqa: S607 - util-linux, on any Debian
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # only the supervisor handles a terminal's ^C
        )
        super().__init__(self._popen.pid)
        self._beat: float | None = None

    def note_beat(self, now: float) -> None:
        """Record that the program has reported that its loop turns."""
        self._beat = now

    def last_beat(self) -> float | None:
        """Return the time of the last report; None before the first one."""
        return self._beat

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the program has ended.

        SIGKILL also goes to the program's own children.
        """
        # gunicorn's workers would otherwise hold the port for a few moments longer.
        if number == signal.SIGKILL and self._popen.returncode is None:
            with suppress(ProcessLookupError):
                # The pid cannot belong to another group: it stays taken until it is reaped.
                os.killpg(self.pid, number)
        else:
            super().send_signal(number)

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the program has ended."""
        return self.descriptor

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the program runs."""
        return self._popen.poll()
