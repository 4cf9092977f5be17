"""The broker as a process."""

from __future__ import annotations

import resource
from multiprocessing.connection import Connection

import zmq

from bus.broker.server import Broker
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings


def main(_assignment: Assignment, settings: Settings, paths: Paths, pipe: Connection) -> None:
    """Serve within ``bus.memory_bytes`` until the supervisor has gone or stops the broker."""
    # Everything is counted in bytes, except the frames of a message whose last one does not
    # come: libzmq keeps them all, and does not tell whose they are.  It aborts when it gets no
    # more memory; the next broker is there within a second, and nobody has lost anything.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = settings.bus.memory_bytes
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    serve(settings, paths, pipe)


def serve(settings: Settings, paths: Paths, pipe: Connection) -> None:
    """Serve until the pipe closes."""
    # Created here, after the fork: a ZeroMQ context does not survive one.
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    broker = Broker(context, settings, paths, pipe)
    try:
        broker.serve()
    finally:
        broker.close()
        context.term()
