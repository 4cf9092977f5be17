"""Signals as events of the loop: the handlers do nothing, a pipe carries the numbers."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Catches the signals; ``descriptor`` is readable when some have arrived.

    SIGINT and SIGHUP stay ignored where they are ignored already: a script's
    background job is not meant by ^C, nor a program under ``nohup`` by a hangup.
    """

    def __init__(self) -> None:
        self.descriptor, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._caught = [
            number
            for number in HANDLED
            if number is signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
        ]
        for number in self._caught:
            signal.signal(number, _note)

    def take(self) -> list[signal.Signals]:
        """Those that arrived since the last call."""
        arrived = b""
        with suppress(BlockingIOError):
            arrived = os.read(self.descriptor, 1024)
        return [signal.Signals(number) for number in arrived]

    def close(self) -> None:
        """Give the signals back to their defaults."""
        signal.set_wakeup_fd(-1)
        for number in self._caught:
            signal.signal(number, signal.SIG_DFL)
        os.close(self.descriptor)
        os.close(self._write_end)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Python has written the number to the pipe."""
