"""Tests of a worker's bus client with a real broker: topics fail independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import Greenlet

from api.live.hub import Hub
from api.live.listener import Listener
from api.websocket.connection import Connection
from bus.broker.control import SubscriptionChanged
from bus.replay import Position, Snapshot
from bus.subscriber import events_socket
from bus.wire import Kind, Message
from mist.settings import Settings, StreamSettings
from tests.support import bus as bus_rig
from tests.support.bus import Rig
from tests.support.service.programs import kill
from tests.support.wait import wait_until

TOPIC = b"container/1/log"


class Counter(Listener):
    """A listener that counts messages."""

    def __init__(self) -> None:
        self.taken = 0

    @property
    def clients(self) -> int:
        """Return no clients."""
        return 0

    def remove(self, connection: Connection) -> None:
        """Do nothing, because there are no clients."""

    def feed(self, message: Message) -> None:
        """Count one more."""
        self.taken += 1

    def flush(self) -> None:
        """Do nothing, because there are no clients."""


class Behind(Counter):
    """A listener that lacks something of its topic, and counts replays."""

    position = Position(1, 1)

    def fill(self, snapshot: Snapshot, *, settled: bool) -> None:
        """Count one more."""
        self.taken += 1


class Broken(Counter):
    """A listener that counts calls and fails in each of them."""

    def feed(self, message: Message) -> None:
        """Count and fail."""
        super().feed(message)
        raise RuntimeError("feed")

    def flush(self) -> None:
        """Fail."""
        raise RuntimeError("flush")

    def reconcile(self) -> None:
        """Count and fail."""
        self.taken += 1
        raise RuntimeError("reconcile")


@pytest.fixture(autouse=True)
def greenlets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Greenlet[..., object]]]:
    """Kill the hub's greenlets at the end of the test, because the hub never ends them."""
    started: list[Greenlet[..., object]] = []
    spawn = gevent.spawn

    def spawn_and_note(run: Callable[..., object], *arguments: object) -> Greenlet[..., object]:
        started.append(spawn(run, *arguments))
        return started[-1]

    monkeypatch.setattr(gevent, "spawn", spawn_and_note)
    yield started
    gevent.killall(started)


def _await_report(rig: Rig, wanted: SubscriptionChanged) -> None:
    """Run the hub until the broker reports this."""

    def reported() -> bool:
        return rig.pipe.poll(0) and wanted in rig.pipe.recv()

    wait_until(reported, str(wanted), sleep=gevent.sleep)


def _await_count(counter: Counter, count: int) -> None:
    wait_until(lambda: counter.taken >= count, f"{count} messages", sleep=gevent.sleep)


def test_a_topic_that_fails_leaves_the_others_alone() -> None:
    """A failing topic is logged, and the other topics keep getting events and turns."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        hub.start()
        broken = hub.open(TOPIC, Broken)
        sound = hub.open(b"container/2/log", Counter)
        wait_until(lambda: broken.taken > 1, "two turns", sleep=gevent.sleep)
        publishers = [rig.publisher(b"container/%d/log" % number) for number in (1, 2)]
        for number in range(1, 4):
            before = broken.taken
            for publisher in publishers:
                publisher.publish(Kind.LOG, b"{}")
            _await_count(sound, number)
            _await_count(broken, before + 1)
        for publisher in publishers:
            publisher.close()


def test_a_position_that_a_listener_lacks_leads_to_a_replay() -> None:
    """The broker tells its position; a worker that lacks something asks without waiting."""
    settings = Settings(streams=StreamSettings(reconcile_seconds=1_000))
    with bus_rig.running(settings) as rig:
        publisher = rig.publisher(TOPIC)
        publisher.publish(Kind.LOG, b"{}")
        rig.await_seq(TOPIC, 1)
        hub = Hub(rig.paths, rig.settings)
        hub.start()
        behind = hub.open(TOPIC, Behind)
        _await_count(behind, 1)
        with events_socket(rig.context, rig.paths, rig.settings) as another:
            another.subscribe(TOPIC)
            _await_count(behind, 2)
        publisher.close()


def test_more_messages_than_a_round_takes() -> None:
    """More messages than one round takes, large and small, all arrive."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        hub.start()
        counter = hub.open(TOPIC, Counter)
        _await_report(rig, SubscriptionChanged(True, TOPIC))
        publisher = rig.publisher(TOPIC)
        wanted = 0
        for size, count in ((2, 100), (100_000, 20), (2, 1)):
            for _ in range(count):
                publisher.publish(Kind.LOG, b"x" * size)
            wanted += count
            _await_count(counter, wanted)
            assert counter.taken == wanted
        publisher.close()


def test_a_topic_without_clients_is_left() -> None:
    """Leaving a topic unsubscribes, and opening it again makes a new listener."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        hub.start()
        first = hub.open(TOPIC, Counter)
        assert hub.open(TOPIC, Counter) is first
        _await_report(rig, SubscriptionChanged(True, TOPIC))
        assert hub.topics == 1
        hub.leave(TOPIC)
        hub.leave(b"never/opened")
        _await_report(rig, SubscriptionChanged(False, TOPIC))
        assert hub.topics == 0
        assert hub.open(TOPIC, Counter) is not first


def test_a_broker_that_is_away_is_a_problem() -> None:
    """A missing broker is described in words for ``/readyz``."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        assert hub.problem() is None
        kill(rig.broker)
        problem = hub.problem()
        assert problem is not None
        assert "is mist up" in problem
