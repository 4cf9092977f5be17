"""A collector's claim: its numbering and its resume point, without I/O.

If collector and broker die together, nothing else shows which line had which number.
With the claim, the next collector continues the numbering, and subscribers get what they
lack by an ordinary replay (``claim_file.py``, ``recall.py``).
"""

from __future__ import annotations

import struct
import zlib
from hashlib import blake2b
from typing import Final

import msgspec

from bus.replay import Position
from workers.container.resume import ResumePoint

PAGE_BYTES: Final = 4_096
RECORD_BYTES: Final = PAGE_BYTES // 2
# Checksum and length, in front of a record.
_HEAD: Final = struct.Struct("=II")

# Numbers that continue from a claim must stay within a header's 63 bits.
_MAX_NUMBER: Final = 2**62


class LineMark(msgspec.Struct, frozen=True, array_like=True):
    """A line that can be recognised, and how many times in a row it was published."""

    timestamp: str
    stream: str
    digest: bytes
    repeats: int


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """The state of a numbering after the message with the number ``seq``."""

    serial: int = 0
    """Grows with each record; the larger of the two is the newer one."""
    written: float = 0.0
    """The time of the record on the monotonic clock, in seconds."""
    epoch: int = 0
    seq: int = 0
    first: int = 1
    """The numbers from this one on belong to this container's lines and to ``others``."""
    others: tuple[int, ...] = ()
    """The numbers of the messages that are not lines, in order."""
    container: str = ""
    """The container's id; empty if it is unknown."""
    left: str = ""
    """The container before that one."""
    line: LineMark | None = None
    """The last published line of the container."""
    behind: int = 0
    """The last number a few seconds before, up to which every subscriber has the lines."""
    behind_at: float = 0.0
    broker: int = 0
    """The identity of the broker when the collector started."""

    @property
    def position(self) -> Position:
        """The position after the last message."""
        return Position(self.epoch, self.seq)

    @property
    def rate(self) -> float:
        """The lines per second in the last seconds."""
        return (self.seq - self.behind) / max(0.5, self.written - self.behind_at)

    def plausible(self, term: int) -> bool:
        """Return True if a collector with the fencing token ``term`` may continue from here."""
        marks = (self.first, *self.others)
        return (
            0 < self.epoch < term
            and 0 <= self.seq < _MAX_NUMBER
            and all(0 < number <= self.seq + 1 for number in marks)
            and list(self.others) == sorted(set(self.others))
            and 0 <= self.behind <= self.seq
            and (self.line is None or self.line.repeats > 0)
        )


def marked(point: ResumePoint | None) -> LineMark | None:
    """Return the mark of a resume point's line."""
    if point is None:
        return None
    line = point.line
    digest = blake2b(line.text.encode(), digest_size=16).digest()
    return LineMark(line.timestamp, line.stream, digest, point.repeats)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Claim).decode


def packed(claim: Claim) -> bytes:
    """Return a record."""
    data = _encode(claim)
    return _HEAD.pack(zlib.crc32(data), len(data)) + data


def unpacked(page: bytes, term: int) -> Claim | None:
    """Return the newest usable claim on a page."""
    found: list[Claim] = []
    for start in (0, RECORD_BYTES):
        record = page[start : start + RECORD_BYTES]
        if len(record) < _HEAD.size:
            continue
        checksum, length = _HEAD.unpack_from(record)
        data = record[_HEAD.size : _HEAD.size + length]
        if not data or zlib.crc32(data) != checksum:
            continue
        try:
            claim = _decode(data)
        except msgspec.MsgspecError:
            continue
        if claim.plausible(term):
            found.append(claim)
    return max(found, key=lambda claim: claim.serial, default=None)


def numbered(claim: Claim, count: int) -> tuple[int, list[int]]:
    """Return the numbers of the last ``count`` lines of a claim.

    That is the first number, and the lengths of runs of lines; between two runs there is
    the number of another message.  There may be fewer lines, because the claim does not
    reach back farther.
    """
    runs: list[int] = []
    top = claim.seq
    for other in (*reversed(claim.others), claim.first - 1):
        run = min(top - other, count)
        runs.append(run)
        count -= run
        if run < top - other or other < claim.first:
            top -= run
            break
        top = other - 1
    return top + 1, runs[::-1]
