"""A worker's end of the bus with a real broker: one topic's trouble is not another's."""

from __future__ import annotations

import gevent

from api.live.hub import Hub
from api.live.listener import Listener
from api.websocket.connection import Connection
from bus.broker.control import SubscriptionChanged
from bus.wire import Kind, Message
from tests.support import bus as bus_rig
from tests.support.wait import wait_until


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


def _await_count(counter: Counter, count: int) -> None:
    wait_until(lambda: counter.taken >= count, f"{count} messages", sleep=gevent.sleep)


def test_a_topic_that_fails_leaves_the_others_alone() -> None:
    """Its errors are logged; events and turns go on for everybody."""
    with bus_rig.running() as rig:
        hub = Hub(rig.paths, rig.settings)
        hub.start()
        broken = hub.open(b"container/1/log", Broken)
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
        counter = hub.open(b"container/1/log", Counter)
        reports: list[object] = []
        while SubscriptionChanged(True, b"container/1/log") not in reports:
            assert rig.pipe.poll(bus_rig.PATIENCE)
            reports += rig.pipe.recv()
        publisher = rig.publisher(b"container/1/log")
        wanted = 0
        for size, count in ((2, 100), (100_000, 20), (2, 1)):
            for _ in range(count):
                publisher.publish(Kind.LOG, b"x" * size)
            wanted += count
            _await_count(counter, wanted)
            assert counter.taken == wanted
        publisher.close()
