"""The reorder buffer, which puts the messages of one topic in order, without I/O.

Give live messages to ``feed`` and replays to ``fill``.  Both yield the messages that may
be passed on, each once and in the order of the numbers.  While ``missing`` is true, ask
the broker for a replay after ``position``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from msgspec import structs

from bus.replay import Position, Snapshot
from bus.wire import STATES, Kind, Message
from mist import messages
from mist.messages import SkipReason

# The default of ``bus.subscriber_queue``: the most messages in a subscriber's own queue.
_HOLD: Final = 512


class Gap(NamedTuple):
    """A gap in the stream, where messages are lost."""

    lost: int
    """The number of lost messages, or ``messages.UNKNOWN``."""
    reason: SkipReason = "slow"


class _Line(NamedTuple):
    """A line that can be recognised without keeping its text; empty if there is none."""

    timestamp: str = ""
    hash: int = 0

    @classmethod
    def of(cls, line: bytes) -> Self:
        return cls(messages.log_timestamp(line), hash(line))


class ReorderBuffer:
    """The order of one topic, from the first snapshot on and across epochs.

    Live messages arrive in order.  Messages that are missing before one that has arrived
    are therefore lost in transit.  A replay may bring them; a Gap stands for those that it
    does not bring.  A replay may also overtake live messages in transit, so its messages
    behind its own first gap are left to them.

    The first messages of a restarted collector may have numbers of before, in other
    messages than before.  What was passed on of them is left out.

    A new epoch means that the numbering could not be continued.  If its history contains
    the last line that was passed on, the lines up to it are left out.  Otherwise an unknown
    number of lines may be lost, which a Gap says.
    """

    def __init__(self, hold: int = _HOLD) -> None:
        self.position = Position()
        self.missing = True
        self._hold_at_most = hold
        self._held: list[Message] = []
        self._stuck: Position | None = None
        self._status = Position()
        self._last_line = _Line()
        self._overlap = _Line()
        self._unproven = False  # lines may be missing between the epochs
        self._term = 0
        self._forgotten = False  # a broker did not know the topic, so it was restarted

    def feed(self, message: Message) -> Iterator[Message | Gap]:
        """Take one live message, and yield what may be passed on."""
        if not self.missing and self._joins(message):
            return self._pass(message)
        # Drop messages of an older epoch, which come from a collector that was replaced.
        if message.header.epoch >= self.position.epoch:
            self._hold(message)
        return iter(())

    def fill(self, snapshot: Snapshot, *, settled: bool) -> Iterator[Message | Gap]:
        """Take a replay, and yield what may be passed on.

        ``settled`` means that the messages that the broker forwarded before the last
        replay have arrived or are lost.

        Live messages behind a gap stay held if the replay was sent before them.  Then
        ``missing`` stays true, and the caller has to ask again.
        """
        yield from self._state(snapshot)
        # The broker remembers each message before it forwards it.  A replay that was sent
        # after a held message therefore includes that message.
        lost_before = self._lost_before(snapshot, settled=settled)
        was_missing, self.missing = self.missing, False
        self._forgotten = self._forgotten or not snapshot.epoch
        held, self._held = self._held, []
        late = False
        for message in sorted([*snapshot.messages, *held], key=_position_of):
            if not self.position.epoch and message.header.epoch >= snapshot.epoch:
                # A late subscriber starts at the oldest message that the broker remembers.
                self._begin(message.header.epoch, message.header.seq - 1)
            if self._joins(message):
                yield from self._pass(message)
            elif message.header.epoch < max(self.position.epoch, snapshot.epoch):
                continue  # from a collector that was replaced
            elif _position_of(message) > lost_before:
                # The messages before this one may still be in transit.
                late = True
                break
            elif self._may_still_come(snapshot, message):
                self._hold(message)
            else:
                yield from self._leap(message)
        self._stuck = self.position if late and not was_missing else None

    def _state(self, snapshot: Snapshot) -> Iterator[Message]:
        """Pass on the newest status if the broker has dropped it from the messages."""
        # It is passed on before the Gap in whose place it was.
        status = snapshot.status
        if status is not None and _position_of(status) > max(self.position, self._status):
            self._status = _position_of(status)
            yield status

    def _lost_before(self, snapshot: Snapshot, *, settled: bool) -> Position:
        """The position before which missing messages can no longer arrive.

        It is the last live message that arrived.  If none arrived, a replay can show the
        same, provided that it was requested late enough and that the topic has not moved
        since the last replay.
        """
        arrived = self._held
        if settled and self._stuck == self.position and not self.missing:
            arrived = snapshot.messages
        return max((_position_of(message) for message in arrived), default=Position())

    def _joins(self, message: Message) -> bool:
        """Return True if no message is missing between the position and this one."""
        epoch, seq = message.header.epoch, message.header.seq
        if epoch == self.position.epoch:
            return seq <= self.position.seq + 1
        return epoch > self.position.epoch and seq == 1

    def _may_still_come(self, snapshot: Snapshot, message: Message) -> bool:
        """Return True if a later replay may bring the messages before this one."""
        epoch, seq = _position_of(message)
        # A broker without an epoch has just started; the collector is about to resend.
        return not snapshot.epoch or (snapshot.epoch, snapshot.seq + 1) < (epoch, seq)

    def _leap(self, message: Message) -> Iterator[Message | Gap]:
        """Pass a message on although the messages before it are lost for good."""
        before = self.position
        epoch, seq = _position_of(message)
        if epoch > before.epoch:
            self._begin(epoch, 0)
        # A history that overlaps with known lines proves that no line is lost in between.
        if epoch == before.epoch or not self._overlaps(message):
            restarted = self._forgotten or message.header.term != self._term
            yield Gap(seq - self.position.seq - 1, "restart" if restarted else "slow")
            self._unproven = False
        yield from self._pass(message)

    def _overlaps(self, message: Message) -> bool:
        """Return True if a message's first line was passed on in an earlier epoch.

        The messages before it then hold earlier lines, which were passed on as well.
        """
        header = message.header
        known = header.history and header.kind is Kind.LOG
        return known and messages.log_timestamp(message.body) <= self._overlap.timestamp

    def _hold(self, message: Message) -> None:
        """Keep a message until a replay arrives, or drop it beyond the limit."""
        self.missing = True
        # A dropped message is like one lost in transit: a replay brings it.
        if len(self._held) < self._hold_at_most:
            self._held.append(message)

    def _begin(self, epoch: int, seq: int) -> None:
        """Enter an epoch at the position behind ``seq``."""
        self._overlap = self._last_line
        self._unproven = bool(self._last_line.timestamp)
        self.position = Position(epoch, seq)

    def _pass(self, message: Message) -> Iterator[Message | Gap]:
        header = message.header
        if header.epoch > self.position.epoch:
            self._begin(header.epoch, header.seq - 1)
        last = header.last
        if last <= self.position.seq:
            return  # a resend, or both live and in a replay
        known = self.position.seq + 1 - header.seq
        if known > 0:
            message = _without_first(message, known)
        self.position = Position(header.epoch, last)
        self._term, self._forgotten = header.term, False
        if header.kind in STATES and _position_of(message) <= self._status:
            return
        if header.kind is Kind.LOG and header.history and self._overlap.timestamp:
            message = self._without_overlap(message)
        lines = header.kind is Kind.LOG and bool(message.body)
        # READY as well, because a history without a line does not overlap either.
        if self._unproven and (lines or header.kind is Kind.READY):
            self._unproven = False
            yield Gap(messages.UNKNOWN, "restart")
        if lines:
            self._last_line = _Line.of(message.body.rpartition(b"\n")[2])
        # Without its overlap, a message may have no lines left.  READY never has a body.
        if message.body or header.kind is Kind.READY:
            yield message

    def _without_overlap(self, message: Message) -> Message:
        """Leave out the lines of a history that were passed on in an earlier epoch."""
        lines = message.body.split(b"\n")
        last, overlap = 0, self._overlap
        for number, line in enumerate(lines, 1):
            if hash(line) == overlap.hash:
                last = number
        if last:
            # Everything after that line is new, whatever its time stamp.
            self._overlap, self._unproven = _Line(), False
            fresh = lines[last:]
        else:
            fresh = [line for line in lines if messages.log_timestamp(line) > overlap.timestamp]
        # The numbers of the remaining lines stay those that the collector gave them.
        return message._replace(
            header=structs.replace(
                message.header, seq=message.header.last - len(fresh) + 1, count=max(1, len(fresh))
            ),
            body=b"\n".join(fresh),
        )


def _without_first(message: Message, count: int) -> Message:
    """Return a message of lines without its first ``count`` lines."""
    header = message.header
    return message._replace(
        header=structs.replace(header, seq=header.seq + count, count=header.count - count),
        body=message.body.split(b"\n", count)[count],
    )


def _position_of(message: Message) -> Position:
    return Position(message.header.epoch, message.header.seq)
