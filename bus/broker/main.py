"""The broker as a process."""

from __future__ import annotations

from multiprocessing.connection import Connection

import zmq

from bus.broker.server import Broker
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings


def main(_assignment: Assignment, settings: Settings, paths: Paths, pipe: Connection) -> None:
    """Serve until the supervisor has gone or stops the broker."""
    # Created here, after the fork: a ZeroMQ context does not survive one.
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    broker = Broker(context, settings, paths, pipe)
    try:
        broker.serve()
    finally:
        broker.close()
        context.term()
