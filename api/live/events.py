"""A worker's subscription to the bus: ZeroMQ's own socket, waited for by the event loop.

``zmq.green`` would wait for each message through two events and a timer, which
takes longer than all that is done with a lone line.  Here one greenlet reads
what there is, and then sleeps on the socket's descriptor.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import gevent
import zmq

from bus.subscriber import events_socket
from mist.paths import Paths
from mist.settings import Settings

# libev's EV_READ.
_READ: Final = 1

# How much is put into rings before the clients are sent what they have.
_ROUND_MESSAGES: Final = 32
_ROUND_BYTES: Final = 262_144


class Events:
    """What the broker sends for the topics that are subscribed to; for one greenlet to read."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.drained = False
        """The last look at the socket took all that was there."""
        self._socket = events_socket(zmq.Context(), paths, settings)
        self._readable: Any = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
        self.subscribe = self._socket.subscribe
        self.unsubscribe = self._socket.unsubscribe

    def receive(self) -> tuple[list[list[bytes]], int]:
        """The frames of the messages that are there, and their bytes; blocks until there is one.

        No more than a round's worth: their receivers are to have them, too, while
        they are still in the processor's cache.  And after a wait only the first,
        for to find that it is alone takes as long as to receive it.
        """
        most = _ROUND_MESSAGES
        while not (arrived := self._available(most))[0]:
            gevent.get_hub().wait(self._readable)
            most = 1
        return arrived

    def _available(self, most: int) -> tuple[list[list[bytes]], int]:
        """What is there now.

        The descriptor tells of a change, not of a state (``zmq_getsockopt(3)``,
        ZMQ_FD), so it may be waited for only when there was nothing more to receive.
        """
        arrived: list[list[bytes]] = []
        size = 0
        self.drained = True
        with suppress(zmq.Again):
            while len(arrived) < most and size < _ROUND_BYTES:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                arrived.append(frames)
                size += len(frames[-1])
            self.drained = False
        return arrived, size
