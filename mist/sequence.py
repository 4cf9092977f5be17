"""Puts the messages of one topic in order, without I/O.

Feed what arrives, live or as a replay, and take what may be passed on: each
message once and in the order of its numbers.  When ``missing`` is true, ask the
broker for a replay after ``position`` and feed the answer to ``fill``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import structs

from mist import messages
from mist.bus import Position, Snapshot
from mist.wire import Kind, Message


class Gap(NamedTuple):
    """In place of messages that nobody remembers any more: how many there were."""

    lost: int


class Sequence:
    """The order of one topic, from the first snapshot on and across epochs.

    A new epoch means that broker and collector both forgot the numbering.  The
    new collector begins with a history that overlaps with what was passed on
    before; its lines up to the time stamp of the last one are left out.
    """

    def __init__(self) -> None:
        self.position = Position()
        self.missing = True
        self._held: list[Message] = []
        self._last_line = ""
        self._overlap = ""

    def feed(self, message: Message) -> Iterator[Message | Gap]:
        """Take one live message."""
        if self.missing:
            self._held.append(message)
            return iter(())
        if message.header.epoch != self.position.epoch:
            return self._another_epoch(message)
        if message.header.seq > self.position.seq + 1:
            self._hold(message)
            return iter(())
        return self._pass(message)

    def fill(self, snapshot: Snapshot) -> Iterator[Message | Gap]:
        """Take a replay; what it does not bring either is lost, and a Gap says so.

        A replay that was under way before a gap showed cannot tell: the broker
        remembers each message before it forwards it, so messages beyond what the
        replay reaches up to stay held, ``missing`` stays true, and the next one
        is waited for.
        """
        yield from self._settle_all(snapshot.messages)
        self.missing = False
        held, self._held = self._held, []
        for message in held:
            if self.missing or self._may_still_come(snapshot, message):
                self._hold(message)
            else:
                yield from self._settle(message)

    def _may_still_come(self, snapshot: Snapshot, message: Message) -> bool:
        """Whether a later replay than this one may bring what precedes the message."""
        epoch, seq = message.header.epoch, message.header.seq
        if not snapshot.epoch or (epoch, seq) <= (self.position.epoch, self.position.seq + 1):
            return False
        return (snapshot.epoch, snapshot.seq + 1) < (epoch, seq)

    def _settle_all(self, arrived: Iterable[Message]) -> Iterator[Message | Gap]:
        for message in arrived:
            yield from self._settle(message)

    def _settle(self, message: Message) -> Iterator[Message | Gap]:
        """Pass a message on though what precedes it may be gone for ever."""
        epoch, seq = message.header.epoch, message.header.seq
        if epoch < self.position.epoch:
            return
        if epoch > self.position.epoch:
            self._begin(epoch, seq)
        if seq > self.position.seq + 1:
            yield Gap(seq - self.position.seq - 1)
        yield from self._pass(message)

    def _another_epoch(self, message: Message) -> Iterator[Message | Gap]:
        epoch, seq = message.header.epoch, message.header.seq
        if epoch > self.position.epoch:
            if seq == 1:
                self._begin(epoch, seq)
                return self._pass(message)
            self._hold(message)
        return iter(())

    def _hold(self, message: Message) -> None:
        self.missing = True
        self._held.append(message)

    def _begin(self, epoch: int, seq: int) -> None:
        """Enter an epoch at ``seq``; what the buffer has lost before it nobody waits for."""
        self._overlap = self._last_line
        self.position = Position(epoch, seq - 1)

    def _pass(self, message: Message) -> Iterator[Message]:
        header = message.header
        if header.last <= self.position.seq:
            return
        self.position = Position(header.epoch, header.last)
        if header.kind is Kind.LOG:
            if header.history and self._overlap:
                message = self._without_overlap(message)
            if message.body:
                self._last_line = messages.log_timestamp(message.body.rpartition(b"\n")[2])
        if message.body or header.kind is Kind.READY:
            yield message

    def _without_overlap(self, message: Message) -> Message:
        lines = message.body.split(b"\n")
        fresh = [line for line in lines if messages.log_timestamp(line) > self._overlap]
        return message._replace(
            header=structs.replace(
                message.header, seq=message.header.last - len(fresh) + 1, count=max(1, len(fresh))
            ),
            body=b"\n".join(fresh),
        )
