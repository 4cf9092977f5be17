"""A model of collector, broker and subscriber, in which all but the subscriber may die at once.

The collector with its claim, the outbox, the broker's buffers and the subscriber's reorder
buffer are real.  Chance kills collector and broker at any moment, also between a claim and
its message, loses messages in transit, and lets messages of a dead collector arrive late.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import wire
from bus.broker.buffers import Buffers
from bus.outbox import Outbox, Packet
from bus.reorder import Gap, ReorderBuffer
from bus.replay import (
    START,
    Position,
    ReplayRequest,
    Snapshot,
    parse_replay_reply,
    parse_replay_request,
    replay_reply,
)
from bus.replay_client import ReplayClient
from bus.wire import NO_FLAGS, Flag, Kind, Message
from mist import clock, messages
from mist.errors import ContainerNotFound
from mist.settings import ReplaySettings, Settings, StreamSettings
from tests.support.collecting import FakeApp, FakeEngine, FakeStream, container
from workers.container.claim_file import ClaimFile
from workers.container.claims import packed, unpacked
from workers.container.collector import Collector
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.resume import Deduplicator, ResumePoint
from workers.container.stream import Ended, Lines, LogStream

TOPIC = b"container/1/log"
PAGE = 4_096


class Killed(BaseException):
    """The collector is dead."""


class WholeLog(FakeStream):
    """The lines of a log, in small pieces."""

    def __init__(self, lines: list[Line], resume: ResumePoint | None) -> None:
        filtered = Deduplicator(resume)
        pieces = [filtered.feed(lines[start : start + 3]) for start in range(0, len(lines), 3)]
        script = [Lines(piece) for piece in pieces if piece]
        super().__init__(script, joined=filtered.joined, entries=len(lines))


class Engine(FakeEngine):
    """An engine with the logs of all containers; numbers grow across them."""

    container: Container

    def __init__(self) -> None:
        super().__init__()
        self.container = container("c1", created=clock.rfc3339(0), started=clock.rfc3339(0))
        self.logs: dict[str, list[Line]] = {"c1": []}
        self.written = 0

    def write(self, count: int) -> None:
        """Write lines, of which some have the time stamp of the one before."""
        for _ in range(count):
            self.written += 1
            stamp = clock.rfc3339((self.written - self.written % 3) * 1_000)
            self.logs[self.container.id].append(Line(stamp, "stdout", str(self.written)))

    def history(
        self,
        one: Container,
        resume: ResumePoint | None,
        tail: int | None,
        *,
        near: bool = False,
    ) -> LogStream:
        """Return the end of a log."""
        if one.id not in self.logs:
            raise ContainerNotFound(one.id)
        lines = self.logs[one.id]
        return WholeLog(lines if tail is None else lines[-tail:], resume)

    def follow(self, _one: Container, *, wake: int) -> LogStream:
        """Return a stream that breaks at once, after what the log has was read."""
        return FakeStream([Ended()])

    def last_line(self, one: Container, resume: ResumePoint | None) -> Line | None:
        """Return the newest line."""
        return self.logs[one.id][-1] if self.logs[one.id] else None


class World:
    """All of it, and what the subscriber passed on."""

    descriptor = -1

    def __init__(self, chance: random.Random, remembered: int = 10_000) -> None:
        self.chance = chance
        self.settings = Settings(
            replay=ReplaySettings(lines=remembered), streams=StreamSettings(tail_lines=5)
        )
        self.engine = Engine()
        self.page = bytearray(PAGE)
        self.buffers: Buffers | None = Buffers(self.settings)
        self.collector: Collector | None = None
        self.outbox = Outbox(TOPIC, 1, 10_000_000)
        self.term = 100
        self.to_broker: deque[Packet] = deque()
        self.events: deque[Message] = deque()
        self.replies: deque[list[bytes]] = deque()
        self.now = 0.0
        self.deaths = 0.0
        self.sequence = ReorderBuffer()
        self.replay = ReplayClient(TOPIC, turn=1.0)
        self.passed: list[int | Gap] = []
        self.start_collector()

    # The bus as the collector sees it

    @property
    def next(self) -> int:
        """The number of the next message."""
        return self.outbox.next

    def claim(self, *, resume: bool, after: Position = START) -> Snapshot:
        """Claim the topic, as the real publisher does."""
        self.send(self.outbox.claim(resume=resume, after=after))
        if not resume:
            return Snapshot(TOPIC, after.epoch or self.term, self.term, after.seq, [])
        self.flush()
        snapshot = parse_replay_reply(self.replayed(ReplayRequest(TOPIC, START)))
        self.outbox.adopt(snapshot)
        return snapshot

    def service(self) -> bool:
        """Return True; a broker that died is replaced at once while a collector publishes."""
        if self.buffers is None:
            self.start_broker()
        return True

    def wait(self, seconds: float | None = None) -> bool:
        """Take no time."""
        return False

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = NO_FLAGS, code: int = 0
    ) -> None:
        """Send a message; die before or after it."""
        try:
            self.perhaps_die()
        except Killed:
            self.tear_last(self.next + count - 1)
            raise
        self.send(self.outbox.number(kind, body, count=count, flags=flags, code=code))
        self.perhaps_die()

    def perhaps_die(self) -> None:
        """Kill the collector, the broker or both in the middle of the collector's work."""
        if self.chance.random() < self.deaths:
            self.chance.choice([self.kill_broker, self.kill_collector, self.kill_both])()
            if self.collector is None:
                raise Killed

    def send(self, packet: Packet) -> None:
        """Put a message into the pipe to the broker."""
        self.to_broker.append(packet)
        if self.chance.random() < 0.7:
            self.flush()

    def flush(self) -> None:
        """Let the broker take what is in its pipe."""
        while self.to_broker and self.buffers is not None:
            packed, body = self.to_broker.popleft()
            header = wire.unpack(packed)
            if self.buffers.accept(TOPIC, packed, header, body):
                self.events.append(Message(TOPIC, header, body))

    def replayed(self, request: ReplayRequest) -> list[bytes]:
        """Return the broker's replay."""
        assert self.buffers is not None
        buffer = self.buffers.get(TOPIC)
        if buffer is None:
            return replay_reply(request, (0, 0, 0), ())
        state = (buffer.epoch, buffer.term, buffer.seq)
        return replay_reply(request, state, buffer.after(request.after))

    # What happens

    def write(self) -> None:
        """Let the container write."""
        self.engine.write(self.chance.randint(1, 7))

    def collect(self) -> None:
        """Let the collector take a few steps."""
        try:
            for _ in range(self.chance.randint(1, 6)):
                if self.collector is not None:
                    self.collector.step()
        except Killed:
            pass

    def restart_container(self) -> None:
        """Restart the container, which is a status in the stream."""
        one = self.engine.container
        self.engine.container = one._replace(started=clock.rfc3339(self.engine.written * 1_000))

    def replace_container(self) -> None:
        """Replace the container; the old one is kept.

        One that no collector has ever seen is not replaced, because nothing would name it.
        """
        if self.engine.container.id != unpacked_container(self.page):
            return
        name = f"c{len(self.engine.logs) + 1}"
        self.engine.logs[name] = []
        created = clock.rfc3339(self.engine.written * 1_000 + 1)
        self.engine.container = container(name, created=created, started=created)

    def kill_collector(self) -> None:
        """Kill the collector; some of what it sent stays in its pipe."""
        self.collector = None
        for _ in range(self.chance.randint(0, len(self.to_broker))):
            self.to_broker.pop()

    def kill_broker(self) -> None:
        """Kill the broker, with some of the messages in transit."""
        self.buffers = None
        self.to_broker.clear()
        for queue in (self.events, self.replies):
            for _ in range(self.chance.randint(0, len(queue))):
                queue.pop()

    def kill_both(self) -> None:
        """Kill both in one moment."""
        self.kill_collector()
        self.kill_broker()

    def start_broker(self) -> None:
        """Start a broker, to which a collector sends its messages again."""
        if self.buffers is None:
            self.buffers = Buffers(self.settings)
            self.to_broker.clear()
            if self.collector is not None:
                self.to_broker.extend(self.outbox.resend())

    def start_collector(self, resume: bool = True) -> None:
        """Start a collector where the last one died."""
        if self.collector is not None or self.buffers is None:
            return
        self.term += 10
        self.outbox = Outbox(TOPIC, self.term, 10_000_000)
        kept = unpacked(bytes(self.page), self.term)
        self.page[:] = bytes(PAGE)
        if kept is not None:
            record, start = packed(kept), kept.serial % 2 * PAGE // 2
            self.page[start : start + len(record)] = record
        claims = ClaimFile(self.page, kept, damaged=kept is None)
        out = LogPublisher(self, self.settings, claims)
        out.take_over(resume=resume)
        self.collector = Collector(FakeApp(), self.engine, out, self.settings)

    def restart_supervisor(self) -> None:
        """Kill everything and start it with another supervisor, which knows of no crash."""
        self.kill_both()
        self.start_broker()
        self.start_collector(resume=False)

    def tear_last(self, seq: int) -> None:
        """Damage the record of a message that was not sent: its collector died while it wrote."""
        newest = unpacked(bytes(self.page), 2**60)
        if newest is None or self.chance.random() < 0.5:
            return
        torn = bytearray(self.page)
        torn[newest.serial % 2 * PAGE // 2] ^= 0xFF
        older = unpacked(bytes(torn), 2**60)
        # Otherwise the newest record is that of an earlier message.
        if older is not None and older.seq < seq == newest.seq:
            self.page[:] = torn

    def damage(self) -> None:
        """Lose the claim, with the whole file."""
        self.page[:] = bytes(PAGE)

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
        """Let the subscriber request a replay if it may."""
        if self.buffers is not None and self.replay.free(self.now):
            request = self.replay.ask(self.now, self.sequence.position)
            self.replies.append(self.replayed(parse_replay_request(request)))

    def answer(self) -> None:
        """Deliver an answer."""
        if self.replies:
            snapshot = parse_replay_reply(self.replies.popleft())
            if self.replay.take(snapshot, self.now):
                self.take(self.sequence.fill(snapshot, settled=self.replay.settled))

    def pass_turn(self) -> None:
        """Let a turn pass in which all events in transit arrive."""
        self.flush()
        while self.events:
            self.deliver()
        self.now += 1.0

    def take(self, passed: Iterable[Message | Gap]) -> None:
        """Record what is passed on."""
        for item in passed:
            if isinstance(item, Gap):
                assert item.lost > 0 or item == Gap(messages.UNKNOWN, "restart")
                self.passed.append(item)
            elif item.header.kind is Kind.LOG:
                lines = item.body.split(b"\n")
                assert len(lines) == item.header.count
                self.passed += [int(messages.read_log(line).data.line) for line in lines]

    def settle(self) -> None:
        """Start everything, and deliver everything."""
        self.deaths = 0.0
        for _ in range(12):
            self.start_broker()
            self.flush()
            self.start_collector()
            self.collect()
            self.pass_turn()
            self.ask()
            self.answer()
        assert not self.sequence.missing

    def silent(self) -> list[int]:
        """Return the lines that are missing without a Gap."""
        missing: list[int] = []
        last, gap = 0, True
        for item in self.passed:
            if isinstance(item, Gap):
                gap = True
                continue
            assert item > last, f"line {item} after line {last}"
            if not gap:
                missing += range(last + 1, item)
            last, gap = item, False
        return missing if gap else [*missing, *range(last + 1, self.engine.written + 1)]


def unpacked_container(page: bytearray) -> str:
    """Return the container in a claim."""
    claim = unpacked(bytes(page), 2**60)
    return claim.container if claim else ""


USUAL = ("write", "write", "collect", "collect", "deliver", "deliver", "ask", "answer", "lose")
DEATHS = (
    "pass_turn",
    "kill_collector",
    "kill_broker",
    "kill_both",
    "start_broker",
    "start_broker",
    "start_collector",
    "start_collector",
    "restart_supervisor",
    "restart_container",
)


def lived(world: World, steps: int, more: tuple[str, ...] = ()) -> World:
    """Let a world live through random events, and settle it."""
    world.collect()
    world.pass_turn()
    world.ask()
    world.answer()
    world.deaths = 0.03
    for _ in range(steps):
        getattr(world, world.chance.choice(USUAL * 3 + DEATHS + more))()
    world.settle()
    return world


# Not both: without a claim, nothing names the container of before.
FAULTS = ("damage", "replace_container")
SEEDS = st.integers(min_value=0, max_value=2**32)


@given(SEEDS, st.integers(1, 200))
@settings(max_examples=400)
def test_no_death_loses_or_repeats_a_line(seed: int, steps: int) -> None:
    """Whoever dies, in whatever order, the subscriber passes on each line once, without a Gap."""
    world = lived(World(random.Random(seed)), steps)
    assert world.passed == list(range(1, world.engine.written + 1))


@given(SEEDS, st.integers(1, 200), st.integers(2, 30), st.sampled_from(FAULTS))
@settings(max_examples=300)
def test_what_is_gone_is_told(seed: int, steps: int, remembered: int, fault: str) -> None:
    """With short memories and lost claims or replaced containers, a Gap tells of each loss."""
    world = lived(World(random.Random(seed), remembered), steps, (fault,))
    assert world.silent() == []


@pytest.mark.parametrize("seed", range(3))
def test_positions_stay(seed: int) -> None:
    """A line keeps its number, so that a client can name it after any restart."""
    world = World(random.Random(seed))
    numbers: dict[str, tuple[int, int]] = {}
    for _ in range(6):
        world.write()
        world.settle()
        assert world.buffers is not None
        buffer = world.buffers.get(TOPIC)
        assert buffer is not None
        for head, body in buffer.after(START):
            header = wire.unpack(head)
            if header.kind is Kind.LOG:
                for seq, line in enumerate(body.split(b"\n"), header.seq):
                    text = messages.read_log(line).data.line
                    assert numbers.setdefault(text, (header.epoch, seq)) == (header.epoch, seq)
        world.restart_supervisor()
    assert len(numbers) == world.engine.written
