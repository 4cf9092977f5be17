"""Tests of a collector's socket with a broker, and with one that comes, goes and blocks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import zmq
from msgspec import structs

from bus.publisher import Publisher
from bus.replay import parse_replay_request, replay_reply
from bus.subscriber import ask_replay
from bus.wire import Kind
from mist.errors import BusError
from tests.support.bus import Rig
from tests.support.service.programs import kill
from tests.support.wait import wait_until

TOPIC = b"container/1/log"


def bodies(rig: Rig) -> list[bytes]:
    """Return the messages that the broker remembers."""
    return [message.body for message in ask_replay(rig.context, rig.paths, TOPIC).messages]


def blind_broker(rig: Rig) -> zmq.Socket[bytes]:
    """Kill the broker, and return a socket that takes messages in its place."""
    kill(rig.broker)
    taking = rig.context.socket(zmq.SUB)
    taking.linger = 0
    taking.rcvhwm = 1
    taking.subscribe(b"")
    taking.bind(rig.paths.endpoint("ingest"))
    return taking


def test_a_resumed_claim_goes_on_with_the_numbers(rig: Rig) -> None:
    """The broker tells a successor what it remembers, and the numbers go on after it."""
    first = rig.publisher(TOPIC, 1)
    first.publish(Kind.LOG, b"one\ntwo", count=2)
    rig.await_seq(TOPIC, 2)
    second = Publisher(rig.context, rig.paths, rig.settings, TOPIC, 2)
    snapshot = second.claim(resume=True)
    assert (snapshot.term, snapshot.seq, second.next) == (2, 2, 3)
    second.publish(Kind.LOG, b"three")
    wait_until(lambda: bodies(rig) == [b"one\ntwo", b"three"], "the next message")
    first.close()
    second.close()


def test_a_claim_without_a_broker_fails(rig: Rig) -> None:
    """The error names the endpoint."""
    kill(rig.broker)
    publisher = Publisher(rig.context, rig.paths, rig.settings, TOPIC, 1)
    with pytest.raises(BusError, match=f"no broker on {rig.paths.endpoint('ingest')}"):
        publisher.claim(resume=False, timeout=0.05)
    assert not publisher.service()
    assert not publisher.wait(0.01)
    publisher.close()


def test_a_claim_that_is_not_answered_fails(rig: Rig) -> None:
    """A broker that answers no requests does not hold up the collector for ever."""
    publisher = Publisher(rig.context, rig.paths, rig.settings, TOPIC, 1)
    with blind_broker(rig) as taking, ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(publisher.claim, resume=True, timeout=2.0)
        assert taking.poll(20_000), "the claim"
        with pytest.raises(BusError, match="does not take the claim"):
            claiming.result(20)
    publisher.close()


def test_a_claim_survives_the_broker(rig: Rig) -> None:
    """A broker that ends before it answers is followed by one that receives the claim again."""
    taking = blind_broker(rig)
    publisher = Publisher(rig.context, rig.paths, rig.settings, TOPIC, 7)
    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(publisher.claim, resume=True, timeout=20)
        assert taking.poll(20_000), "the claim"
        taking.close()
        rig.start()
        assert claiming.result(20).term == 7
    publisher.close()


def test_a_new_broker_gets_the_messages_again(rig: Rig) -> None:
    """The outbox goes to the new broker, so that it can answer requests for replays."""
    publisher = rig.publisher(TOPIC)
    for body in (b"one", b"two"):
        publisher.publish(Kind.LOG, body)
    rig.await_seq(TOPIC, 2)
    kill(rig.broker)
    assert publisher.wait(20)
    assert not publisher.service()
    rig.start()
    wait_until(publisher.service, "the new broker")
    publisher.publish(Kind.LOG, b"three")
    wait_until(lambda: bodies(rig) == [b"one", b"two", b"three"], "the messages")
    publisher.close()


def test_a_slow_broker_blocks_the_publisher(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message waits, with heartbeats, until the broker takes it; none is lost."""
    with blind_broker(rig) as taking:
        bus = structs.replace(rig.settings.bus, collector_queue=1)
        settings = structs.replace(rig.settings, bus=bus)
        publisher = Publisher(rig.context, rig.paths, settings, TOPIC, 1)
        with ThreadPoolExecutor(1) as pool:
            claiming = pool.submit(publisher.claim, resume=False)
            assert taking.poll(20_000), "the claim"
            claiming.result(20)
        blocked = threading.Event()
        stand_in = SimpleNamespace(beat=blocked.set, BEAT_SECONDS=1.0)
        monkeypatch.setattr("bus.publisher.heartbeat", stand_in)
        sent: list[int] = []

        def send() -> None:
            while not blocked.is_set():
                publisher.publish(Kind.LOG, b"x" * 1_000_000)
                sent.append(publisher.next)

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            assert blocked.wait(20), "the queues are full"
            received: list[list[bytes]] = []

            def take() -> bool:
                while taking.poll(0):
                    received.append(taking.recv_multipart())
                return sending.done() and len(received) > len(sent)  # and the claim

            wait_until(take, "every message")
            sending.result()
        assert [len(frames[-1]) for frames in received[1:]] == [1_000_000] * len(sent)
        publisher.close()


def test_only_an_answer_that_knows_the_claim_counts(rig: Rig) -> None:
    """An answer to another request, or from before the claim, does not end the wait."""
    publisher = Publisher(rig.context, rig.paths, rig.settings, TOPIC, 7)
    with (
        blind_broker(rig) as taking,
        rig.context.socket(zmq.ROUTER) as replay,
        ThreadPoolExecutor(1) as pool,
    ):
        replay.linger = 0
        replay.bind(rig.paths.endpoint("replay"))
        claiming = pool.submit(publisher.claim, resume=True, timeout=20)
        assert taking.poll(20_000), "the claim"
        for state in ((6, 6, 9), (7, 7, 0)):
            assert replay.poll(20_000), "a request"
            peer, *frames = replay.recv_multipart()
            request = parse_replay_request(frames)
            stray = request._replace(mark=b"\xff" * 8)
            for answer in (replay_reply(stray, (7, 7, 5), []), replay_reply(request, state, [])):
                replay.send_multipart([peer, *answer])
        snapshot = claiming.result(20)
    assert (snapshot.term, snapshot.seq, publisher.next) == (7, 0, 1)
    publisher.close()
