"""Topics of the bus, and what a subscription demands.

A topic is ``kind/id/what`` and a subscription is a prefix of topics, so the
slash after the id is part of every useful prefix: ``container/1/`` is no prefix
of ``container/10/log``.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, cast

from mist.ids import MAX_ID

TopicKind = Literal["container", "deployment", "metrics"]

METRICS: Final = b"metrics/system"

_DEMAND = re.compile(rb"(container|deployment)/([1-9][0-9]{0,18})/")


class Demand(NamedTuple):
    """The one thing that a subscription asks to be collected."""

    kind: TopicKind
    id: int


def container_log(app_id: int) -> bytes:
    """The topic of an application's container log."""
    return b"container/%d/log" % app_id


def deployment_log(deployment_id: int) -> bytes:
    """The topic of a deployment's log and status."""
    return b"deployment/%d/log" % deployment_id


def demand(subscription: bytes) -> Demand | None:
    """What ``subscription`` (a prefix of topics) demands, or None.

    A prefix that names no single container or deployment, such as
    ``container/`` or the empty one, listens to whatever is there and starts
    nothing: otherwise one curious tap would start a collector for everything.
    """
    match = _DEMAND.match(subscription)
    if match is None:
        return None
    number = int(match[2])
    if number > MAX_ID:
        return None
    return Demand(cast(TopicKind, match[1].decode()), number)
