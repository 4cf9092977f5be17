"""The broker's memory of each topic, without I/O.

A buffer holds the newest messages of one topic, bounded in lines and in bytes.  It
decides by the numbers in the headers which messages are new, and never reads a body.

A status is state: however many lines follow it, it stays true.  So the newest status of
a topic is kept until another one replaces it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec import structs

from bus import topics, wire
from bus.replay import Position
from bus.wire import Flag, Header, Kind
from mist.settings import Settings

# The memory that Python and the header take for a kept message, besides its body.
OVERHEAD_BYTES: Final = 320

# The figures of all containers are large, and only the newest are of use.  A few seconds' are
# enough for a subscriber that has missed some.
_LISTED: Final = 5


class _Kept(NamedTuple):
    header: bytes
    body: bytes
    last: int
    weight: int

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD_BYTES


class _Status(NamedTuple):
    header: Header
    body: bytes


class Buffer:
    """The newest messages of one topic.

    ``epoch``, ``term`` (the fencing token) and ``seq`` are those of the last message or
    claim.  At least ``max_weight`` lines (or samples) stay as long as the bytes allow it.
    Whole messages are dropped, the oldest first.
    """

    def __init__(self, epoch: int, term: int, max_weight: int, max_bytes: int) -> None:
        self.epoch = epoch
        self.term = term
        self.seq = 0
        self.whole = True
        """The last message is the last one that the collector numbered.

        A new broker cannot know this until the collector has resent everything.
        """
        self._max_weight = max_weight
        self._max_bytes = max_bytes
        self._kept: deque[_Kept] = deque()
        self._weight = 0
        self._bytes = 0
        self._status: _Status | None = None

    def append(self, packed: bytes, header: Header, body: bytes) -> None:
        """Keep a message that the caller has found to be new."""
        self.seq = last = header.last
        if header.kind in wire.STATES:
            self.keep_status(header, body)
        kept = _Kept(packed, body, last, _weight(header))
        self._kept.append(kept)
        self._weight += kept.weight
        self._bytes += kept.size
        while self._too_much():
            oldest = self._kept.popleft()
            self._weight -= oldest.weight
            self._bytes -= oldest.size

    def keep_status(self, header: Header, body: bytes) -> None:
        """Keep a status apart from the other messages, in place of an older one."""
        if self._status is None or header.seq > self._status.header.seq:
            self._status = _Status(header, body)

    def after(self, position: Position) -> Iterator[tuple[bytes, bytes]]:
        """Yield header and body of each message that reaches beyond a position.

        The newest status comes first, with the flag APART, if it was dropped.
        """
        # A position in another epoch says nothing about the numbers of this one.
        seq = position.seq if position.epoch == self.epoch else 0
        status = self._status
        if status is not None and seq < status.header.seq and self._dropped(status.header):
            flags = status.header.flags | Flag.APART
            yield wire.pack(structs.replace(status.header, flags=flags)), status.body
        for kept in self._kept:
            if kept.last > seq:
                yield kept.header, kept.body

    def _dropped(self, header: Header) -> bool:
        return not self._kept or header.seq < wire.unpack(self._kept[0].header).seq

    @property
    def size(self) -> int:
        """The bytes of memory that the kept messages take."""
        return self._bytes

    def shorten(self) -> bool:
        """Drop the oldest message, but not the last one.  Return True if there was another."""
        if len(self._kept) <= 1:
            return False
        oldest = self._kept.popleft()
        self._weight -= oldest.weight
        self._bytes -= oldest.size
        return True

    def _too_much(self) -> bool:
        if len(self._kept) <= 1:
            return False  # a single message may exceed all bounds
        too_long = self._weight > self._max_weight
        # Enough lines remain without the oldest message.
        spare = self._weight - self._kept[0].weight >= self._max_weight
        return self._bytes > self._max_bytes or (too_long and spare)


class Buffers:
    """The buffers of all topics; the one that has been silent longest is dropped first.

    Beyond ``replay.total_bytes``, the largest buffer becomes shorter.
    """

    def __init__(self, settings: Settings, now: Callable[[], int] = time.time_ns) -> None:
        self._replay = settings.replay
        self._metrics = settings.metrics.history_samples
        self._figures = settings.containers.history_samples
        self._now = now
        self._buffers: OrderedDict[bytes, Buffer] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._buffers)

    def get(self, topic: bytes) -> Buffer | None:
        """The topic's buffer, if there is one."""
        return self._buffers.get(topic)

    def accept(self, topic: bytes, packed: bytes, header: Header, body: bytes) -> bool:
        """Take a message from a collector.  Return True if it is to be forwarded."""
        if header.kind is Kind.CLAIM:
            self._claim(topic, header)
            return False
        buffer = self._buffers.get(topic)
        if buffer is None or header.epoch > buffer.epoch:
            if buffer is not None and header.term < buffer.term:
                return False  # from a collector that was replaced
            buffer = self._new(topic, header)
            buffer.whole = False  # until the claim that follows the resent messages
        if header.apart:
            # Resent to a new broker.  Subscribers have it, or get it with their next replay.
            if header.term >= buffer.term and header.epoch == buffer.epoch:
                buffer.keep_status(header, body)
            return False
        if not _is_next(buffer, header):
            return False
        buffer.term = header.term
        self._append(buffer, packed, header, body)
        self._buffers.move_to_end(topic)
        while self._total > self._replay.total_bytes and self._shorten():
            pass
        return True

    def refuse(self, topic: bytes, body: bytes, code: int) -> bytes:
        """Number and keep an ``error`` of the supervisor's.  Return its packed header."""
        buffer = self._buffers.get(topic)
        if buffer is None:
            buffer = self._new(topic, Header(Kind.ERROR, self._now(), 0, 1))
        header = Header(Kind.ERROR, buffer.epoch, buffer.term, buffer.seq + 1, code=code)
        packed = wire.pack(header)
        self._append(buffer, packed, header, body)
        return packed

    def forget(self, topic: bytes, term: int) -> None:
        """Drop the topic's buffer unless a collector later than ``term`` has claimed it."""
        buffer = self._buffers.get(topic)
        if buffer is not None and buffer.term <= term:
            self._total -= self._buffers.pop(topic).size

    def _claim(self, topic: bytes, header: Header) -> None:
        buffer = self._buffers.get(topic)
        if buffer is not None and header.term < buffer.term:
            return
        if buffer is None or header.flags & Flag.RESET or _may_have_ended_early(buffer, header):
            self._new(topic, header)
        else:
            # The claim follows everything that its collector had to resend.
            buffer.term, buffer.whole = header.term, True

    def _new(self, topic: bytes, header: Header) -> Buffer:
        buffer = Buffer(header.epoch, header.term, self._lines(topic), self._replay.bytes)
        if topic in self._buffers:
            self._total -= self._buffers[topic].size
        self._buffers[topic] = buffer
        self._buffers.move_to_end(topic)
        while len(self._buffers) > self._replay.topics:
            self._drop_silent()
        return buffer

    def _lines(self, topic: bytes) -> int:
        """Return how many lines or samples of a topic to keep."""
        if topic == topics.METRICS:
            return self._metrics
        if topic == topics.CONTAINERS:
            return _LISTED  # the list is a status, which is kept all the same
        return self._figures if topic.startswith(topics.STATS) else self._replay.lines

    def _append(self, buffer: Buffer, packed: bytes, header: Header, body: bytes) -> None:
        before = buffer.size
        buffer.append(packed, header, body)
        self._total += buffer.size - before

    def _shorten(self) -> bool:
        """Free some memory.  Return False if only the newest message is left."""
        # The largest buffer first, so that one busy topic does not cost the others theirs.
        largest = max(self._buffers.values(), key=lambda each: each.size)
        before = largest.size
        if largest.shorten():
            self._total -= before - largest.size
        elif len(self._buffers) > 1:
            self._drop_silent()
        else:
            return False
        return True

    def _drop_silent(self) -> None:
        _topic, buffer = self._buffers.popitem(last=False)
        self._total -= buffer.size


def _weight(header: Header) -> int:
    """Return what counts against the bound in lines: log lines, or one for a sample."""
    return 1 if header.kind is Kind.METRICS else header.lines


def _may_have_ended_early(buffer: Buffer, claim: Header) -> bool:
    """Return True if a collector may have died before it had resent all of its messages."""
    # Subscribers may have received numbers that the successor would give to other messages.
    return not buffer.whole and claim.term > buffer.term


def _is_next(buffer: Buffer, header: Header) -> bool:
    """Return True if a message is neither a resend nor from a collector that was replaced."""
    return header.term >= buffer.term and header.epoch == buffer.epoch and header.seq > buffer.seq
