"""Run the main function of a process in the test, until SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TypeVar

_T = TypeVar("_T")


def until_sigterm(main: Callable[[], object], visit: Callable[[], _T]) -> _T:
    """Run ``main`` in this thread and ``visit`` in another one, whose end sends SIGTERM.

    Return the result of ``visit``, or raise its exception.
    """
    thread = threading.get_ident()

    def visit_and_end() -> _T:
        try:
            return visit()
        finally:
            # To this thread, so that its system call is interrupted.
            signal.pthread_kill(thread, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with ThreadPoolExecutor(1) as pool:
            visiting = pool.submit(visit_and_end)
            try:
                main()
            except SystemExit:
                return visiting.result(20)
            finally:
                # If the process ended by itself, the signal is still to come.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise AssertionError("the process ended by itself")
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)  # as the handler of mist.process does
