"""The control messages between broker and supervisor, sent over a private pipe."""

from __future__ import annotations

from typing import NamedTuple


class SubscriptionChanged(NamedTuple):
    """Broker to supervisor: a subscriber joined a prefix, or the last one left.

    Each new subscriber is reported, even if the prefix has others.  The departure of the
    last subscriber is reported once.
    """

    subscribed: bool
    prefix: bytes


class BrokerReady(NamedTuple):
    """Broker to supervisor: the sockets are bound."""

    pid: int


Report = SubscriptionChanged | BrokerReady


class DropTopic(NamedTuple):
    """Supervisor to broker: drop the topic's buffer, because its collector has gone.

    The buffer stays if a collector with a later ``term`` (fencing token) has claimed it.
    """

    topic: bytes
    term: int


class RejectTopic(NamedTuple):
    """Supervisor to broker: tell the topic's subscribers why it has no collector."""

    topic: bytes
    body: bytes
    """An ``error`` message."""
    code: int
    """The WebSocket close code."""
    keep: bool = True
    """Keep the message for later subscribers, in a buffer of the topic."""


Command = DropTopic | RejectTopic
