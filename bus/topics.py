"""The topics of the bus, and the demand that a subscription expresses.

A topic is ``kind/id/what``, and a subscription is a prefix of topics.  Every useful
prefix includes the slash after the id: ``container/1/`` is not a prefix of
``container/10/log``.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, cast

from mist.ids import MAX_ID

TopicKind = Literal["container", "deployment", "metrics", "containers", "stats"]

METRICS: Final = b"metrics/system"
STATS: Final = b"stats/"
CONTAINERS: Final = b"containers/host"
"""The list of the host's containers, and their figures."""

# The beginnings of topics.  Their length is bounded, because libzmq takes some hundred bytes
# of memory for each byte of a subscription.
_KINDS: Final = (b"container/", b"deployment/", b"metrics/", b"containers/", b"stats/")
# The name of a container, as ``mist.validation`` allows it.
_NAME: Final = rb"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}"
_PREFIX = re.compile(
    rb"(?:container|deployment)/(?:[1-9][0-9]{0,18}(?:/[a-z]{0,16})?)?"
    rb"|(?:metrics|containers)/[a-z]{0,16}|stats/(?:" + _NAME + rb"(?:/[a-z]{0,16})?)?"
)

# The ids of the store: at most 19 digits (mist/ids.py), without leading zeros.
_DEMAND = re.compile(rb"(container|deployment)/([1-9][0-9]{0,18})/")
_STATS = re.compile(rb"stats/(" + _NAME + rb")/")


class Demand(NamedTuple):
    """What a subscription asks for: a log, the list of containers, or a container's figures."""

    kind: TopicKind
    id: int = 0
    """The application's or the deployment's, for the kinds ``container`` and ``deployment``."""
    name: str = ""
    """The container's, for the kind ``stats``."""


def container_log(app_id: int) -> bytes:
    """Return the topic of an application's container log."""
    return b"container/%d/log" % app_id


def deployment_log(deployment_id: int) -> bytes:
    """Return the topic of a deployment's log and status."""
    return b"deployment/%d/log" % deployment_id


def container_stats(name: str) -> bytes:
    """Return the topic of the figures of the container with this name."""
    return b"stats/%b/samples" % name.encode()


def is_prefix(subscription: bytes) -> bool:
    """Return True if a topic of the bus can begin with ``subscription``, which may be empty."""
    return bool(_PREFIX.fullmatch(subscription)) or any(
        kind.startswith(subscription) for kind in _KINDS
    )


def demand(subscription: bytes) -> Demand | None:
    """Return the demand of ``subscription``, a prefix of topics; None if it demands nothing.

    A prefix that does not name one container or deployment, such as ``container/`` or the
    empty prefix, receives whatever is published.  ``containers/`` names a single topic.
    """
    if subscription.startswith(b"containers/"):
        return Demand("containers")
    named = _STATS.match(subscription)
    if named is not None:
        return Demand("stats", name=named[1].decode())
    # Otherwise one curious tap would start a collector for every container.
    match = _DEMAND.match(subscription)
    if match is None:
        return None
    number = int(match[2])
    if number > MAX_ID:
        return None
    return Demand(cast(TopicKind, match[1].decode()), number)
