"""Tests of the broker in a thread with real sockets."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq

from bus import wire
from bus.broker.control import BrokerReady, DropTopic, RejectTopic, Report, SubscriptionChanged
from bus.broker.main import serve
from bus.publisher import Publisher
from bus.replay import START, Snapshot, parse_replay_reply, replay_request
from bus.subscriber import ask_replay, events_socket
from bus.wire import Kind
from mist.paths import Paths
from mist.settings import Settings
from tests.support.wait import wait_until

TOPIC = b"container/1/log"


class Running(NamedTuple):
    """A broker in a thread, and the supervisor's end of its pipe."""

    context: zmq.Context[zmq.Socket[bytes]]
    paths: Paths
    pipe: Connection

    def publisher(self) -> Publisher:
        """Return the publisher of a collector that has claimed the topic."""
        made = Publisher(self.context, self.paths, Settings(), TOPIC, 5)
        made.claim(resume=False)
        return made

    def replay(self) -> Snapshot:
        """Return the topic's replay buffer."""
        return ask_replay(self.context, self.paths, TOPIC)

    def reports(self, count: int) -> list[Report]:
        """Return the next reports."""
        found: list[Report] = []
        while len(found) < count:
            assert self.pipe.poll(20), f"only {found}"
            found += self.pipe.recv()
        return found


@pytest.fixture
def running() -> Iterator[Running]:
    """A broker that ends when the supervisor's pipe closes."""
    with tempfile.TemporaryDirectory(prefix="mist-", dir="/tmp") as name:
        paths = Paths(Path(name), Path(name))
        pipe, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=serve, args=(Settings(), paths, theirs))
        thread.start()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        running = Running(context, paths, pipe)
        assert running.reports(1) == [BrokerReady(os.getpid())]
        yield running
        pipe.close()
        thread.join(20)
        assert not thread.is_alive()
        context.destroy(0)


def test_a_message_is_forwarded_and_remembered(running: Running) -> None:
    """A message is forwarded and stored; the supervisor hears of subscriptions and their ends."""
    with events_socket(running.context, running.paths, Settings()) as subscriber:
        subscriber.subscribe(TOPIC)
        assert running.reports(1) == [SubscriptionChanged(True, TOPIC)]
        publisher = running.publisher()
        publisher.publish(Kind.LOG, b"one\ntwo", count=2)
        assert subscriber.poll(20_000)
        message = wire.parse(subscriber.recv_multipart())
        assert (message.topic, message.body) == (TOPIC, b"one\ntwo")
        assert running.replay().messages == [message]
        publisher.close()
    assert running.reports(1) == [SubscriptionChanged(False, TOPIC)]


def test_the_supervisor_can_have_a_topic_forgotten(running: Running) -> None:
    """The supervisor can drop a topic up to a term; a newer term is kept."""
    publisher = running.publisher()
    publisher.publish(Kind.LOG, b"one")
    wait_until(lambda: running.replay().seq == 1, "the message")
    running.pipe.send(DropTopic(TOPIC, 4))
    running.pipe.send(RejectTopic(b"other", b"{}", 1013))
    wait_until(lambda: ask_replay(running.context, running.paths, b"other").messages, "the next")
    assert running.replay().seq == 1
    running.pipe.send(DropTopic(TOPIC, 5))
    wait_until(lambda: running.replay().epoch == 0, "the topic to be forgotten")
    publisher.close()


def test_a_refusal_reaches_subscribers(running: Running) -> None:
    """A refusal reaches subscribers with its close code."""
    with events_socket(running.context, running.paths, Settings()) as subscriber:
        subscriber.subscribe(TOPIC)
        running.reports(1)
        running.pipe.send(RejectTopic(TOPIC, b"{}", 1013))
        assert subscriber.poll(20_000)
        header = wire.parse(subscriber.recv_multipart()).header
        assert (header.kind, header.code) == (Kind.ERROR, 1013)


def test_a_subscriber_is_told_the_position(running: Running) -> None:
    """Who subscribes to a topic that the broker knows is told its last number."""
    publisher = running.publisher()
    publisher.publish(Kind.LOG, b"one\ntwo", count=2)
    wait_until(lambda: running.replay().seq == 2, "the message")
    with events_socket(running.context, running.paths, Settings()) as subscriber:
        subscriber.subscribe(b"container/2/log")  # which it does not know
        subscriber.subscribe(TOPIC)
        assert subscriber.poll(20_000)
        topic, header, body = wire.parse(subscriber.recv_multipart())
        assert (topic, header.kind, header.seq, body) == (TOPIC, Kind.POSITION, 2, b"")
        assert header.epoch == running.replay().epoch
    publisher.close()


@pytest.mark.parametrize("name", ["ingest", "replay"])
def test_what_is_malformed_is_dropped(running: Running, name: str) -> None:
    """Malformed messages are dropped, and later ones on the same socket are handled."""
    kind = zmq.XPUB if name == "ingest" else zmq.DEALER
    with running.context.socket(kind) as stranger:
        stranger.connect(running.paths.endpoint(name))
        if name == "ingest":
            assert stranger.poll(20_000), "the broker subscribes"
        for frames in ([b"x"], [b"x"] * 9, [b"", b"", b""], [b"x" * 300, b"", b""]):
            stranger.send_multipart(frames)
        if name == "replay":
            stranger.send_multipart(replay_request(TOPIC, START, 1))
            assert stranger.poll(20_000)
            assert parse_replay_reply(stranger.recv_multipart()).topic == TOPIC
            assert not stranger.poll(0)
    publisher = running.publisher()
    publisher.publish(Kind.LOG, b"sound")
    wait_until(lambda: [each.body for each in running.replay().messages] == [b"sound"], "it")
    publisher.close()
