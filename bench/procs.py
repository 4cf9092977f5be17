"""Processes of the bench: started, asked, ended by their own handle, and what they cost.

A :class:`Peer` is one of our own processes with a pipe to it.  Everything is
ended in the reverse order of its start, whatever happens in between.
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

_SPAWN: Final = multiprocessing.get_context("spawn")
_ANSWER_SECONDS: Final = 300.0
_CPUCLOCK_SCHED: Final = 2
_OTHER_FILES: Final = 512


class BenchError(Exception):
    """The measurement could not be made, or what it measured was not correct."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """The CPU time that processes have used so far, in seconds, all threads, user and system.

    The clock of a process (Linux, ``clock_getcpuclockid``) counts nanoseconds;
    the figures in ``/proc/PID/stat`` are sampled at 100 Hz.
    """
    return sum(time.clock_gettime((~pid) << 3 | _CPUCLOCK_SCHED) for pid in pids)


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: shared pages are divided among those who share them."""
    return sum(int(psutil.Process(pid).memory_full_info().pss) for pid in pids)


def private_bytes(pid: int) -> int:
    """The memory that would be free if this process ended (unique set size)."""
    return int(psutil.Process(pid).memory_full_info().uss)


def allow_files(clients: int) -> int:
    """Raise this process's limit of open files, and its children's; how many clients fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + _OTHER_FILES
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(clients, soft - _OTHER_FILES)


class Peer:
    """A process that runs ``main(pipe, *arguments)`` and answers requests in order."""

    def __init__(self, main: Callable[..., None], *arguments: object) -> None:
        self.pipe: Connection[Any, Any]
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=main, args=(theirs, *arguments), daemon=True)
        self._process.start()
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
        """CPU seconds used so far."""
        return cpu_seconds([self.pid])

    def send(self, *request: object) -> None:
        """Send a request without waiting for its answer."""
        self.pipe.send(request)

    def answer(self, timeout: float = _ANSWER_SECONDS) -> Any:
        """The answer to the oldest request; an exception of the other side is raised here."""
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
        """End the process: the closed pipe asks it to, a kill follows if it does not."""
        self.pipe.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5.0)


def shared_counter() -> Any:
    """One 64-bit number in memory that peers share."""
    return _SPAWN.RawValue("Q", 0)


def shared_numbers(size: int) -> Any:
    """``size`` 64-bit numbers in memory that peers share."""
    return _SPAWN.RawArray("Q", size)
