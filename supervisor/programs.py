"""Processes by their descriptors, and programs of their own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


class Handle:
    """A process by its descriptor (pidfd_open(2)): a number that was reused is never hit."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # it has ended, and somebody else has reaped it
            self._pidfd = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Nothing happens if the process has ended."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, timeout_ms: int = 0) -> bool:
        """Whether the process has ended, at the latest after ``timeout_ms``."""
        if self._pidfd is None:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(timeout_ms))

    @property
    def descriptor(self) -> int:
        """Readable once the process has ended."""
        return -1 if self._pidfd is None else self._pidfd

    def close(self) -> None:
        """Release the descriptor."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


class Program(Handle):
    """A program of its own, which is told by the kernel when the supervisor dies."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 - our own command
            ["setpriv", "--pdeathsig", "TERM", *command],  # noqa: S607 - util-linux, on any Debian
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's ^C is the supervisor's to handle
        )
        super().__init__(self._popen.pid)

    def send_signal(self, number: int) -> None:
        """Nothing happens if the program has ended; SIGKILL takes its own children along.

        gunicorn's workers would otherwise hold the port for some moments more.
        """
        if number == signal.SIGKILL and self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)  # its number is not given away before it is reaped
        else:
            super().send_signal(number)

    @property
    def sentinel(self) -> int:
        """The descriptor of the process."""
        return self.descriptor

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()
