"""Signals as events of the loop.

The handlers do nothing.  Python writes the numbers of the signals to a pipe.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Catch the signals; ``descriptor`` is readable when some have arrived."""

    def __init__(self) -> None:
        self.descriptor, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # No warning about a full pipe: further signals would change nothing.
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        # SIGINT and SIGHUP stay ignored if they already are: ^C is not meant for a script's
        # background job, nor a hangup for a program under ``nohup``.
        self._caught = [
            number
            for number in HANDLED
            if number is signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
        ]
        for number in self._caught:
            signal.signal(number, _note)

    def take(self) -> list[signal.Signals]:
        """Return the signals that have arrived since the last call."""
        arrived = b""
        with suppress(BlockingIOError):
            arrived = os.read(self.descriptor, 1024)
        return [signal.Signals(number) for number in arrived]

    def close(self) -> None:
        """Restore the default handlers."""
        signal.set_wakeup_fd(-1)
        for number in self._caught:
            signal.signal(number, signal.SIG_DFL)
        os.close(self.descriptor)
        os.close(self._write_end)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: Python has already written the number to the pipe."""
