"""The outbox of a collector: numbering, the claim, and messages to resend; without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import structs

from bus import wire
from bus.replay import START, Position, Snapshot
from bus.wire import Flag, Header, Kind, Message

Packet = tuple[bytes, bytes]
"""A packed header and a body."""


class Outbox:
    """Number the messages of one topic, and keep the newest for a new broker.

    Keep at most ``keep_bytes`` of bodies, but at least one message.
    """

    def __init__(self, topic: bytes, term: int, keep_bytes: int) -> None:
        self.topic = topic
        self.term = term
        self._epoch = term
        self._next = 1
        self._keep_bytes = keep_bytes
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._status: Message | None = None
        self._claimed = False

    @property
    def next(self) -> int:
        """The number of the next message."""
        return self._next

    def claim(self, *, resume: bool, after: Position = START) -> Packet:
        """Return the message that claims the topic.

        The numbering continues ``after`` a position, or in a new epoch.  Without
        ``resume``, the broker forgets the topic.  With it, call ``adopt`` with the broker's
        snapshot before publishing anything.
        """
        self._epoch, self._next = (after.epoch, after.seq + 1) if after.epoch else (self.term, 1)
        self._kept.clear()
        self._kept_bytes = 0
        self._status = None
        self._claimed = True
        return self._claim(wire.NO_FLAGS if resume else Flag.RESET)

    def adopt(self, snapshot: Snapshot) -> None:
        """Continue the numbering of a collector that died."""
        # Without a number the broker knows nothing of the topic, and the claim's stands.
        if snapshot.seq:
            self._epoch, self._next = snapshot.epoch, snapshot.seq + 1
        # The next broker needs the predecessor's messages, too.
        for message in (snapshot.status, *snapshot.messages):
            if message is None:
                continue
            # The broker drops messages of an older token than the last claim's.
            header = structs.replace(message.header, term=self.term)
            self._note_status(header, message.body)
            if not header.apart:
                self._keep((wire.pack(header), message.body))

    def number(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = wire.NO_FLAGS, code: int = 0
    ) -> Packet:
        """Number, keep and return the next message."""
        header = Header(kind, self._epoch, self.term, self._next, count, flags, code)
        self._next += count
        self._note_status(header, body)
        packet = (wire.pack(header), body)
        self._keep(packet)
        return packet

    def resend(self) -> Iterator[Packet]:
        """Yield the newest status, the kept messages and then a claim, for a new broker.

        Yield nothing if nothing has been claimed or published yet.
        """
        if self._status is not None:
            # It may no longer be among the kept messages.
            header = self._status.header
            flags = header.flags | Flag.APART
            yield wire.pack(structs.replace(header, flags=flags)), self._status.body
        if self._claimed or self._kept:
            yield from list(self._kept)
            # Last, because the claim tells the broker that it has all messages now.
            yield self._claim(wire.NO_FLAGS)

    def _note_status(self, header: Header, body: bytes) -> None:
        if header.kind in wire.STATES:
            self._status = Message(self.topic, header, body)

    def _claim(self, flags: Flag) -> Packet:
        return wire.pack(Header(Kind.CLAIM, self._epoch, self.term, 1, flags=flags)), b""

    def _keep(self, packet: Packet) -> None:
        self._kept.append(packet)
        self._kept_bytes += len(packet[1])
        while self._kept_bytes > self._keep_bytes and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft()[1])
