"""The format of a bus message: ``[topic, header, body]``.

The topic is plain text, the header 36 bytes in network order, the body
newline-delimited JSON: the very messages that a WebSocket client receives, so
that they are encoded once, in the collector, and never again.

Every message of a topic covers the sequence numbers ``seq`` to ``seq + count -
1`` of its *epoch*.  A new epoch starts the numbering anew (nobody remembers the
old one); epochs are times in nanoseconds, so a later one is larger.  The *term*
is the time at which the collector was started: the broker drops what an earlier
term still had under way when a later one has taken over.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

import msgspec

from mist import close_codes
from mist.errors import WireError

VERSION: Final = 1

_HEADER = struct.Struct("!BBBxHxxIQQQ")
HEADER_BYTES: Final = _HEADER.size

# No number of a message is larger: epochs and terms are nanoseconds since 1970, and
# what counts on from here must still fit the header.
_MAX_NUMBER: Final = 2**63 - 1

# The WebSocket close codes that a header may carry, and none.
_CODES: Final = {0, *close_codes.SENDABLE}

# A message larger than this is nobody's: one line of 1 MiB whose every byte
# needs a six-byte JSON escape stays below it.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024


class Kind(IntEnum):
    """What the body of a message holds; the broker tells them apart by nothing else."""

    LOG = 1
    """Log lines, ``count`` of them."""
    STATUS = 2
    """One ``status`` message."""
    END = 3
    """One ``end`` message; the stream is over and closes with ``code``, unless it is 0."""
    ERROR = 4
    """One ``error`` message; the stream is over and closes with ``code``, unless it is 0."""
    METRICS = 5
    """One sample of the system's metrics."""
    READY = 6
    """No body: the history that a collector starts with is complete."""
    CLAIM = 7
    """No body, not forwarded: the collector of this term takes the topic over."""


class Flag(IntFlag):
    """Properties of a message beside its kind."""

    HISTORY = 1
    """Published while a collector loads what was there before it started."""
    RESET = 2
    """With CLAIM: forget what the topic's buffer holds, a new epoch begins."""


NO_FLAGS: Final = Flag(0)

# Looked up, for calling an enumeration takes as long as all the rest of a header.
_KINDS: Final = {int(kind): kind for kind in Kind}
_FLAGS: Final = {number: Flag(number) for number in range(int(Flag.HISTORY | Flag.RESET) + 1)}


class Header(msgspec.Struct, frozen=True):
    """The fixed part of a bus message.  ``code`` is a WebSocket close code or 0."""

    kind: Kind
    epoch: int
    term: int
    seq: int
    count: int = 1
    flags: Flag = NO_FLAGS
    code: int = 0

    @property
    def last(self) -> int:
        """The last sequence number that the message covers."""
        return self.seq + self.count - 1

    @property
    def lines(self) -> int:
        """How many log lines the body holds."""
        return self.count if self.kind is Kind.LOG else 0

    @property
    def history(self) -> bool:
        """Whether the message is part of what a collector starts with."""
        return bool(self.flags & Flag.HISTORY)

    @property
    def final(self) -> bool:
        """Whether the stream is over with this message."""
        return self.code != 0 and self.kind in {Kind.END, Kind.ERROR}


class Message(NamedTuple):
    """One message of the bus."""

    topic: bytes
    header: Header
    body: bytes


def pack(header: Header) -> bytes:
    """The header's 36 bytes."""
    return _HEADER.pack(
        VERSION,
        header.kind,
        header.flags,
        header.code,
        header.count,
        header.term,
        header.epoch,
        header.seq,
    )


def unpack(data: bytes) -> Header:
    """The header that ``data`` holds; WireError if it holds none of ours."""
    if len(data) != HEADER_BYTES:
        raise WireError(f"a header has {HEADER_BYTES} bytes, not {len(data)}")
    version, kind, flags, code, count, term, epoch, seq = _HEADER.unpack(data)
    if version != VERSION:
        raise WireError(f"header version {version}, this program speaks {VERSION}")
    if count < 1 or seq < 1:
        raise WireError(f"a message covers at least one number from 1 on, not {count} from {seq}")
    if max(term, epoch, seq) > _MAX_NUMBER:
        raise WireError(f"a number is larger than {_MAX_NUMBER}")
    if code not in _CODES:
        raise WireError(f"{code} is no WebSocket close code that may be sent")
    if kind not in _KINDS:
        raise WireError(f"no message has kind {kind}")
    known = _FLAGS.get(flags)
    return Header(
        _KINDS[kind], epoch, term, seq, count, Flag(flags) if known is None else known, code
    )


def parse(frames: list[bytes]) -> Message:
    """The message that the ``frames`` of one multipart message hold, or WireError."""
    if len(frames) != 3:
        raise WireError(f"a message has three parts, not {len(frames)}")
    topic, header, body = frames
    return Message(topic, unpack(header), body)
