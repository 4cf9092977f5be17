"""A subscriber's sockets: live messages, and the replay of missed ones.

The ZeroMQ context is handed in, so that the web tier can bring gevent's.  It is made
after the fork, never before it.
"""

from __future__ import annotations

import time
from typing import Final

import zmq

from bus import wire
from bus.replay import START, Position, Snapshot, parse_replay_reply
from bus.replay_client import ReplayClient
from mist.errors import BusError
from mist.paths import Paths, out_of_reach
from mist.settings import Settings

# How soon a subscriber tries again to reach a broker that is restarted.
_RECONNECT_MS: Final = 20


def events_socket(
    context: zmq.Context[zmq.Socket[bytes]], paths: Paths, settings: Settings
) -> zmq.Socket[bytes]:
    """A SUB socket on the broker's ``events``, subscribed to nothing yet."""
    socket = context.socket(zmq.SUB)
    socket.linger = 0
    socket.rcvhwm = settings.bus.subscriber_queue
    socket.maxmsgsize = wire.MAX_MESSAGE_BYTES
    socket.reconnect_ivl = _RECONNECT_MS
    socket.connect(paths.endpoint("events"))
    return socket


def replay_socket(
    context: zmq.Context[zmq.Socket[bytes]], paths: Paths, *, immediate: bool = True
) -> zmq.Socket[bytes]:
    """A DEALER socket on the broker's ``replay``.

    While the broker is away it takes no request; unless ``immediate`` is false:
    then it keeps requests for a broker that comes.
    """
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.immediate = immediate  # holds for connections that are made from here on
    socket.connect(paths.endpoint("replay"))
    return socket


def ask_replay(
    context: zmq.Context[zmq.Socket[bytes]],
    paths: Paths,
    topic: bytes,
    after: Position = START,
    timeout: float = 5.0,
) -> Snapshot:
    """One replay, blocking; BusError if the broker does not answer in ``timeout`` seconds."""
    with replay_socket(context, paths, immediate=False) as socket:
        socket.send_multipart(ReplayClient(topic).ask(time.monotonic(), after))
        # Not RCVTIMEO, which gevent's sockets do not know.
        if not socket.poll(int(timeout * 1000), zmq.POLLIN):
            endpoint = paths.endpoint("replay")
            raise unanswered(paths, "replay", f"no broker answers on {endpoint}; is mist up?")
        # The socket is new and asks once, so there is no other answer to tell this one from.
        return parse_replay_reply(socket.recv_multipart())


def unanswered(paths: Paths, name: str, text: str) -> BusError:
    """Why nobody answers at an endpoint: ``text``, unless this user may not connect to it.

    ZeroMQ tries for ever to connect, and tells no reason.
    """
    if out_of_reach(paths.runtime / name):
        text = (
            f"this user may not connect to {paths.endpoint(name)}; "
            "run this as root or as the user that the service runs as"
        )
    return BusError(text)
