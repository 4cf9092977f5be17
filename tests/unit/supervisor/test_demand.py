"""Tests of turning subscription changes into demand."""

from __future__ import annotations

import pytest

from bus.broker.control import SubscriptionChanged
from bus.topics import Demand
from supervisor.demand import Demands

ONE = Demand("container", 1)


def test_subscription_is_demand() -> None:
    """The first subscriber of a container creates demand for it."""
    demands = Demands(5.0)
    assert demands.apply(SubscriptionChanged(True, b"container/1/log"), 0.0) == ONE
    assert demands.wanted(ONE)


@pytest.mark.parametrize("prefix", [b"", b"container/", b"container/1", b"metrics/", b"nonsense"])
def test_prefix_without_a_target_demands_nothing(prefix: bytes) -> None:
    """A subscription to everything starts no collector."""
    demands = Demands(5.0)
    assert demands.apply(SubscriptionChanged(True, prefix), 0.0) is None
    assert demands.due() is None


def test_last_prefix_begins_the_linger() -> None:
    """Demand lingers once the last of a container's subscriptions ends."""
    demands = Demands(5.0)
    for prefix in (b"container/1/log", b"container/1/"):
        demands.apply(SubscriptionChanged(True, prefix), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/log"), 1.0)
    assert demands.due() is None
    demands.apply(SubscriptionChanged(False, b"container/1/"), 2.0)
    assert not demands.wanted(ONE)
    assert demands.due() == 7.0


def test_linger_ends_in_expiry() -> None:
    """Demand expires after the linger and leaves nothing behind."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    assert demands.expire(5.9) == []
    assert demands.known(ONE)
    assert demands.expire(6.0) == [ONE]
    assert not demands.known(ONE)


def test_new_subscriber_ends_the_linger() -> None:
    """A new subscriber ends the linger."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 2.0)
    assert demands.expire(100.0) == []


def test_unknown_end_of_a_subscription() -> None:
    """An end without a beginning, possible after a broker's restart, expires as well."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(False, b"container/1/"), 1.0)
    assert demands.expire(6.0) == [ONE]


def test_restarted_broker_lets_everything_linger() -> None:
    """All demand lingers when the broker restarts, until subscriptions come back."""
    demands = Demands(5.0)
    demands.apply(SubscriptionChanged(True, b"container/1/"), 0.0)
    demands.apply(SubscriptionChanged(True, b"container/2/"), 0.0)
    demands.restart(10.0)
    demands.apply(SubscriptionChanged(True, b"container/2/"), 11.0)
    assert demands.expire(15.0) == [ONE]
    assert demands.wanted(Demand("container", 2))
