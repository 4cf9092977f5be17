"""Who is listened to: edges go in, demands come out."""

from __future__ import annotations

import pytest

from bus.broker.control import SubscriptionChanged
from bus.topics import Demand
from supervisor.demand import Demands

ONE = Demand("container", 1)


def test_subscription_is_demand() -> None:
    """The first subscriber of a container makes it wanted."""
    demands = Demands(5.0)
    assert demands.apply(SubscriptionChanged(True, b"container/1/log"), 0.0) == ONE
    assert demands.wanted(ONE)


@pytest.mark.parametrize("prefix", [b"", b"container/", b"container/1", b"metrics/", b"nonsense"])
def test_prefix_without_a_target_demands_nothing(prefix: bytes) -> None:
    """A tap on everything starts no collector."""
    demands = Demands(5.0)
    assert demands.apply(SubscriptionChanged(True, prefix), 0.0) is None
    assert demands.due() is None


def test_last_prefix_begins_the_linger() -> None:
    """Two prefixes of one container are one demand."""
    demands = Demands(5.0)
    for prefix in (b"container/1/log", b"container/1/"):
        demands.apply(SubscriptionChanged(True, prefix), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/log"), 1.0)
    assert demands.due() is None
    demands.apply(SubscriptionChanged(False, b"container/1/"), 2.0)
    assert not demands.wanted(ONE)
    assert demands.due() == 7.0


def test_linger_ends_in_expiry() -> None:
    """Then nothing is known of the demand any more."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    assert demands.expire(5.9) == []
    assert demands.known(ONE)
    assert demands.expire(6.0) == [ONE]
    assert not demands.known(ONE)


def test_new_subscriber_ends_the_linger() -> None:
    """Somebody came back in time."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 2.0)
    assert demands.expire(100.0) == []


def test_unknown_end_of_a_subscription() -> None:
    """After a restart of the broker an end may come without its beginning; it expires too."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    assert demands.expire(6.0) == [ONE]


def test_restarted_broker_lets_everything_linger() -> None:
    """Subscriptions come back by themselves, or their collectors end."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(True, b"container/2/"), 0.0)
    demands.restart(10.0)
    demands.apply(SubscriptionChanged(True, b"container/2/"), 11.0)
    assert demands.expire(15.0) == [ONE]
    assert demands.wanted(Demand("container", 2))
