"""What the supervisor knows of applications, in memory that it shares with their collectors.

Each collector has a page, on which the supervisor writes and which the collector
reads when it has a question.  A question costs microseconds, so that a hundred
collectors may ask at once, and an answer cannot be lost or pile up on its way.
The memory has no name (memfd_create(2)): it is gone with its last process.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any, Final, Protocol, Self

import msgspec

from mist.errors import StoreError

#: One page for each collector, and one before them for the number of collectors.
_PAGE: Final = 4_096

#: How many pages are made at once; they take memory when they are written to.
_GROWTH: Final = 64

#: Checksum and length, before the notice itself.
_HEAD: Final = struct.Struct("=II")
_COUNT: Final = struct.Struct("=Q")

#: Names have 128 characters at most (``mist.validation``); with four bytes for each
#: character two texts of this length fit on a page, whatever the database holds.
_TEXT: Final = 400


class AppFacts(msgspec.Struct, frozen=True, array_like=True):
    """An application, as the store and the table of children have it."""

    container: str | None = None
    """The name of its container; None if there is no such application."""
    deploying: bool = False
    """A deployment is replacing its container."""
    error: str = ""
    """Why the store could not be read, and the other fields mean nothing."""


class _Duplicate(Protocol):
    """A descriptor on its way into a child (``multiprocessing.reduction.DupFd``)."""

    def detach(self) -> int:
        """Return the descriptor, which is the caller's from here on."""


class Notice:
    """A collector's end: answers about its application.  It can be handed to a child."""

    def __init__(self, descriptor: int, page: int, facts: AppFacts) -> None:
        self._descriptor = descriptor
        self._page = page
        self._facts = facts
        self._memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def __reduce__(self) -> tuple[Callable[..., Notice], tuple[Any, int, AppFacts]]:
        return _attach, (reduction.DupFd(self._descriptor), self._page, self._facts)

    def container(self) -> str | None:
        """Return the name of the container, or None if there is no such application.

        StoreError if the supervisor could not read the store.
        """
        facts = self._read()
        if facts.error:
            raise StoreError(facts.error)
        return facts.container

    def deploying(self) -> bool:
        """Return True while a deployment is replacing the container."""
        return self._read().deploying

    def collectors(self) -> int:
        """Return how many collectors run, the caller included."""
        (count,) = _COUNT.unpack(self._memory[: _COUNT.size])
        return max(1, int(count))

    def _read(self) -> AppFacts:
        """Return what the page says, or said the last time if it is just being written.

        No lock is shared with the supervisor, which must not wait for a collector
        that was stopped or killed while it held one.
        """
        page = self._memory[self._page * _PAGE : (self._page + 1) * _PAGE]
        checksum, length = _HEAD.unpack_from(page)
        notice = page[_HEAD.size : _HEAD.size + length]
        if notice and zlib.crc32(notice) == checksum:
            self._facts = msgspec.msgpack.decode(notice, type=AppFacts)
        return self._facts


def _attach(duplicate: _Duplicate, page: int, facts: AppFacts) -> Notice:
    descriptor = duplicate.detach()
    try:
        return Notice(descriptor, page, facts)  # the mapping keeps a descriptor of its own
    finally:
        os.close(descriptor)


class Noticeboard:
    """The supervisor's end: the pages of all collectors."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("mist-noticeboard")
        os.ftruncate(self._descriptor, _PAGE)
        self._memory = mmap.mmap(self._descriptor, _PAGE)
        self._free: list[int] = []
        self._collectors = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, facts: AppFacts) -> tuple[int, Notice]:
        """Return a free page that says so, and the collector's end of it; count the collector."""
        if not self._free:
            self._grow()
        page = self._free[-1]
        self.post(page, facts)
        notice = Notice(self._descriptor, page, facts)  # OSError if there are no descriptors left
        self._free.pop()
        self._count(1)
        return page, notice

    def post(self, page: int, facts: AppFacts) -> None:
        """Write something else on a page."""
        container = None if facts.container is None else _short(facts.container)
        short = AppFacts(container, facts.deploying, _short(facts.error))
        notice = msgspec.msgpack.encode(short)
        record = _HEAD.pack(zlib.crc32(notice), len(notice)) + notice
        self._memory[page * _PAGE : page * _PAGE + len(record)] = record

    def release(self, page: int) -> None:
        """Take the page back from a collector that has ended."""
        self._free.append(page)
        self._count(-1)

    def close(self) -> None:
        """Release the memory; collectors that still run keep what they read last."""
        self._memory.close()
        os.close(self._descriptor)

    def _count(self, change: int) -> None:
        self._collectors += change
        self._memory[: _COUNT.size] = _COUNT.pack(self._collectors)

    def _grow(self) -> None:
        """Make more pages; collectors need not know of those behind their own."""
        first = len(self._memory) // _PAGE
        self._memory.resize((first + _GROWTH) * _PAGE)
        self._free = list(range(first, first + _GROWTH))


def _short(text: str) -> str:
    """Return what fits; file names that are no UTF-8 leave surrogates in an error's text."""
    return text[:_TEXT].encode(errors="replace").decode()
