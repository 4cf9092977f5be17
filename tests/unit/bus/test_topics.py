"""Tests of topics and of what a subscription demands."""

from __future__ import annotations

import pytest

from bus import topics
from bus.topics import Demand
from mist.ids import MAX_ID


def test_a_topic_is_a_prefix_of_no_other() -> None:
    """The slash after the id keeps application 1 apart from application 10."""
    assert not topics.container_log(10).startswith(b"container/1/")
    assert topics.container_log(1).startswith(b"container/1/")


@pytest.mark.parametrize(
    ("subscription", "demand"),
    [
        (topics.container_log(7), Demand("container", 7)),
        (b"container/7/", Demand("container", 7)),
        (b"container/7/log/more", Demand("container", 7)),
        (topics.deployment_log(15), Demand("deployment", 15)),
        (b"container/%d/" % MAX_ID, Demand("container", MAX_ID)),
        (topics.CONTAINERS, Demand("containers")),
        (b"containers/", Demand("containers")),
        (topics.container_stats("web"), Demand("stats", name="web")),
        (b"stats/77/", Demand("stats", name="77")),
        (b"stats/" + b"x" * 128 + b"/", Demand("stats", name="x" * 128)),
    ],
)
def test_a_subscription_to_one_thing_demands_it(subscription: bytes, demand: Demand) -> None:
    """A subscription to a single container or deployment demands it."""
    assert topics.demand(subscription) == demand


@pytest.mark.parametrize(
    "subscription",
    [
        b"",
        b"container",
        b"container/",
        b"container/7",
        b"container/07/",
        b"container/0/",
        b"container/-1/",
        b"container/x/",
        b"container/\xff/",
        b"Container/7/",
        b" container/7/",
        b"container/%d/" % (MAX_ID + 1),
        b"container/99999999999999999999/",
        topics.METRICS,
        *(b"containers", b"containersx/", b"stats/", b"stats/web", b"stats//", b"stats/-x/"),
        *(b"stats/x/", b"stats/a b/", b"stats/" + b"x" * 129 + b"/", b"stats/caf\xc3\xa9/"),
        *(b"stats/web\n/", b"stats/../x/"),
    ],
)
def test_any_other_subscription_demands_nothing(subscription: bytes) -> None:
    """A subscription to everything, or to garbage, demands nothing."""
    assert topics.demand(subscription) is None


@pytest.mark.parametrize(
    "prefix",
    [
        *(b"", b"c", b"container/", b"container/1", b"container/1/", b"container/1/log"),
        *(b"deployment/9223372036854775807/log", b"metrics", b"metrics/system"),
        *(b"containers", b"containers/", topics.CONTAINERS, b"s", b"stats/", b"stats/web/"),
        topics.container_stats("x" * 128),
    ],
)
def test_beginnings_of_topics(prefix: bytes) -> None:
    """Whatever a topic can begin with may be subscribed to."""
    assert topics.is_prefix(prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        *(b"x", b"containerz", b"container/0", b"container/01/", b"container/x/", b"metrics/a b"),
        *(b"container/1/log\n", b"container/1/" + b"x" * 17, b"container/12345678901234567890/"),
        *(b"metrics/system\0", b"deployment//log", b"Container/1/", b"containers/host\n"),
        *(b"containers/" + b"x" * 17, b"stats//", b"stats/x/", b"stats/a b/", b"stats/xx/a/b"),
        *(b"stats/" + b"x" * 129, b"stats/.x/", b"stats/xx/" + b"x" * 17, b"stats/xx\n/"),
    ],
)
def test_what_no_topic_begins_with(prefix: bytes) -> None:
    """Other subscriptions match nothing."""
    assert not topics.is_prefix(prefix)
