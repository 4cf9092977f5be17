"""Processes that outlive the one that started them, and how to end them.

The supervisor is a subreaper, and so is each deployment's runner (prctl(2),
PR_SET_CHILD_SUBREAPER): an orphan becomes a child of the nearest one.  So everything that
a runner has started is below it, even a program that has left its group and session, and
once the runner has ended it is below the supervisor.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> Iterator[int]:
    """Yield the children of all threads of a process (proc_pid_task(5))."""
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                yield from map(int, (thread / "children").read_text("ascii").split())


def descendants(pid: int) -> list[int]:
    """Return everything below a process, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = list(children(waiting.pop()))
        found += below
        waiting += below
    return found


def kill_descendants(pid: int) -> None:
    """Kill everything that a process has started.  The process itself stops meanwhile."""
    # A stopped process starts nothing more, and it reaps nothing, so no pid is reused.
    _send(pid, signal.SIGSTOP)
    killed: set[int] = set()
    # Again, because a program may have started another one before it was killed.
    while new := set(descendants(pid)) - killed:
        for each in new:
            _send(each, signal.SIGKILL)
        killed |= new


class Strays:
    """The orphans that this process has adopted from workers that have ended."""

    def __init__(self) -> None:
        # A program that embeds the supervisor, as tests do, may have children of its own.
        self._foreign = frozenset(children(os.getpid()))

    def sweep(self, known: Collection[int], sessions: Collection[int] = ()) -> None:
        """Kill and reap all children but those in ``known``.

        Do not kill the members of ``sessions``, which end by themselves.
        """
        for pid in children(os.getpid()):
            if pid in known or pid in self._foreign:
                continue
            if _session(pid) not in sessions:
                kill_descendants(pid)
                _send(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
