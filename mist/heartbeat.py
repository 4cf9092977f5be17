"""The proof that the loop of a process turns: a word in memory shared with the supervisor.

Each child has a word and writes the time to it whenever its loop turns, which is at
least once per ``BEAT_SECONDS`` even when nothing happens.  A beat is one store to memory
and no system call, so it costs nothing on the way of a line.  It has to come from the
loop: a thread that beats would prove nothing about the loop.

A call that may block for longer announces that by ``blocking``, with a bound.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Final

BEAT_SECONDS: Final = 1.0
"""The longest wait of a loop between two beats."""

# The words of one service.  A page takes memory once it is written.
_WORDS: Final = 65_536
_WORD_BYTES: Final = 8

_FORMAT: Final = "q"
"""Nanoseconds of CLOCK_MONOTONIC, which stands still while the machine is suspended."""


class Heartbeats:
    """The supervisor's end: the words of all children."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("mist-heartbeats")
        os.ftruncate(self.descriptor, _WORDS * _WORD_BYTES)
        self._memory = mmap.mmap(self.descriptor, 0)
        self._words = memoryview(self._memory).cast(_FORMAT)
        self._free: list[int] = []
        self._used = 0

    def take(self) -> int:
        """Return the number of a word that says "now"; raise OSError if all are in use."""
        if not self._free:
            if self._used == _WORDS:
                raise OSError(errno.EAGAIN, "too many processes")
            self._free.append(self._used)
            self._used += 1
        number = self._free.pop()
        self._words[number] = time.monotonic_ns()
        return number

    def release(self, number: int) -> None:
        """Give back the word of a process that has ended."""
        self._free.append(number)

    def last(self, number: int) -> float:
        """Return the time of the last beat in seconds, or a later one that was announced."""
        return self._words[number] / 1e9

    def close(self) -> None:
        """Release the memory; running children keep their own mapping."""
        self._words.release()
        self._memory.close()
        os.close(self.descriptor)


class _Own:
    """The words as seen by a child, and the number of its own."""

    words: memoryview | None = None
    number = 0
    thread = 0
    """The thread that runs the loop."""


def attach(descriptor: int) -> None:
    """Map the words into this process and its future forks."""
    _Own.words = memoryview(mmap.mmap(descriptor, 0)).cast(_FORMAT)


def use(number: int) -> None:
    """Make the word ``number`` the one of this process."""
    _Own.number, _Own.thread = number, get_ident()
    beat()


def beat(more: float = 0.0) -> None:
    """Report that the loop turns, and that the next beat may come ``more`` seconds later.

    Do nothing in a process that no supervisor watches, or in another thread than the loop's,
    which may call the same functions.
    """
    if _Own.words is not None and get_ident() == _Own.thread:
        _Own.words[_Own.number] = time.monotonic_ns() + int(more * 1e9)


@contextmanager
def blocking(seconds: float) -> Iterator[None]:
    """Announce a call that may block for up to ``seconds``, which has to be its own bound."""
    beat(seconds)
    try:
        yield
    finally:
        beat()
