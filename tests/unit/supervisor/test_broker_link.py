"""Tests of the pipe to the broker, whose end the test plays."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bus.broker.control import BrokerReady, DropTopic, SubscriptionChanged
from supervisor.broker_link import BrokerLink

DROP = DropTopic(b"container/1/log", 1)


@pytest.fixture
def link() -> Iterator[BrokerLink]:
    """Return a link without a broker."""
    made = BrokerLink()
    yield made
    made.close()


def test_reports_arrive_in_order(link: BrokerLink) -> None:
    """Reports arrive in order, however they were batched."""
    with link.renew() as broker:
        broker.send([BrokerReady(7), SubscriptionChanged(True, b"a")])
        broker.send([SubscriptionChanged(False, b"a")])
        assert link.reports() == [
            BrokerReady(7),
            SubscriptionChanged(True, b"a"),
            SubscriptionChanged(False, b"a"),
        ]
        assert link.reports() == []
        assert link.descriptor is not None


def test_commands_reach_the_broker(link: BrokerLink) -> None:
    """Each command arrives as one message."""
    with link.renew() as broker:
        link.send(DROP)
        assert broker.recv() == DROP


def test_end_of_the_broker_is_the_end_of_the_pipe(link: BrokerLink) -> None:
    """Reports from before the broker's end still count."""
    with link.renew() as broker:
        broker.send([BrokerReady(7)])
    assert link.reports() == [BrokerReady(7)]
    assert link.descriptor is None
    assert link.reports() == []


def test_broker_that_is_away_is_not_told(link: BrokerLink) -> None:
    """Commands are dropped before the first broker and after a broker's unnoticed end."""
    link.send(DROP)
    link.renew().close()
    link.send(DROP)
    assert link.reports() == []
    link.send(DROP)


def test_broker_that_does_not_read_misses_nothing(link: BrokerLink) -> None:
    """Once the pipe is full, commands wait for room, and the supervisor does not."""
    with link.renew() as broker:
        sent = 10_000
        for term in range(sent):
            link.send(DropTopic(b"x" * 100, term))
        assert link.blocked
        got: list[int] = []
        while len(got) < sent:
            assert broker.poll(10)
            got.append(broker.recv().term)
            link.flush()
        assert got == list(range(sent))
        assert not link.blocked
    link.close()


def test_commands_for_a_broker_that_ended_are_dropped(link: BrokerLink) -> None:
    """The next broker starts with nothing."""
    with link.renew():
        for term in range(10_000):
            link.send(DropTopic(b"x" * 100, term))
    with link.renew() as broker:
        assert not link.blocked
        link.send(DROP)
        assert broker.recv() == DROP


def test_next_broker_has_a_pipe_of_its_own(link: BrokerLink) -> None:
    """A new broker has a new pipe, with nothing of the old one."""
    with link.renew() as old, link.renew() as new:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            old.send([BrokerReady(1)])
        new.send([BrokerReady(2)])
        assert link.reports() == [BrokerReady(2)]


def test_one_that_is_torn_is_over(link: BrokerLink) -> None:
    """A partial report from a killed broker closes the pipe."""
    with link.renew() as broker:
        os.write(broker.fileno(), b"\x00\x00\x01\x00half")
    assert link.reports() == []
    assert link.descriptor is None
