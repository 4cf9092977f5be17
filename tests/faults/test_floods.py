"""Floods for 40 seconds each: memory is flat after 20 s, and no process takes over 200 MB."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import zmq

from bus.publisher import Publisher
from bus.replay import START, replay_request
from bus.wire import Kind
from mist.addresses import split_address
from mist.settings import BusSettings, Settings
from tests.support import bus, floods
from tests.support.bus import Rig
from tests.support.service.service import free_port

TOPIC = b"container/1/log"
MIB = 1024**2
SETTLE = SECONDS = 20.0

pytestmark = [pytest.mark.whole, pytest.mark.timeout(180)]


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A broker with the default settings."""
    with bus.running() as rig:
        yield rig


@pytest.mark.parametrize("size", [1_000, 3_000, 65_000, MIB, 6 * MIB])
@pytest.mark.parametrize("count", [1, 100])
def test_deaf_subscribers(rig: Rig, size: int, count: int) -> None:
    """Subscribers join one after another and read nothing; lines of one size, or of all sizes."""
    publish = floods.lines(rig.publisher(TOPIC), size, rate=2_000.0 if size < MIB else 60.0)
    sockets: list[zmq.Socket[bytes]] = []

    def step() -> None:
        if len(sockets) < count:
            sockets.append(floods.deaf(rig.context, rig.paths, b"container/"))
        publish()

    floods.assert_flat(rig.broker, step, SECONDS, SETTLE)
    for each in sockets:
        each.close()


def test_deaf_and_joining_again(rig: Rig) -> None:
    """Deaf subscribers that leave and come back for ever."""
    publish = floods.lines(rig.publisher(TOPIC), MIB)
    sockets: list[zmq.Socket[bytes]] = []

    def step() -> None:
        sockets.append(floods.deaf(rig.context, rig.paths, b""))
        if len(sockets) > 20:
            sockets.pop(0).close()
        publish()

    floods.assert_flat(rig.broker, step, SECONDS, SETTLE)
    for each in sockets:
        each.close()


def test_many_busy_topics(rig: Rig) -> None:
    """A hundred and fifty topics whose buffers are all full of large lines."""
    publishers = [rig.publisher(b"container/%d/log" % number) for number in range(1, 151)]
    turns = itertools.cycle(publishers)

    def step() -> None:
        publisher: Publisher = next(turns)
        publisher.service()
        publisher.publish(Kind.LOG, b"x" * 300_000)
        time.sleep(0.002)

    floods.assert_flat(rig.broker, step, SECONDS, SETTLE)


PREFIXES: dict[str, Callable[[int], bytes]] = {
    "900 bytes": lambda n: b"container/%d/" % n + b"x" * 900,
    "100 bytes": lambda n: b"%09d" % n + b"x" * 90,
    "applications": lambda n: b"container/%d/" % (n + 1),
    "long ids": lambda n: b"deployment/%d/log" % (10**18 + n * 7_919),
    "metrics": lambda n: (
        b"metrics/" + str(n).encode().translate(bytes.maketrans(b"0123456789", b"abcdefghij"))
    ),
}


@pytest.mark.parametrize("peers", [1, 20])
@pytest.mark.parametrize("make", PREFIXES.values(), ids=list(PREFIXES))
def test_subscriptions(rig: Rig, make: Callable[[int], bytes], peers: int) -> None:
    """Subscriptions without end, from one peer or from many."""
    steps = [floods.subscriptions(rig.context, rig.paths, make) for _ in range(peers)]
    turns = itertools.cycle(steps)

    def step() -> None:
        next(turns)()

    floods.assert_flat(rig.broker, step, SECONDS, SETTLE)


@pytest.mark.parametrize("size", [100, 8_000, 65_000, 6 * MIB])
@pytest.mark.parametrize("peers", [1, 100])
def test_unread_replays(rig: Rig, size: int, peers: int) -> None:
    """Replays of a full buffer that their receivers do not read."""
    publisher = rig.publisher(TOPIC)
    for _ in range(1_000 if size < MIB else 2):
        publisher.publish(Kind.LOG, b"x" * size)
    step = floods.unread_requests(rig.context, rig.paths, TOPIC, peers)
    floods.assert_flat(rig.broker, step, SECONDS, SETTLE)


def test_requests_for_unknown_topics(rig: Rig) -> None:
    """Requests for topics that do not exist, none of which is read."""
    with rig.context.socket(zmq.DEALER) as dealer:
        dealer.linger, dealer.rcvhwm, dealer.sndtimeo = 0, 1, 100
        dealer.connect(rig.paths.endpoint("replay"))
        numbers = itertools.count(1)

        def step() -> None:
            with suppress(zmq.Again):  # the broker takes no more from a peer that does not read
                dealer.send_multipart(replay_request(b"x/%d" % next(numbers), START, 1))

        floods.assert_flat(rig.broker, step, SECONDS, SETTLE)


@pytest.mark.parametrize("name", ["events", "replay"])
def test_connections(rig: Rig, name: str) -> None:
    """New connections without end."""
    with floods.connections(str(rig.paths.runtime / name), batch=40) as step:
        floods.assert_flat(rig.broker, step, SECONDS, SETTLE)


def test_tap_connections() -> None:
    """New connections to the tap without a key, without end; neither process minds."""
    settings = Settings(bus=BusSettings(tap_bind=f"127.0.0.1:{free_port()}"))
    with bus.running(settings) as rig:
        tap = rig.run("bus.tap.main:main", "tap")
        address = split_address(settings.bus.tap_bind)
        with floods.connections(address, batch=100) as step:
            floods.assert_flat(tap, step, SECONDS, SETTLE)
        assert floods.memory(rig.broker) < floods.LIMIT
