"""The claim of a collector, in a file that outlives it.

The file is mapped into memory, so a write takes no system call, and the kernel keeps what
was written when the process is killed.  Two records are written in turns, each with a
checksum.  A process that is killed during a write leaves the record before it, which is
right as well: a claim is written before its message is sent.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import structlog
from msgspec import structs

from bus.replay import Position
from mist.paths import Paths, owner_of_new
from workers.container.claims import (
    PAGE_BYTES,
    RECORD_BYTES,
    Claim,
    LineMark,
    marked,
    packed,
    unpacked,
)
from workers.container.resume import ResumePoint

log = structlog.get_logger(__name__)

# Of statuses and the like, the newest this many are known by number, and only those with
# at most this many lines after them.
_OTHERS: Final = 64
_REACH: Final = 50_000

# A subscriber may be this many seconds behind when broker and collector die.
_BEHIND_SECONDS: Final = 2.0

# Unlike applications, names can be made up, and each leaves a file behind.
_NAMED: Final = "container-name:*"
_MAX_NAMED: Final = 1_000
_ANY_TERM: Final = 2**63


class ClaimFile:
    """The claim of one topic, as it is written and as a predecessor left it.

    Without ``memory``, the claim is not kept.
    """

    def __init__(
        self,
        memory: mmap.mmap | bytearray | None = None,
        kept: Claim | None = None,
        clock: Callable[[], float] = time.monotonic,
        broker: int = 0,
        damaged: bool = False,
    ) -> None:
        self.claim = structs.replace(kept or Claim(), broker=broker)
        self.inherited = kept is not None
        """The claim is a predecessor's, and its lines were not looked for yet."""
        self.same_broker = kept is not None and kept.broker == broker != 0
        """The predecessor had the same broker."""
        self.damaged = damaged
        """There was a file, but no usable claim in it."""
        self._memory = bytearray(PAGE_BYTES) if memory is None else memory
        self._clock = clock
        self._candidate = (self.claim.behind, 0.0)

    @classmethod
    def open(cls, paths: Paths, name: str, term: int) -> Self:
        """Take over the file of this name; ignore what is in it if it is damaged."""
        path = paths.runtime / "claims" / name
        try:
            kept, damaged = read(path, term), path.exists()
            damaged = damaged and kept is None
            memory = _replaced(path, kept)
            return cls(memory, kept, broker=_identity(paths), damaged=damaged)
        except OSError as error:
            # The service works without it, as long as broker and collector do not die together.
            log.warning("claim_not_kept", file=str(path), reason=str(error))
            return cls()

    def begin(self, epoch: int) -> None:
        """Begin a new epoch; nothing before it can be joined."""
        self.inherited = False
        self._candidate = (0, self._clock())
        self._write(Claim(self.claim.serial + 1, epoch=epoch, broker=self.claim.broker))

    def adopt(self, position: Position, first: int, others: tuple[int, ...]) -> int:
        """Continue the numbering that the broker knows from the number ``first`` on.

        Return the number from which on the lines are those of the claim's container.  Call
        ``resume`` with the last of them.
        """
        claim = self.claim
        if claim.epoch != position.epoch or claim.seq < position.seq:
            claim = Claim()  # damaged, because a claim is never behind the broker
        elif claim.first > position.seq + 1:
            # The broker never got the last lines of the container before.
            claim = structs.replace(claim, container=claim.left, first=1)
        if len(others) > _OTHERS:
            first = others[-_OTHERS - 1] + 1
        first = max(first, claim.first)
        self.inherited = False
        self.claim = Claim(
            serial=self.claim.serial,
            written=self._clock(),
            epoch=position.epoch,
            seq=position.seq,
            first=first,
            others=tuple(number for number in others if number >= first),
            container=claim.container,
            behind=min(claim.behind, position.seq),
            behind_at=claim.behind_at,
            broker=self.claim.broker,
        )
        return first

    def resume(self, point: ResumePoint | None) -> None:
        """Record the last published line of the container."""
        claim = self.claim
        self._write(structs.replace(claim, serial=claim.serial + 1, line=marked(point)))

    def enter(self, container: str, point: ResumePoint | None) -> None:
        """Record the container whose lines follow, and its last published line."""
        claim = self.claim
        if claim.container == container:
            return
        first = claim.seq + 1 if claim.container else claim.first
        self._write(
            structs.replace(
                claim,
                serial=claim.serial + 1,
                container=container,
                left=claim.container,
                line=marked(point),
                first=first,
                others=tuple(number for number in claim.others if number >= first),
            )
        )

    def lines(self, last: int, point: ResumePoint | None) -> None:
        """Record that the lines up to the number ``last`` are about to be sent."""
        # The history of a continued numbering has old numbers, which are on record.
        if last > self.claim.seq:
            self._note(last, self.claim.first, self.claim.others, marked(point))

    def other(self, number: int) -> None:
        """Record that a message that is not a line is about to be sent."""
        claim = self.claim
        if number > claim.seq:
            least = max(claim.first, number - _REACH)
            others = [mark for mark in claim.others if mark >= least] + [number]
            if len(others) > _OTHERS:
                least = others[-_OTHERS - 1] + 1
            self._note(number, least, tuple(others[-_OTHERS:]), claim.line)

    def touch(self) -> None:
        """Record that the collector lives, although it has nothing to send."""
        claim = self.claim
        self._note(claim.seq, claim.first, claim.others, claim.line)

    def _note(self, seq: int, first: int, others: tuple[int, ...], line: LineMark | None) -> None:
        now, claim = self._clock(), self.claim
        behind, behind_at = claim.behind, claim.behind_at
        if not self.inherited and now - self._candidate[1] >= _BEHIND_SECONDS:
            behind, behind_at = self._candidate
            self._candidate = (claim.seq, now)
        # By position, which takes a third of the time.
        self._write(
            Claim(
                claim.serial + 1, now, claim.epoch, seq, first, others,
                claim.container, claim.left, line, behind, behind_at, claim.broker,
            )
        )  # fmt: skip

    def _write(self, claim: Claim) -> None:
        self.claim = claim
        start = claim.serial % 2 * RECORD_BYTES
        record = packed(claim)
        self._memory[start : start + len(record)] = record


def prune(paths: Paths) -> None:
    """Remove the older half of the claims of containers known by name, if there are many."""
    found = list((paths.runtime / "claims").glob(_NAMED))
    if len(found) < _MAX_NAMED:
        return
    now = time.monotonic()

    def written(path: Path) -> float:
        claim = read(path, _ANY_TERM)
        # The clock begins again with each boot of the machine.
        return claim.written if claim is not None and claim.written <= now else 0.0

    for path in sorted(found, key=written)[: -_MAX_NAMED // 2]:
        path.unlink(missing_ok=True)


def read(path: Path, term: int) -> Claim | None:
    """Return the claim in a file of this user, if there is a usable one."""
    try:
        # Not blocking, in case that it is a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in {os.geteuid(), 0}:
            return None
        return unpacked(file.read(PAGE_BYTES), term)


def _identity(paths: Paths) -> int:
    """Return a number that another broker would not have; 0 without one."""
    try:
        socket = (paths.runtime / "ingest").stat()
    except OSError:
        return 0
    return socket.st_ctime_ns ^ socket.st_ino  # a file system may use an inode number again


def _replaced(path: Path, kept: Claim | None) -> mmap.mmap:
    """Put a new file in place of the old one, and return its memory."""
    # A predecessor that still runs for a moment keeps the old file.
    path.parent.mkdir(mode=0o700, exist_ok=True)
    owner = owner_of_new(path.parent.parent)
    os.chown(path.parent, *owner)
    # No claim has this name, whatever the container is called.
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchown(descriptor, *owner)
        # Written, and not only extended: a page that a full disk has no room for would end
        # the process with SIGBUS at the first write to the memory.
        page = bytearray(PAGE_BYTES)
        if kept is not None:
            record = packed(kept)
            start = kept.serial % 2 * RECORD_BYTES
            page[start : start + len(record)] = record
        os.write(descriptor, page)
        memory = mmap.mmap(descriptor, PAGE_BYTES)
        new.replace(path)
        return memory
    finally:
        os.close(descriptor)
