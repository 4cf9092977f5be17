"""The broker as a process."""

from __future__ import annotations

import resource
from multiprocessing.connection import Connection
from typing import Final

import zmq

from bus.broker.server import Broker
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings

# The interpreter with the program and its threads' stacks.
_PROGRAM_BYTES: Final = 67_108_864


def main(_assignment: Assignment, settings: Settings, paths: Paths, pipe: Connection) -> None:
    """Serve within ``bus.memory_bytes`` until the supervisor has gone or stops the broker."""
    # Everything is counted in bytes, except the frames of a message whose last one does not
    # come: libzmq keeps them all, and does not tell whose they are.  It aborts when it gets no
    # more memory.  The supervisor starts another broker within a second, and no subscriber
    # loses a message.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = max(settings.bus.memory_bytes, _needed(settings))
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    serve(settings, paths, pipe)


def _needed(settings: Settings) -> int:
    """Return the memory that the broker may need within its other bounds, in bytes."""
    queued = settings.bus.unsent_bytes + settings.bus.replay_bytes
    # The allocator may keep as much as the buffers take.
    return 2 * settings.replay.total_bytes + queued + _PROGRAM_BYTES


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
