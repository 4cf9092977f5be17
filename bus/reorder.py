"""Puts the messages of one topic in order, without I/O.

Feed what arrives, live or as a replay, and take what may be passed on: each
message once and in the order of its numbers.  When ``missing`` is true, ask the
broker for a replay after ``position`` and feed the answer to ``fill``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import structs

from bus.replay import Position, Snapshot
from bus.wire import Kind, Message
from mist import messages

# As many messages as wait at the most in a subscriber's own queue, by default.
_HOLD: Final = 512


class Gap(NamedTuple):
    """In place of messages that nobody remembers any more: how many there were."""

    lost: int


class ReorderBuffer:
    """The order of one topic, from the first snapshot on and across epochs.

    Events come in order, so what precedes one that has arrived and is not there
    was lost on the way; only then is it looked for in a replay, and a Gap stands
    for what that does not bring.  A replay overtakes the events that are still
    under way: what it holds beyond the first of its own gaps is left to them.

    A new epoch means that broker and collector both forgot the numbering.  The
    new collector begins with a history that overlaps with what was passed on
    before; its lines up to the time stamp of the last one are left out.
    """

    def __init__(self, hold: int = _HOLD) -> None:
        self.position = Position()
        self.missing = True
        self._hold_at_most = hold
        self._held: list[Message] = []
        self._stuck: Position | None = None
        self._last_line = ""
        self._overlap = ""

    def feed(self, message: Message) -> Iterator[Message | Gap]:
        """Take one live message."""
        if not self.missing and self._joins(message):
            return self._pass(message)
        if message.header.epoch >= self.position.epoch:
            self._hold(message)
        return iter(())

    def fill(self, snapshot: Snapshot, *, settled: bool) -> Iterator[Message | Gap]:
        """Take a replay.

        ``settled`` says that what the broker forwarded before the last replay has
        arrived or is lost.

        The broker remembers each message before it forwards it, so what was held
        because of a gap and lies beyond a replay that was under way before stays
        held: ``missing`` stays true, and the next replay is waited for.
        """
        lost_before = self._lost_before(snapshot, settled=settled)
        was_missing, self.missing = self.missing, False
        held, self._held = self._held, []
        late = False
        for message in sorted([*snapshot.messages, *held], key=_place):
            if not self.position.epoch and message.header.epoch >= snapshot.epoch:
                # Who comes late does not wait for what the broker has forgotten.
                self._begin(message.header.epoch, message.header.seq - 1)
            if self._joins(message):
                yield from self._pass(message)
            elif message.header.epoch < max(self.position.epoch, snapshot.epoch):
                continue
            elif _place(message) > lost_before:
                late = True
                break
            elif self._may_still_come(snapshot, message):
                self._hold(message)
            else:
                yield from self._leap(message)
        self._stuck = self.position if late and not was_missing else None

    def _lost_before(self, snapshot: Snapshot, *, settled: bool) -> Position:
        """The position before which missing messages can no longer arrive.

        Events come in order, so what precedes one that arrived is lost.  Where none
        arrived, a replay that finds the topic where the last one left it tells the
        same of all that it brings, if it was asked for late enough.
        """
        arrived = self._held
        if settled and self._stuck == self.position and not self.missing:
            arrived = snapshot.messages
        return max((_place(message) for message in arrived), default=Position())

    def _joins(self, message: Message) -> bool:
        """Whether nothing is missing before a message, or nothing ever will be."""
        epoch, seq = _place(message)
        if epoch == self.position.epoch:
            return seq <= self.position.seq + 1
        return epoch > self.position.epoch and seq == 1

    def _may_still_come(self, snapshot: Snapshot, message: Message) -> bool:
        """Whether a later replay than this one may bring what precedes the message.

        A broker that knows nothing has just been started: the collector is about
        to send it again what was last.
        """
        epoch, seq = _place(message)
        return not snapshot.epoch or (snapshot.epoch, snapshot.seq + 1) < (epoch, seq)

    def _leap(self, message: Message) -> Iterator[Message | Gap]:
        """Pass a message on though what precedes it is gone for ever."""
        before = self.position
        epoch, seq = _place(message)
        if epoch > before.epoch:
            self._begin(epoch, 0)
        if epoch == before.epoch or not self._overlaps(message):
            yield Gap(seq - self.position.seq - 1)
        yield from self._pass(message)

    def _overlaps(self, message: Message) -> bool:
        """Whether a message holds what was passed on before its epoch, and so do those before."""
        header = message.header
        known = header.history and header.kind is Kind.LOG
        return known and messages.log_timestamp(message.body) <= self._overlap

    def _hold(self, message: Message) -> None:
        """Keep a message until a replay is there; beyond the limit it is as good as lost."""
        self.missing = True
        if len(self._held) < self._hold_at_most:
            self._held.append(message)

    def _begin(self, epoch: int, seq: int) -> None:
        """Enter an epoch behind ``seq``."""
        self._overlap = self._last_line
        self.position = Position(epoch, seq)

    def _pass(self, message: Message) -> Iterator[Message]:
        header = message.header
        if header.epoch > self.position.epoch:
            self._begin(header.epoch, header.seq - 1)
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


def _place(message: Message) -> Position:
    return Position(message.header.epoch, message.header.seq)
