"""What a collector sends: numbers, a claim, and the messages for a new broker; without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import structs

from bus import wire
from bus.replay import Snapshot
from bus.wire import Flag, Header, Kind

Packet = tuple[bytes, bytes]
"""A packed header and a body."""


class Outbox:
    """Numbers the messages of one topic, and keeps the newest for a new broker.

    What is kept is bounded by ``keep_bytes`` of bodies, but one message at least.
    """

    def __init__(self, topic: bytes, term: int, keep_bytes: int) -> None:
        self.topic = topic
        self.term = term
        self._epoch = term
        self._next = 1
        self._keep_bytes = keep_bytes
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._claimed = False

    def claim(self, *, resume: bool) -> Packet:
        """Return the message that takes the topic over.

        Without ``resume`` the broker forgets the topic, and a new epoch begins.
        With it, ``adopt`` what the broker remembers before anything is published.
        """
        self._epoch, self._next = self.term, 1
        self._kept.clear()
        self._kept_bytes = 0
        self._claimed = True
        return self._claim(wire.NO_FLAGS if resume else Flag.RESET)

    def adopt(self, snapshot: Snapshot) -> None:
        """Go on with the numbering of a collector that died.

        The next broker is to have what the predecessor published, too.
        """
        if snapshot.epoch:
            self._epoch, self._next = snapshot.epoch, snapshot.seq + 1
        for message in snapshot.messages:
            header = structs.replace(message.header, term=self.term)
            self._keep((wire.pack(header), message.body))

    def number(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = wire.NO_FLAGS, code: int = 0
    ) -> Packet:
        """Return the next message, which is kept as well."""
        header = wire.pack(Header(kind, self._epoch, self.term, self._next, count, flags, code))
        self._next += count
        packet = (header, body)
        self._keep(packet)
        return packet

    def resend(self) -> Iterator[Packet]:
        """Yield what a new broker gets: what was last, and the claim, which says that this is all.

        Nothing at the start, when nothing was claimed or published yet.
        """
        if self._claimed or self._kept:
            yield from list(self._kept)
            yield self._claim(wire.NO_FLAGS)

    def _claim(self, flags: Flag) -> Packet:
        return wire.pack(Header(Kind.CLAIM, self._epoch, self.term, 1, flags=flags)), b""

    def _keep(self, packet: Packet) -> None:
        self._kept.append(packet)
        self._kept_bytes += len(packet[1])
        while self._kept_bytes > self._keep_bytes and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft()[1])
