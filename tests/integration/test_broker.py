"""The broker in a process of its own, with the sockets of real collectors and subscribers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import zmq

from bus import wire
from bus.broker.control import DropTopic, RejectTopic, SubscriptionChanged
from bus.publisher import Publisher
from bus.replay import START, Position, Snapshot
from bus.subscriber import ask_replay, events_socket, replay_socket
from bus.wire import Flag, Header, Kind, Message
from mist import process
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import ReplaySettings, Settings
from tests.support.service.programs import kill
from tests.support.wait import wait_until

TOPIC = b"container/1/log"
PATIENCE = 10.0

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class Running:
    """A broker process and its sockets, which are closed after the test."""

    def __init__(self, stack: ExitStack, paths: Paths, settings: Settings) -> None:
        self.paths, self.settings, self.stack = paths, settings, stack
        self.context: Context = stack.enter_context(zmq.Context())
        self.start()

    def start(self) -> None:
        """Start a broker, initially or after a kill."""
        spawn = multiprocessing.get_context("forkserver")
        self.pipe, theirs = spawn.Pipe()
        assignment = Assignment("broker", 0, time.time_ns(), False)
        self.process = spawn.Process(
            target=process.run,
            args=("bus.broker.main:main", assignment, self.settings, self.paths, theirs),
        )
        self.process.start()
        theirs.close()
        self.stack.callback(self.kill)

    def kill(self) -> None:
        """Kill the broker, as in a crash."""
        kill(self.process)

    def restart_under(self, publisher: Publisher) -> None:
        """Replace the broker with a new one. Return when the publisher has noticed."""
        self.kill()
        wait_until(lambda: not publisher.service(), "the publisher to miss its broker")
        self.start()
        assert publisher.socket.poll(int(PATIENCE * 1000))
        assert publisher.service()

    def publisher(self, term: int = 0) -> Publisher:
        """Return a publisher, as a collector uses it."""
        made = Publisher(self.context, self.paths, self.settings, TOPIC, term or time.time_ns())
        self.stack.callback(made.socket.close, 0)
        return made

    def subscriber(self, prefix: bytes = TOPIC) -> Socket:
        """Return a subscriber whose subscription the broker has seen."""
        socket = self.stack.enter_context(events_socket(self.context, self.paths, self.settings))
        socket.rcvtimeo = int(PATIENCE * 1000)
        socket.subscribe(prefix)
        assert self.edges(1) == [SubscriptionChanged(True, prefix)]
        return socket

    def edges(self, count: int) -> list[SubscriptionChanged]:
        """Return the next changes of demand that the broker reports."""
        found: list[SubscriptionChanged] = []
        while len(found) < count:
            assert self.pipe.poll(PATIENCE), f"only {found}"
            found += [
                report for report in self.pipe.recv() if isinstance(report, SubscriptionChanged)
            ]
        return found

    def replay(self, after: Position = START) -> Snapshot:
        """Return the broker's replay of the topic."""
        found = ask_replay(self.context, self.paths, TOPIC, after)
        assert found.number
        return found._replace(number=0)

    def await_seq(self, seq: int) -> None:
        """Poll until the broker has received that many messages."""
        wait_until(lambda: self.replay().seq >= seq, f"message {seq}", every=0.0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """An exit stack that is closed after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def paths(stack: ExitStack) -> Paths:
    """Directories whose paths are short enough for sockets."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mist-")))
    return Paths(home, home)


@pytest.fixture
def broker(stack: ExitStack, paths: Paths) -> Running:
    """A broker with the default settings."""
    return Running(stack, paths, Settings())


def receive(socket: Socket) -> Message:
    """Return the next numbered message that a subscriber receives."""
    while True:
        message = wire.parse(socket.recv_multipart())
        if message.header.kind is not Kind.POSITION:
            return message


def test_forwards_and_remembers(broker: Running) -> None:
    """A message reaches the subscriber unchanged and is in the replay."""
    subscriber = broker.subscriber()
    publisher = broker.publisher(term=5)
    assert publisher.claim(resume=False).term == 5
    publisher.publish(Kind.LOG, b"one\ntwo", count=2)
    live = receive(subscriber)
    assert live == Message(TOPIC, Header(Kind.LOG, 5, 5, 1, 2), b"one\ntwo")
    assert broker.replay() == Snapshot(TOPIC, 5, 5, 2, [live])
    assert broker.replay(Position(5, 2)).messages == []


def test_unknown_topic_has_an_empty_replay(broker: Running) -> None:
    """The replay of an unknown topic is empty: its zeros mean that there is no buffer."""
    assert broker.replay() == Snapshot(TOPIC, 0, 0, 0, [])


def test_demand_edges(broker: Running) -> None:
    """Each new subscriber is reported, and once that the last one has left."""
    first, second = broker.subscriber(), broker.subscriber()
    first.close()
    assert not broker.pipe.poll(0.2)
    second.close()
    assert broker.edges(1) == [SubscriptionChanged(False, TOPIC)]


def test_killed_subscriber_is_an_edge(broker: Running) -> None:
    """A subscriber that is killed counts as unsubscribed."""
    ready, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=_subscribe_and_hang, args=(broker.paths, theirs)
    )
    child.start()
    assert broker.edges(1) == [SubscriptionChanged(True, TOPIC)]
    kill(child)
    assert broker.edges(1) == [SubscriptionChanged(False, TOPIC)]
    ready.close()


def _subscribe_and_hang(paths: Paths, pipe: Connection) -> None:
    context: Context = zmq.Context()
    socket = events_socket(context, paths, Settings())
    socket.subscribe(TOPIC)
    pipe.poll(None)


def test_refusal_reaches_subscribers_and_the_replay(broker: Running) -> None:
    """The supervisor can tell subscribers why there will be no messages."""
    subscriber = broker.subscriber()
    broker.pipe.send(RejectTopic(TOPIC, b'{"type":"error"}', 1013))
    message = receive(subscriber)
    assert (message.header.kind, message.header.code) == (Kind.ERROR, 1013)
    assert broker.replay().messages == [message]


def test_forget_drops_the_buffer(broker: Running) -> None:
    """After a collector has gone, nothing about it is remembered."""
    publisher = broker.publisher(term=5)
    publisher.claim(resume=False)
    publisher.publish(Kind.LOG, b"one")
    broker.await_seq(1)
    broker.pipe.send(DropTopic(TOPIC, 5))
    wait_until(lambda: not broker.replay().epoch, "the broker to forget")


def test_resumes_after_a_crash_of_the_collector(broker: Running) -> None:
    """The successor continues the numbering and knows the last line published."""
    first = broker.publisher(term=5)
    first.claim(resume=False)
    first.publish(Kind.LOG, b"one")
    broker.await_seq(1)
    second = broker.publisher(term=6)
    snapshot = second.claim(resume=True)
    assert [message.body for message in snapshot.messages] == [b"one"]
    subscriber = broker.subscriber()
    first.publish(Kind.LOG, b"too late")
    second.publish(Kind.LOG, b"two")
    assert receive(subscriber).header == Header(Kind.LOG, 5, 6, 2)


def test_a_successor_may_begin_again_after_a_look(broker: Running) -> None:
    """A successor that claims without resuming drops the old messages and begins at 1."""
    first = broker.publisher(term=5)
    first.claim(resume=False)
    first.publish(Kind.STATUS, b"{}")
    broker.await_seq(1)
    second = broker.publisher(term=6)
    assert second.claim(resume=True).seq == 1
    second.claim(resume=False)
    second.publish(Kind.STATUS, b'{"state":"running"}')
    broker.await_seq(1)
    second.publish(Kind.READY, b"")
    broker.await_seq(2)
    snapshot = broker.replay()
    assert (snapshot.epoch, snapshot.term) == (6, 6)
    assert [message.header.seq for message in snapshot.messages] == [1, 2]


def test_broker_restarted_under_a_collector(broker: Running) -> None:
    """The collector sends its last messages again: nothing is lost and the numbering continues."""
    publisher = broker.publisher(term=5)
    publisher.claim(resume=False)
    for number in range(10):
        publisher.publish(Kind.LOG, b"%d" % number)
    broker.restart_under(publisher)
    publisher.publish(Kind.LOG, b"10")
    broker.await_seq(11)
    bodies = [message.body for message in broker.replay().messages]
    assert bodies == [b"%d" % number for number in range(11)]


def test_broker_restarted_under_one_who_claims_nothing(broker: Running) -> None:
    """A publisher without a claim (a deployment's runner) also sends its last messages again."""
    publisher = broker.publisher(term=5)
    assert publisher.socket.poll(int(PATIENCE * 1000))
    assert publisher.service()
    for number in range(3):
        publisher.publish(Kind.LOG, b"%d" % number)
    broker.await_seq(3)
    broker.restart_under(publisher)
    broker.await_seq(3)
    assert [message.body for message in broker.replay().messages] == [b"0", b"1", b"2"]


def test_broker_restarted_before_the_first_message(broker: Running) -> None:
    """A collector that has just started claims again, so its successor can continue from there."""
    publisher = broker.publisher(term=5)
    assert publisher.socket.poll(int(PATIENCE * 1000))
    os.kill(broker.process.pid or 0, signal.SIGSTOP)
    publisher.claim(resume=False)
    broker.restart_under(publisher)
    publisher.publish(Kind.LOG, b"one")
    broker.await_seq(1)
    snapshot = broker.publisher(term=6).claim(resume=True)
    assert snapshot[1:4] == (5, 6, 1)


def test_broker_restarted_under_a_claim(broker: Running) -> None:
    """A collector that is resuming claims again and does not give up."""
    publisher = broker.publisher(term=5)
    assert publisher.socket.poll(int(PATIENCE * 1000))
    os.kill(broker.process.pid or 0, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        claim = pool.submit(publisher.claim, resume=True, timeout=PATIENCE)
        with pytest.raises(TimeoutError):
            claim.result(timeout=0.2)
        broker.kill()
        broker.start()
        assert claim.result(timeout=PATIENCE).term == 5


def test_predecessors_messages_outlive_the_broker(broker: Running) -> None:
    """A resumed collector can refill a new broker although it has published nothing itself."""
    first = broker.publisher(term=5)
    first.claim(resume=False)
    first.publish(Kind.LOG, b"one\ntwo", count=2)
    broker.await_seq(2)
    second = broker.publisher(term=7)
    assert second.claim(resume=True).seq == 2
    first.socket.close(0)
    broker.kill()
    broker.start()

    def restored() -> bool:
        if second.socket.poll(0):
            second.service()
        return broker.replay().seq == 2

    wait_until(restored, "the new broker to have both lines")
    third = broker.publisher(term=9)
    snapshot = third.claim(resume=True)
    assert snapshot[1:4] == (5, 9, 2)
    assert [message.body for message in snapshot.messages] == [b"one\ntwo"]


def test_malformed_messages_are_dropped(broker: Running) -> None:
    """The broker keeps working after garbage on either socket."""
    publisher = broker.publisher(term=5)
    publisher.claim(resume=False)
    publisher.socket.send_multipart([TOPIC, b"no header", b"x"])
    publisher.socket.send_multipart([b"x" * 10_000, wire.pack(Header(Kind.LOG, 5, 5, 1)), b"x"])
    publisher.socket.send_multipart([TOPIC])
    with replay_socket(broker.context, broker.paths) as socket:
        socket.immediate = False
        socket.send_multipart([b"a", b"b", b"c"])
        subscriber = broker.subscriber()
        publisher.publish(Kind.LOG, b"good")
        assert receive(subscriber).body == b"good"
        assert [message.body for message in broker.replay().messages] == [b"good"]


def test_slow_subscriber_holds_up_nobody(broker: Running) -> None:
    """A subscriber that reads nothing loses messages; the others receive all of them in order."""
    idle, reader = broker.subscriber(), broker.subscriber()
    publisher = broker.publisher()
    publisher.claim(resume=False)
    body = b"x" * 20_000
    for seq in range(1, 5_001):
        publisher.publish(Kind.LOG, body)
        assert receive(reader).header.seq == seq
    idle.close()


def test_flags_pass_unchanged(broker: Running) -> None:
    """The broker reads a header and never writes one."""
    subscriber = broker.subscriber()
    publisher = broker.publisher()
    publisher.claim(resume=False)
    publisher.publish(Kind.LOG, b"old", flags=Flag.HISTORY)
    publisher.publish(Kind.END, b"end", code=1000)
    assert receive(subscriber).header.history
    assert receive(subscriber).header.code == 1000


@pytest.mark.parametrize(
    ("name", "mode"),
    [("ingest", 0o600), ("events", 0o660), ("replay", 0o660)],
)
def test_modes_of_the_sockets(broker: Running, name: str, mode: int) -> None:
    """Only the service's own user can publish; its group can subscribe."""
    broker.replay()
    assert stat.S_IMODE(os.stat(broker.paths.runtime / name).st_mode) == mode


def test_small_replay_buffer(stack: ExitStack, paths: Paths) -> None:
    """The settings bound what is remembered."""
    broker = Running(stack, paths, Settings(replay=ReplaySettings(lines=3)))
    publisher = broker.publisher()
    publisher.claim(resume=False)
    for number in range(10):
        publisher.publish(Kind.LOG, b"%d" % number)
    broker.await_seq(10)
    assert [message.body for message in broker.replay().messages] == [b"7", b"8", b"9"]
