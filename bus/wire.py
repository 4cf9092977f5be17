"""The format of a bus message: ``[topic, header, body]``.

The topic is plain text.  The header has 36 bytes in network order.  The body is
newline-delimited JSON: the messages that a WebSocket client receives.  The collector
encodes them, and no other process encodes them again.

A message covers the sequence numbers ``seq`` to ``seq + count - 1`` of its *epoch*.  A
new epoch restarts the numbering when the old one is forgotten.  Epochs are times in
nanoseconds, so a later epoch is larger.  The *term* is the fencing token: the start time
of the collector.  The broker drops messages of an older term that are still in transit
when a newer collector has claimed the topic.
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

# The largest number in a header.  Epochs and terms are nanoseconds since 1970, and
# numbers that continue from here must still fit into 64 bits.
_MAX_NUMBER: Final = 2**63 - 1

# The WebSocket close codes that a header may carry; 0 stands for none.
_CODES: Final = {0, *close_codes.SENDABLE}

# No collector sends a larger message: a line of 1 MiB stays below this even if every
# byte needs a six-byte JSON escape.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024


class Kind(IntEnum):
    """The kind of a message's body, by which alone the broker tells messages apart."""

    LOG = 1
    """``count`` log lines."""
    STATUS = 2
    """One ``status`` message."""
    END = 3
    """One ``end`` message; the stream is over and closes with ``code``, unless it is 0."""
    ERROR = 4
    """One ``error`` message; the stream is over and closes with ``code``, unless it is 0."""
    METRICS = 5
    """One sample of the system's metrics."""
    READY = 6
    """No body: the history with which a collector starts is complete."""
    CLAIM = 7
    """No body, not forwarded: the collector with this term claims the topic."""
    STATE = 8
    """One ``status`` message for clients that come from now on; to the others it is no news."""
    SKIPPED = 9
    """One ``skipped`` message: lines before this place are gone."""
    POSITION = 10
    """No body, not numbered: the topic's last number, which the broker tells new subscribers."""


# The kinds that show the state of a topic's source, of which the newest is kept.
STATES: Final = frozenset({Kind.STATUS, Kind.STATE})


class Flag(IntFlag):
    """Properties of a message besides its kind."""

    HISTORY = 1
    """Part of the log from before the collector started."""
    RESET = 2
    """With CLAIM: empty the topic's buffer, because a new epoch begins."""
    APART = 4
    """With STATUS or STATE: the topic's newest, kept apart from its lines.

    Messages between this one and the next may be left out, which is no loss.
    """


NO_FLAGS: Final = Flag(0)

# Lookup tables, because calling an enumeration takes as long as the rest of unpack().
_KINDS: Final = {int(kind): kind for kind in Kind}
_FLAGS: Final = {number: Flag(number) for number in range(2 * int(Flag.APART))}


class Header(msgspec.Struct, frozen=True):
    """The fixed part of a bus message."""

    kind: Kind
    epoch: int
    term: int
    seq: int
    count: int = 1
    flags: Flag = NO_FLAGS
    code: int = 0
    """A WebSocket close code, or 0."""

    @property
    def last(self) -> int:
        """The last sequence number that the message covers."""
        return self.seq + self.count - 1

    @property
    def lines(self) -> int:
        """The number of log lines in the body."""
        return self.count if self.kind is Kind.LOG else 0

    @property
    def history(self) -> bool:
        """Return True if the message is part of the collector's initial history."""
        return bool(self.flags & Flag.HISTORY)

    @property
    def apart(self) -> bool:
        """Return True if the message was kept apart from the topic's others."""
        return bool(self.flags & Flag.APART)

    @property
    def final(self) -> bool:
        """Return True if the stream is over with this message."""
        return self.code != 0 and self.kind in {Kind.END, Kind.ERROR}


class Message(NamedTuple):
    """One message of the bus."""

    topic: bytes
    header: Header
    body: bytes


def pack(header: Header) -> bytes:
    """Return the 36 bytes of a header."""
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
    """Return the header in ``data``, or raise WireError."""
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
        raise WireError(f"{code} is not a WebSocket close code that may be sent")
    if kind not in _KINDS:
        raise WireError(f"a message cannot have kind {kind}")
    known = _FLAGS.get(flags)
    # Keep unknown flags, so that a newer program may add some.
    return Header(
        _KINDS[kind], epoch, term, seq, count, Flag(flags) if known is None else known, code
    )


def parse(frames: list[bytes]) -> Message:
    """Return the message in the frames of one multipart message, or raise WireError."""
    if len(frames) != 3:
        raise WireError(f"a message has three parts, not {len(frames)}")
    topic, header, body = frames
    return Message(topic, unpack(header), body)
