"""What the broker and the supervisor tell each other, over a pipe that only they hold."""

from __future__ import annotations

from typing import NamedTuple


class SubscriptionChanged(NamedTuple):
    """Broker to supervisor: somebody subscribed to a prefix, or nobody is left who does.

    Each new subscriber is told, also of a prefix that others have; that the
    last one left is told once.
    """

    subscribed: bool
    prefix: bytes


class BrokerReady(NamedTuple):
    """Broker to supervisor: the sockets are bound."""

    pid: int


Report = SubscriptionChanged | BrokerReady


class DropTopic(NamedTuple):
    """Supervisor to broker: the topic's collector of this term is gone, drop the buffer.

    What a later collector has claimed in the meantime stays.
    """

    topic: bytes
    term: int


class RejectTopic(NamedTuple):
    """Supervisor to broker: tell the topic's subscribers why nothing will come.

    ``body`` is an ``error`` message, ``code`` the WebSocket close code.
    """

    topic: bytes
    body: bytes
    code: int


Command = DropTopic | RejectTopic
