"""A model of a topic's path through collector, broker and subscriber, with every failure.

The collector's outbox, the broker's buffers and the subscriber's reorder buffer are real.
Chance loses messages, delays replays, and kills the collector and the broker at any moment.
The subscriber must still pass on each line once and in order, with a Gap where lines are
missing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus import wire
from bus.broker.buffers import Buffers
from bus.outbox import Outbox, Packet
from bus.reorder import Gap, ReorderBuffer
from bus.replay import (
    START,
    ReplayRequest,
    Snapshot,
    parse_replay_reply,
    parse_replay_request,
    replay_reply,
)
from bus.replay_client import ReplayClient
from bus.stream_state import StreamState
from bus.wire import Flag, Kind, Message
from mist import clock, messages
from mist.settings import ReplaySettings, Settings

TOPIC = b"container/1/log"


def _line(number: int) -> bytes:
    return messages.log(clock.rfc3339(number * 1_000), f"line {number}", "stdout")


def _number(line: bytes) -> int:
    return clock.nanoseconds(messages.log_timestamp(line)) // 1_000


class Stream:
    """The engine's log, a collector, a broker, a subscriber, and messages in transit."""

    def __init__(self, chance: random.Random, *, remembered: int, resent: int) -> None:
        self.chance = chance
        self.written = 0
        self.term = self.published = 0
        self.statuses = self.shown = 0  # the newest status of the collector and the subscriber
        self.settings = Settings(replay=ReplaySettings(lines=remembered))
        self.resend_bytes = resent * len(_line(1))
        self.outbox: Outbox | None = None
        self.buffers: Buffers | None = None
        self.events: deque[Message] = deque()
        self.replies: deque[list[bytes]] = deque()
        self.now = 0.0
        self.sequence = ReorderBuffer()
        self.replay = ReplayClient(TOPIC, turn=1.0)
        self.passed: list[int | Gap] = []
        self.start_broker()
        self.start_collector()

    # The engine and the collector

    def write(self) -> None:
        """Write lines to the container's log; the collector publishes them if it can."""
        self.written += self.chance.randint(1, 5)
        self.collect()

    def collect(self) -> None:
        """Publish the log's lines after the last published one."""
        if self.outbox and self.buffers is not None:
            while self.published < self.written:
                self.publish_lines(self.chance.randint(1, 4))

    def publish_lines(self, count: int, flags: Flag = wire.NO_FLAGS) -> None:
        """Publish the next lines as one message."""
        first = self.published + 1
        last = min(self.published + count, self.written)
        self.published = last
        body = b"\n".join(_line(number) for number in range(first, last + 1))
        self.publish(Kind.LOG, body, last - first + 1, flags)

    def publish(self, kind: Kind, body: bytes, count: int = 1, flags: Flag = wire.NO_FLAGS) -> None:
        """Number a message, keep it for a new broker, and send it."""
        assert self.outbox is not None
        self.send(self.outbox.number(kind, body, count=count, flags=flags))

    def send(self, packet: Packet) -> None:
        """Store the message in the broker, then forward it."""
        packed, body = packet
        header = wire.unpack(packed)
        if self.buffers is not None and self.buffers.accept(TOPIC, packed, header, body):
            self.events.append(Message(TOPIC, header, body))

    def status(self) -> None:
        """Restart the container."""
        if self.outbox and self.buffers is not None:
            self.publish_status()

    def publish_status(self, flags: Flag = wire.NO_FLAGS) -> None:
        """Publish the next status."""
        self.statuses += 1
        kind = Kind.STATUS if flags else self.chance.choice(sorted(wire.STATES))
        self.publish(kind, b"%d" % self.statuses, flags=flags)

    def kill_collector(self) -> None:
        """Kill the collector; its memory is lost."""
        self.outbox = None

    def start_collector(self) -> None:
        """Start a collector, which claims the topic and resumes where the broker's buffer ends."""
        if self.buffers is None:
            return
        self.term += 1
        self.outbox = Outbox(TOPIC, self.term, self.resend_bytes)
        self.send(self.outbox.claim(resume=True))
        snapshot = parse_replay_reply(self.replayed(ReplayRequest(TOPIC, START)))
        self.outbox.adopt(snapshot)
        if not snapshot.tells_where_to_resume:
            self.send(self.outbox.claim(resume=False))
            snapshot = Snapshot(TOPIC, self.term, self.term, 0, [])
        lines = [
            _number(line)
            for message in snapshot.messages
            if message.header.kind is Kind.LOG
            for line in message.body.split(b"\n")
        ]
        self.published = lines[-1] if lines else 0
        if not StreamState.of(snapshot).complete:
            if not lines:
                self.publish_status(Flag.HISTORY)
            while self.published < self.written:
                self.publish_lines(self.chance.randint(1, 10), Flag.HISTORY)
            self.publish(Kind.READY, b"")
        self.collect()

    def restart_collector(self) -> None:
        """Crash the collector and start another, as the supervisor does."""
        self.kill_collector()
        self.start_collector()

    # The broker

    def start_broker(self) -> None:
        """Start a broker with empty buffers."""
        self.buffers = Buffers(self.settings)

    def kill_broker(self) -> None:
        """Kill the broker, along with some of the messages in transit."""
        self.buffers = None
        for queue in (self.events, self.replies):
            for _ in range(self.chance.randint(0, len(queue))):
                queue.pop()

    def restart_broker(self) -> None:
        """Start a broker; the collector resends its messages, and may die during that."""
        if self.buffers is None:
            self.start_broker()
            if self.outbox is None:
                self.start_collector()
                return
            *again, claim = self.outbox.resend()
            dies = self.chance.random() < 0.2
            for packet in again[: self.chance.randint(0, len(again))] if dies else again:
                self.send(packet)
            if dies:
                self.restart_collector()
            else:
                self.send(claim)
            self.collect()

    def replayed(self, request: ReplayRequest) -> list[bytes]:
        """Return the broker's replay."""
        assert self.buffers is not None
        buffer = self.buffers.get(TOPIC)
        if buffer is None:
            return replay_reply(request, (0, 0, 0), ())
        state = (buffer.epoch, buffer.term, buffer.seq)
        return replay_reply(request, state, buffer.after(request.after))

    # The subscriber

    def deliver(self) -> None:
        """Deliver the next event."""
        if self.events:
            self.take(self.sequence.feed(self.events.popleft()))

    def lose(self) -> None:
        """Lose the next event."""
        if self.events:
            self.events.popleft()

    def ask(self) -> None:
        """Let the subscriber request a replay if it may; the answer is in transit."""
        if self.buffers is not None and self.replay.free(self.now):
            request = self.replay.ask(self.now, self.sequence.position)
            self.replies.append(self.replayed(parse_replay_request(request)))

    def answer(self) -> None:
        """Deliver an answer."""
        if self.replies:
            snapshot = parse_replay_reply(self.replies.popleft())
            if self.replay.take(snapshot, self.now):
                settled = self.replay.settled
                self.take(self.sequence.fill(snapshot, settled=settled))

    def pass_turn(self) -> None:
        """Let a turn pass in which all events in transit arrive."""
        while self.events:
            self.deliver()
        self.now += 1.0

    def reopen(self) -> None:
        """Replace the last client by another; answers to the first reach the second."""
        self.events.clear()
        self.sequence = ReorderBuffer()
        self.replay = ReplayClient(TOPIC, turn=1.0)
        self.passed = []
        self.shown = 0

    def take(self, passed: Iterable[Message | Gap]) -> None:
        """Record what the subscriber passes on."""
        for item in passed:
            if isinstance(item, Gap):
                self.passed.append(item)
            elif item.header.kind is Kind.LOG:
                lines = item.body.split(b"\n")
                assert len(lines) == item.header.count
                self.passed += [_number(line) for line in lines]
            elif item.header.kind in wire.STATES:
                assert int(item.body) > self.shown, "a status came again, or after a newer one"
                self.shown = int(item.body)

    def settle(self) -> None:
        """Restore everything and deliver everything in transit."""
        self.restart_broker()
        if self.outbox is None:
            self.start_collector()
        self.collect()
        while self.events or self.replies:
            self.chance.choice([self.deliver, self.answer])()
        for _ in range(5):
            self.pass_turn()
            self.ask()
            self.answer()
        assert not self.sequence.missing
        assert self.shown == self.statuses, "the newest status did not come"

    def gaps(self) -> list[int]:
        """Return the missing lines without a Gap; raise AssertionError for a repeated one."""
        silent, last, gap = [], 0, True
        for item in self.passed:
            if isinstance(item, Gap):
                assert item.lost > 0 or item.reason == "restart"
                gap = True
                continue
            assert item > last, f"line {item} after line {last}"
            if not gap:
                silent += list(range(last + 1, item))
            last, gap = item, False
        if self.written and not gap:
            silent += list(range(last + 1, self.written + 1))
        return silent


USUAL = (
    "write",
    "write",
    "deliver",
    "deliver",
    "deliver",
    "ask",
    "answer",
    "lose",
    "status",
    "pass_turn",
)
LOSSLESS = ("write", "write", "deliver", "ask", "answer", "status", "pass_turn")
CRASHES = ("restart_collector", "kill_collector", "kill_broker", "restart_broker", "reopen")


def _lived(seed: int, steps: int, remembered: int, resent: int) -> Stream:
    chance = random.Random(seed)
    stream = Stream(chance, remembered=remembered, resent=resent)
    for _ in range(steps):
        getattr(stream, chance.choice(USUAL * 4 + CRASHES))()
    stream.settle()
    return stream


SEEDS = st.integers(min_value=0, max_value=2**32)


@given(SEEDS, st.integers(1, 300))
@settings(max_examples=300)
def test_nothing_is_lost_while_somebody_remembers_it(seed: int, steps: int) -> None:
    """With buffers that are long enough, no crash loses a line or causes a Gap."""
    stream = _lived(seed, steps, remembered=10_000, resent=10_000)
    lines = [item for item in stream.passed if not isinstance(item, Gap)]
    assert lines == list(range(1, stream.written + 1))


@given(SEEDS, st.integers(1, 300), st.integers(1, 30), st.integers(1, 10))
@example(4012727207, 13, 2, 1)  # a buffer that holds only statuses, after a crash of both
@example(929027710, 151, 15, 1)
@settings(max_examples=300)
def test_what_nobody_remembers_is_told(seed: int, steps: int, remembered: int, resent: int) -> None:
    """With short buffers, lost lines are passed on as gaps, and no line is repeated."""
    assert _lived(seed, steps, remembered, resent).gaps() == []


@given(SEEDS, st.integers(1, 300), st.integers(1, 30))
@settings(max_examples=300)
def test_what_is_in_transit_is_not_called_lost(seed: int, steps: int, remembered: int) -> None:
    """Without a loss there is no Gap, however many answers overtake the events."""
    chance = random.Random(seed)
    stream = Stream(chance, remembered=remembered, resent=10_000)
    stream.ask()
    stream.answer()
    for _ in range(steps):
        getattr(stream, chance.choice(("write", "write", "deliver", "ask", "answer", "status")))()
    stream.settle()
    assert stream.passed == list(range(1, stream.written + 1))
