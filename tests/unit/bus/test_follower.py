"""Tests of the blocking follower against a real broker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from bus.follower import Follower
from bus.reorder import Gap
from bus.subscriber import ask_replay
from bus.wire import Kind, Message
from mist.errors import BusError
from mist.paths import Paths
from mist.settings import BusSettings, ReplaySettings, Settings, StreamSettings
from tests.support import bus as bus_rig
from tests.support.bus import PATIENCE, Rig
from tests.support.service.programs import kill
from tests.support.wait import wait_until

TOPIC = b"metrics/system"


@contextmanager
def following(rig: Rig, topic: bytes = TOPIC) -> Iterator[Follower]:
    """Return a follower of the rig's broker."""
    with Follower(rig.context, rig.paths, rig.settings, topic) as follower:
        yield follower


def take(follower: Follower, count: int) -> list[bytes | int]:
    """Return the bodies of the next messages, and the sizes of gaps."""
    found: list[bytes | int] = []

    def enough() -> bool:
        items = follower.take(0.2)
        found.extend(item.body if isinstance(item, Message) else item.lost for item in items)
        return len(found) >= count

    wait_until(enough, f"{count} messages", every=0.0)
    return found


def test_history_and_live_follow_each_other(rig: Rig) -> None:
    """Messages from before the subscription come first, and each message comes once."""
    publisher = rig.publisher(TOPIC)
    publisher.publish(Kind.METRICS, b"1")
    rig.await_seq(TOPIC, 1)
    with following(rig) as follower:
        assert take(follower, 1) == [b"1"]
        publisher.publish(Kind.METRICS, b"2")
        publisher.publish(Kind.METRICS, b"3")
        assert take(follower, 2) == [b"2", b"3"]
        assert follower.take(0.3) == []


def test_other_topics_of_the_prefix_are_left_out(rig: Rig) -> None:
    """Other topics with the same prefix are filtered out."""
    own, other = rig.publisher(b"container/1/log"), rig.publisher(b"container/1/log.old")
    with following(rig, b"container/1/log") as follower:
        assert follower.take(0.2) == []
        other.publish(Kind.STATUS, b"other")
        own.publish(Kind.STATUS, b"own")
        assert take(follower, 1) == [b"own"]


def test_no_broker_is_an_error(rig: Rig) -> None:
    """A missing broker is reported within bounded time."""
    elsewhere = Paths(rig.paths.home, rig.paths.home / "nowhere")
    with (
        Follower(rig.context, elsewhere, rig.settings, TOPIC) as follower,
        pytest.raises(BusError, match="is mist up"),
    ):
        follower.take(PATIENCE)


def test_a_restarted_broker_is_waited_for(rig: Rig) -> None:
    """The stream continues after a crash of the broker, without a gap or a repetition."""
    publisher = rig.publisher(TOPIC)
    with following(rig) as follower:
        publisher.publish(Kind.METRICS, b"1")
        assert take(follower, 1) == [b"1"]
        kill(rig.broker)
        rig.start()

        def sent_again() -> bool:
            publisher.service()
            follower.take(0.01)
            return ask_replay(rig.context, rig.paths, TOPIC).seq == 1

        wait_until(sent_again, "what the old broker may have lost")
        publisher.publish(Kind.METRICS, b"2")
        assert take(follower, 1) == [b"2"]


def test_lost_messages_are_asked_for() -> None:
    """A follower that falls behind gets its lost messages by a replay."""
    settings = Settings(
        bus=BusSettings(subscriber_queue=1),
        streams=StreamSettings(reconcile_seconds=0.1),
        replay=ReplaySettings(),
    )
    with bus_rig.running(settings) as rig, following(rig) as follower:
        publisher = rig.publisher(TOPIC)
        publisher.publish(Kind.METRICS, b"0")
        assert take(follower, 1) == [b"0"]
        sent = [b"%d" % number + b" " * 40_000 for number in range(1, 150)]
        for body in sent:
            publisher.publish(Kind.METRICS, body)
        rig.await_seq(TOPIC, 150)
        assert take(follower, 149) == sent


def test_a_follower_that_comes_back_asks_at_once() -> None:
    """What a follower missed while it was away does not wait for the next turn or message."""
    settings = Settings(streams=StreamSettings(reconcile_seconds=1_000))
    with bus_rig.running(settings) as rig, following(rig) as follower:
        publisher = rig.publisher(TOPIC)
        publisher.publish(Kind.METRICS, b"0")
        assert take(follower, 1) == [b"0"]
        follower._events.unsubscribe(TOPIC)
        publisher.publish(Kind.METRICS, b"1")
        rig.await_seq(TOPIC, 2)
        follower._events.subscribe(TOPIC)
        assert take(follower, 1) == [b"1"]


def test_what_nobody_remembers_is_a_gap() -> None:
    """A gap counts the messages that the replay buffer no longer has."""
    settings = Settings(
        bus=BusSettings(subscriber_queue=1),
        streams=StreamSettings(reconcile_seconds=0.1),
        replay=ReplaySettings(bytes=100_000),
    )
    with bus_rig.running(settings) as rig, following(rig) as follower:
        publisher = rig.publisher(TOPIC)
        publisher.publish(Kind.METRICS, b"0")
        assert take(follower, 1) == [b"0"]
        for _ in range(150):
            publisher.publish(Kind.METRICS, b" " * 40_000)
        rig.await_seq(TOPIC, 151)
        found: list[Message | Gap] = []

        def covered() -> int:
            found.extend(follower.take(0.2))
            return sum(item.lost if isinstance(item, Gap) else 1 for item in found)

        wait_until(lambda: covered() >= 150, "150 messages, or the gaps for them", every=0.0)
        assert covered() == 150
        assert any(isinstance(item, Gap) for item in found)


def test_a_closed_output_ends_the_following(rig: Rig) -> None:
    """A closed output ends the subscription even if no message arrives."""
    read, write = os.pipe()
    with Follower(rig.context, rig.paths, rig.settings, TOPIC, write) as follower:
        assert follower.take(0.1) == []
        os.close(read)
        with pytest.raises(BrokenPipeError):
            follower.take(PATIENCE)
    os.close(write)


def test_waiting_for_a_broker_costs_nothing(rig: Rig) -> None:
    """A follower sleeps while the broker is away."""
    with following(rig) as follower:
        assert follower.take(0.05) == []
        kill(rig.broker)
        before = time.thread_time()
        follower.take(1.0)
        assert time.thread_time() - before < 0.2


def test_context_ends_with_nothing_queued(rig: Rig) -> None:
    """A closed follower leaves nothing queued."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    Follower(context, rig.paths, rig.settings, TOPIC).close()
    context.term()
