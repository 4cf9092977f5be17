"""Facts about applications, in memory that the supervisor shares with the collectors.

Each collector has a page.  The supervisor writes it, and the collector reads it when it
needs an answer.  Reading takes about a microsecond, so a hundred collectors may read at
once, and answers cannot be lost or queue up.  The memory has no name (memfd_create(2)),
so it is freed with the last process that uses it.
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

# One page for each collector, after a first page with the number of collectors.
_PAGE: Final = 4_096

# The number of pages that are added at once.  A page takes memory once it is written.
_GROWTH: Final = 64

# The checksum and the length, in front of the encoded facts.
_HEAD: Final = struct.Struct("=II")
_COUNT: Final = struct.Struct("=Q")

# Names have at most 128 characters (``mist.validation``).  Two texts of this length fit on
# a page even with four bytes per character, whatever the database contains.
_TEXT: Final = 400


class AppFacts(msgspec.Struct, frozen=True, array_like=True):
    """The facts about one application."""

    container: str | None = None
    """The name of its container, or None if the application does not exist."""
    deploying: bool = False
    """A deployment is replacing its container."""
    error: str = ""
    """Why the store could not be read; the other fields have no meaning then."""
    installation: str = ""
    """The id of this installation, which its deployments write into a label."""


class _Duplicate(Protocol):
    """A descriptor on its way into a child (``multiprocessing.reduction.DupFd``)."""

    def detach(self) -> int:
        """Return the descriptor; the caller has to close it."""


class Notice:
    """The collector's end of a page.  It can be passed to a child process."""

    def __init__(self, descriptor: int, page: int, facts: AppFacts) -> None:
        self._descriptor = descriptor
        self._page = page
        self._facts = facts
        self._memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def __reduce__(self) -> tuple[Callable[..., Notice], tuple[Any, int, AppFacts]]:
        return _attach, (reduction.DupFd(self._descriptor), self._page, self._facts)

    def container(self) -> str | None:
        """Return the name of the container, or None if the application does not exist.

        Raise StoreError if the supervisor could not read the store.
        """
        facts = self._read()
        if facts.error:
            raise StoreError(facts.error)
        return facts.container

    def deploying(self) -> bool:
        """Return True while a deployment is replacing the container."""
        return self._read().deploying

    def installation(self) -> str:
        """Return the id of this installation."""
        return self._read().installation

    def collectors(self) -> int:
        """Return the number of running collectors, including this one."""
        (count,) = _COUNT.unpack(self._memory[: _COUNT.size])
        return max(1, int(count))

    def _read(self) -> AppFacts:
        """Return the facts on the page, or the previous ones during a write."""
        # The checksum replaces a lock: the supervisor must not wait for a collector that was
        # stopped or killed while it held one.
        page = self._memory[self._page * _PAGE : (self._page + 1) * _PAGE]
        checksum, length = _HEAD.unpack_from(page)
        notice = page[_HEAD.size : _HEAD.size + length]
        if notice and zlib.crc32(notice) == checksum:
            self._facts = msgspec.msgpack.decode(notice, type=AppFacts)
        return self._facts


def _attach(duplicate: _Duplicate, page: int, facts: AppFacts) -> Notice:
    descriptor = duplicate.detach()
    try:
        return Notice(descriptor, page, facts)  # mmap duplicates the descriptor
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
        """Write ``facts`` to a free page; return the page and the collector's end of it."""
        if not self._free:
            self._grow()
        page = self._free[-1]
        self.post(page, facts)
        notice = Notice(self._descriptor, page, facts)  # OSError if there are no descriptors left
        self._free.pop()
        self._count(1)
        return page, notice

    def post(self, page: int, facts: AppFacts) -> None:
        """Replace the facts on a page."""
        container = None if facts.container is None else _short(facts.container)
        short = msgspec.structs.replace(facts, container=container, error=_short(facts.error))
        notice = msgspec.msgpack.encode(short)
        record = _HEAD.pack(zlib.crc32(notice), len(notice)) + notice
        self._memory[page * _PAGE : page * _PAGE + len(record)] = record

    def release(self, page: int) -> None:
        """Free the page of a collector that has ended."""
        self._free.append(page)
        self._count(-1)

    def close(self) -> None:
        """Release the memory; running collectors keep their own mapping."""
        self._memory.close()
        os.close(self._descriptor)

    def _count(self, change: int) -> None:
        self._collectors += change
        self._memory[: _COUNT.size] = _COUNT.pack(self._collectors)

    def _grow(self) -> None:
        """Add pages."""
        # Collectors keep their smaller mapping, which includes their own page.
        first = len(self._memory) // _PAGE
        self._memory.resize((first + _GROWTH) * _PAGE)
        self._free = list(range(first, first + _GROWTH))


def _short(text: str) -> str:
    """Truncate the text, and replace lone surrogates, which file names can bring into errors."""
    return text[:_TEXT].encode(errors="replace").decode()
