"""A worker's subscription to the bus: a plain ZeroMQ socket, watched by the event loop.

``zmq.green`` waits for each message through two events and a timer, which takes longer
than all the work on a single line.  Here one greenlet reads all available messages and
then sleeps on the socket's descriptor.
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

# The most messages and bytes that are put into rings before clients are flushed.
_ROUND_MESSAGES: Final = 32
_ROUND_BYTES: Final = 262_144


class Events:
    """The messages of the subscribed topics, to be read by one greenlet."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.drained = False
        """The last read found the socket empty."""
        # A context of its own, because the hub's is gevent's (zmq.green).
        self._socket = events_socket(zmq.Context(), paths, settings)
        self._readable: Any = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
        self.subscribe = self._socket.subscribe
        self.unsubscribe = self._socket.unsubscribe

    def receive(self) -> tuple[list[list[bytes]], int]:
        """Wait for messages.  Return the frames of each, and the size of all bodies in bytes.

        Return at most one round's worth, so that the clients are sent the messages while
        these are still in the processor's cache.
        """
        most = _ROUND_MESSAGES
        while not (arrived := self._available(most))[0]:
            gevent.get_hub().wait(self._readable)
            # After a pause take one message only: it is probably alone, and another receive
            # to find that out takes as long as the first.
            most = 1
        return arrived

    def _available(self, most: int) -> tuple[list[list[bytes]], int]:
        """Return the frames and the size of at most ``most`` available messages."""
        arrived: list[list[bytes]] = []
        size = 0
        # The descriptor is edge-triggered (ZMQ_FD in zmq_getsockopt(3)).  Waiting on it is
        # safe only after a receive that found nothing.
        with suppress(zmq.Again):
            while len(arrived) < most and size < _ROUND_BYTES:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                arrived.append(frames)
                size += len(frames[-1])
        # An end within the round may only mean that libzmq's thread has not refilled the short
        # queue (bus.receive_queue) yet.
        self.drained = not arrived
        return arrived, size
