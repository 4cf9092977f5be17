"""The tap as a process: a subscriber of the broker that forwards to its own subscribers.

It is a process of its own because its port is open to the network, and libzmq aborts a
process that runs out of file descriptors.  Nothing else depends on it, and the
supervisor starts it again.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

import zmq

from bus.broker.fanout import Fanout
from bus.coalesce import Coalescer
from bus.subscriber import connect_events
from bus.tap.curve import Curve
from mist import heartbeat
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings

# The most messages that one round takes from the broker.
_ROUND: Final = 256
# libzmq disconnects a peer that sends more.  A CURVE handshake needs about 400 bytes.
_FRAME_BYTES: Final = 1_024
# The loop turns this often even when there is nothing to do (``mist.heartbeat``).
_TURN_MS: Final = int(heartbeat.BEAT_SECONDS * 1000)


def main(_assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Forward until SIGTERM.

    Raise SettingsError for a wrong ``bus.tap_bind``, BusError if its port is taken.
    """
    # Created here, after the fork: a ZeroMQ context does not survive one.
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with (
            Curve(context, settings, paths) as curve,
            closing(Tap(context, settings, paths)) as tap,
        ):
            curve.bind(tap.fanout.socket)
            tap.serve()
    finally:
        context.term()


class Tap:
    """Forward messages from the broker, and subscriptions to it."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, paths: Paths
    ) -> None:
        self._coalescer = Coalescer(settings.bus.gather_seconds)
        self._events = connect_events(context.socket(zmq.XSUB), paths, settings)
        self.fanout = Fanout(
            context.socket(zmq.XPUB),
            settings.bus,
            "tap",
            connections=settings.bus.tap_connections,
            frame_bytes=_FRAME_BYTES,
        )
        self._poller = zmq.Poller()
        for socket in (self._events, self.fanout.socket, self.fanout.peers.monitor):
            self._poller.register(socket, zmq.POLLIN)

    def serve(self) -> None:
        """Forward for ever."""
        while True:
            self.step(_TURN_MS)
            heartbeat.beat()
            self._coalescer.rest()

    def step(self, timeout_ms: int | None) -> None:
        """Poll once and handle whatever is ready."""
        ready = dict(self._poller.poll(timeout_ms))
        if self.fanout.peers.monitor in ready:
            self.fanout.peers.update()
        if self.fanout.socket in ready:
            for change in self.fanout.changes():
                # XSUB counts subscriptions, and XPUB reports only the end of the last one.
                if change.first or not change.subscribed:
                    self._events.send(bytes([change.subscribed]) + change.prefix)
        if self._events in ready:
            self._forward()

    def close(self) -> None:
        """Close the sockets."""
        self._events.close()
        self.fanout.close(linger=0)

    def _forward(self) -> None:
        for _ in range(_ROUND):
            try:
                self.fanout.send(self._events.recv_multipart(zmq.DONTWAIT))
            except zmq.Again:
                return
