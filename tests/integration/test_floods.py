"""Floods of the broker, in short: its memory is flat, and others do not notice.

``tests/faults/test_floods.py`` has the same and more for longer.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest
import zmq

from bus import wire
from bus.subscriber import ask_replay, events_socket
from bus.wire import Kind
from mist.paths import Paths
from mist.settings import BusSettings, ReplaySettings, Settings
from tests.support import bus, floods
from tests.support.bus import Rig
from tests.support.service.programs import kill

TOPIC = b"container/1/log"
MIB = 1024**2


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A broker with the default settings."""
    with bus.running() as rig:
        yield rig


def others_are_served(rig: Rig) -> None:
    """Assert that another topic still works, live and by replay."""
    publisher = rig.publisher(b"container/2/log")
    with events_socket(rig.context, rig.paths, rig.settings) as reader:
        reader.subscribe(b"container/2/")
        deadline = time.monotonic() + bus.PATIENCE
        while not reader.poll(50):  # a message before the subscription is not forwarded
            assert time.monotonic() < deadline, "nothing arrives"
            publisher.publish(Kind.LOG, b"hello")
        assert wire.parse(reader.recv_multipart()).body == b"hello"
    assert ask_replay(rig.context, rig.paths, b"container/2/log").messages
    publisher.close()


@pytest.mark.parametrize("size", [60_000, MIB, 6 * MIB])
def test_deaf_subscribers(rig: Rig, size: int) -> None:
    """Subscribers that read nothing cost a bounded number of bytes, whatever a line has."""
    publisher = rig.publisher(TOPIC)
    sockets: list[zmq.Socket[bytes]] = []
    last = time.monotonic()

    def step() -> None:
        nonlocal last
        if time.monotonic() > last + 0.2 and len(sockets) < 8:
            last = time.monotonic()
            sockets.append(floods.deaf(rig.context, rig.paths, b"container/"))
        publish()

    publish = floods.lines(publisher, size, rate=1_000.0 if size < MIB else 60.0)
    floods.assert_flat(rig.broker, step, seconds=1.5, settle=2.7)
    others_are_served(rig)
    for each in sockets:
        each.close()


PREFIXES: list[Callable[[int], bytes]] = [
    lambda n: b"container/%d/" % n + b"x" * 900,
    lambda n: b"%09d" % n + b"x" * 90,
    lambda n: b"container/%d/log" % (10**18 + n * 7_919),
    lambda n: b"container/name:%0120d/log" % (n * 7_919),
]


@pytest.mark.parametrize("make", PREFIXES, ids=["long", "strange", "too many", "names"])
def test_subscriptions(rig: Rig, make: Callable[[int], bytes]) -> None:
    """Subscriptions are bounded in number and length, and those that match nothing refused."""
    step = floods.subscriptions(rig.context, rig.paths, make)
    floods.assert_flat(rig.broker, step, seconds=1.0, settle=1.5)
    others_are_served(rig)


def test_unread_replays(rig: Rig) -> None:
    """Peers that ask for replays and do not read them cost a bounded number of bytes."""
    publisher = rig.publisher(TOPIC)
    for seq in range(1, 120):
        publisher.publish(Kind.LOG, b"x" * 65_000)
        rig.await_seq(TOPIC, seq)
    step = floods.unread_requests(rig.context, rig.paths, TOPIC, peers=20)
    floods.assert_flat(rig.broker, step, seconds=1.5, settle=2.0)
    others_are_served(rig)


@pytest.mark.parametrize("name", ["events", "replay"])
def test_connections(rig: Rig, name: str) -> None:
    """More connections than the broker allows are closed, the idle ones first."""
    with events_socket(rig.context, rig.paths, rig.settings) as reader:
        reader.subscribe(TOPIC)
        publisher = rig.publisher(TOPIC)
        with floods.connections(str(rig.paths.runtime / name), batch=40) as step:
            floods.assert_flat(rig.broker, step, seconds=1.0, settle=1.0)
            others_are_served(rig)
        publisher.publish(Kind.LOG, b"still here")
        assert reader.poll(int(bus.PATIENCE * 1000))


def test_hung_subscriber(rig: Rig) -> None:
    """A subscriber that hangs, such as a web worker, does not fill its own memory either."""
    spawn = multiprocessing.get_context("forkserver")
    hung = spawn.Process(target=_hang, args=(rig.paths, rig.settings), daemon=True)
    hung.start()
    rig.stack.callback(kill, hung)
    step = floods.lines(rig.publisher(TOPIC), 6 * MIB, rate=60.0)
    floods.assert_flat(hung, step, seconds=1.0, settle=2.5)


def _hang(paths: Paths, settings: Settings) -> None:
    with zmq.Context() as context, events_socket(context, paths, settings) as events:
        events.subscribe(TOPIC)
        events.poll()
        threading.Event().wait()


def test_a_reader_loses_nothing_to_a_deaf_one(rig: Rig) -> None:
    """While one subscriber is deaf, another one receives every large line."""
    publisher = rig.publisher(TOPIC)
    dumb = floods.deaf(rig.context, rig.paths, TOPIC)
    seen: list[int] = []
    with events_socket(rig.context, rig.paths, rig.settings) as reader:
        reader.subscribe(TOPIC)
        while not reader.poll(50):
            publisher.publish(Kind.LOG, b"x" * MIB)
        begun = threading.Event()

        def read() -> None:
            begun.set()
            while reader.poll(3_000):
                seen.append(wire.parse(reader.recv_multipart()).header.seq)

        thread = threading.Thread(target=read)
        thread.start()
        begun.wait(bus.PATIENCE)
        for _ in range(120):
            publisher.publish(Kind.LOG, b"x" * MIB)
            time.sleep(0.02)
        thread.join(bus.PATIENCE)
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert len(seen) > 120
    dumb.close()


SUBSCRIBE, LEAVE = floods.frame(b"\x01" + TOPIC), floods.frame(b"\x00" + TOPIC)


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        pytest.param("events", b"SUB", SUBSCRIBE * 2_000, id="subscribe"),
        pytest.param("events", b"SUB", (SUBSCRIBE + LEAVE) * 1_000, id="subscribe and leave"),
        pytest.param(
            "replay",
            b"DEALER",
            floods.frame(b"a", more=True) * 5_000 + floods.frame(b"b"),
            id="frames",
        ),
    ],
)
def test_a_reader_is_on_time(rig: Rig, name: str, kind: bytes, data: bytes) -> None:
    """A peer that repeats itself, or sends requests of any number of frames, delays nobody."""
    publisher, seen, late = rig.publisher(TOPIC), list[int](), list[float]()
    with events_socket(rig.context, rig.paths, rig.settings) as reader:
        reader.subscribe(TOPIC)
        while not reader.poll(50):
            publisher.publish(Kind.LOG, b"0")

        def read() -> None:
            while reader.poll(2_000):
                message = wire.parse(reader.recv_multipart())
                if message.header.kind is Kind.LOG and message.body != b"0":
                    seen.append(message.header.seq)
                    late.append(time.monotonic() - float(message.body))

        thread = threading.Thread(target=read)
        thread.start()
        with floods.raw_flood(str(rig.paths.runtime / name), kind, data):
            for _ in range(400):
                publisher.service()
                publisher.publish(Kind.LOG, str(time.monotonic()).encode())
                time.sleep(0.01)
        thread.join(bus.PATIENCE)
    assert len(seen) == 400
    assert seen == list(range(seen[0], seen[0] + 400))
    assert max(late) < 2


def test_a_message_without_end() -> None:
    """A message whose frames never end ends the broker, which then no longer takes memory."""
    most = 100 * MIB
    settings = Settings(
        bus=BusSettings(memory_bytes=most, unsent_bytes=MIB, replay_bytes=MIB),
        replay=ReplaySettings(total_bytes=MIB),
    )
    with (
        bus.running(settings) as rig,
        floods.endless_message(str(rig.paths.runtime / "replay")) as step,
    ):
        deadline, seen = time.monotonic() + bus.PATIENCE, 0
        while rig.broker.is_alive():
            assert time.monotonic() < deadline, "the broker goes on"
            step()
            with suppress(psutil.NoSuchProcess, AssertionError):  # it may end at any time
                seen = max(seen, floods.memory(rig.broker))
        assert seen < most + 50 * MIB
        rig.start()
        others_are_served(rig)
