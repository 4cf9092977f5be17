"""A worker's end of the bus with a real broker: one topic's trouble is not another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import Greenlet

from api.live.hub import Hub
from api.live.listener import Listener
from api.websocket.connection import Connection
from bus.broker.control import SubscriptionChanged
from bus.wire import Kind, Message
from tests.support import bus as bus_rig
from tests.support.bus import Rig
from tests.support.service.programs import kill
from tests.support.wait import wait_until

TOPIC = b"container/1/log"


class Counter(Listener):
    """Counts messages."""

    def __init__(self) -> None:
        self.taken = 0

    @property
    def clients(self) -> int:
        """Nobody, as far as it matters."""
        return 0

    def remove(self, connection: Connection) -> None:
        """There is none."""

    def feed(self, message: Message) -> None:
        """Count one more."""
        self.taken += 1

    def flush(self) -> None:
        """Nothing is sent."""


class Broken(Counter):
    """Counts, and then fails whatever it is asked to do."""

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
    """Those that a hub starts, which has no end of its own; here they end with the test."""
    started: list[Greenlet[..., object]] = []
    spawn = gevent.spawn

    def spawn_and_note(run: Callable[..., object], *arguments: object) -> Greenlet[..., object]:
        started.append(spawn(run, *arguments))
        return started[-1]

    monkeypatch.setattr(gevent, "spawn", spawn_and_note)
    yield started
    gevent.killall(started)


def _await_report(rig: Rig, wanted: SubscriptionChanged) -> None:
    """Let the hub run until the broker has reported this."""

    def reported() -> bool:
        return rig.pipe.poll(0) and wanted in rig.pipe.recv()

    wait_until(reported, str(wanted), sleep=gevent.sleep)


def _await_count(counter: Counter, count: int) -> None:
    wait_until(lambda: counter.taken >= count, f"{count} messages", sleep=gevent.sleep)


def test_a_topic_that_fails_leaves_the_others_alone() -> None:
    """Its errors are logged; events and turns go on for everybody."""
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


def test_more_messages_than_a_round_takes() -> None:
    """Large and small, after a pause and at once: each of them arrives."""
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
    """The broker is told, and the next one to open it gets a listener of its own."""
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
    """In words, for ``/readyz``."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        assert hub.problem() is None
        kill(rig.broker)
        problem = hub.problem()
        assert problem is not None
        assert "is mist up" in problem
