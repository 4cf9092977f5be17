"""The processes of the bench: start, request, stop, and the cost in CPU and memory.

A :class:`Peer` is one of the bench's own processes, with a pipe to it.  Everything is
stopped in reverse order of its start, even after an error.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

import psutil

# A fork would copy the memory and threads of the bench into the figures.
_SPAWN: Final = multiprocessing.get_context("spawn")
_ANSWER_SECONDS: Final = 300.0  # longer than any single request takes
# CPUCLOCK_SCHED of the kernel's posix-timers.h: the CPU time of all threads.
_CPUCLOCK_SCHED: Final = 2
# Files that a process of the bench needs in addition to its clients.
_OTHER_FILES: Final = 512


class BenchError(Exception):
    """The measurement failed, or the measured behaviour was wrong."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes have used so far, user and system.

    The CPU clock of a process (``clock_getcpuclockid(3)``) counts nanoseconds; the
    figures in ``/proc/PID/stat`` are sampled at 100 Hz.
    """
    # The kernel's MAKE_PROCESS_CPUCLOCK, as clock_getcpuclockid(3) computes it.
    return sum(time.clock_gettime((~pid) << 3 | _CPUCLOCK_SCHED) for pid in pids)


def tree(pid: int) -> list[int]:
    """Return the pids of a process and all its descendants."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the proportional set size, which divides shared pages among their users."""
    return sum(int(psutil.Process(pid).memory_full_info().pss) for pid in pids)


def private_bytes(pid: int) -> int:
    """Return the memory that would be freed if this process ended (unique set size)."""
    return int(psutil.Process(pid).memory_full_info().uss)


def allow_files(clients: int) -> int:
    """Raise the limit of open files, also for children; return how many clients fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + _OTHER_FILES
    if soft < wanted:
        soft = min(wanted, hard)  # raising the hard limit needs root
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(clients, soft - _OTHER_FILES)


class Peer:
    """A process that runs ``main(pipe, *arguments)`` and answers requests in order."""

    def __init__(self, main: Callable[..., None], *arguments: object) -> None:
        self.pipe: Connection[Any, Any]
        self.pipe, theirs = _SPAWN.Pipe()
        # A daemon process ends with the bench.
        self._process = _SPAWN.Process(target=main, args=(theirs, *arguments), daemon=True)
        self._process.start()
        # Otherwise the peer would never see the end of the pipe.
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def cpu(self) -> float:
        """The CPU seconds used so far."""
        return cpu_seconds([self.pid])

    def send(self, *request: object) -> None:
        """Send a request without waiting for its answer."""
        self.pipe.send(request)

    def answer(self, timeout: float = _ANSWER_SECONDS) -> Any:
        """Return the answer to the oldest request, or raise the exception that the peer sent."""
        if not self.pipe.poll(timeout):
            raise BenchError(f"process {self.pid} did not answer in {timeout:.0f} s")
        try:
            reply = self.pipe.recv()
        except EOFError:
            raise BenchError(f"process {self.pid} ended with {self._process.exitcode}") from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def ask(self, *request: object, timeout: float = _ANSWER_SECONDS) -> Any:
        """Send a request and wait for its answer."""
        self.send(*request)
        return self.answer(timeout)

    def close(self) -> None:
        """Stop the process by closing its pipe, and kill it if it does not end."""
        self.pipe.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()  # by handle, never by a pid that may have been reused
            self._process.join(5.0)


def shared_counter() -> Any:
    """Return a 64-bit number in memory shared with peers."""
    # Without a lock: one process writes, and an aligned 64-bit access is atomic.
    return _SPAWN.RawValue("Q", 0)


def shared_numbers(size: int) -> Any:
    """Return ``size`` 64-bit numbers in memory shared with peers."""
    return _SPAWN.RawArray("Q", size)
