"""A subscriber's sockets, for live messages and for replays of missed ones.

The caller passes the ZeroMQ context, because the web tier uses gevent's.  Create it
after the fork, never before.
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

# The answers that are read ahead.  Each may be as large as the broker's buffer of a topic.
_ANSWERS: Final = 2

# The interval at which a subscriber tries to reconnect to a broker that restarts.
_RECONNECT_MS: Final = 20


def events_socket(
    context: zmq.Context[zmq.Socket[bytes]], paths: Paths, settings: Settings
) -> zmq.Socket[bytes]:
    """Return a SUB socket on the broker's ``events``, without subscriptions."""
    return connect_events(context.socket(zmq.SUB), paths, settings)


def connect_events(
    socket: zmq.Socket[bytes], paths: Paths, settings: Settings
) -> zmq.Socket[bytes]:
    """Connect a SUB or XSUB socket to the broker's ``events``, and return it."""
    socket.linger = 0
    socket.rcvhwm = settings.bus.receive_queue
    socket.maxmsgsize = wire.MAX_MESSAGE_BYTES
    socket.reconnect_ivl = _RECONNECT_MS
    socket.connect(paths.endpoint("events"))
    return socket


def replay_socket(
    context: zmq.Context[zmq.Socket[bytes]], paths: Paths, *, immediate: bool = True
) -> zmq.Socket[bytes]:
    """Return a DEALER socket on the broker's ``replay``.

    With ``immediate``, the socket accepts no request while the broker is away.  Without,
    it queues requests for the next broker.
    """
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvhwm = _ANSWERS
    # Before connect(), because the option applies to later connections only.
    socket.immediate = immediate
    socket.reconnect_ivl = _RECONNECT_MS
    socket.connect(paths.endpoint("replay"))
    return socket


def ask_replay(
    context: zmq.Context[zmq.Socket[bytes]],
    paths: Paths,
    topic: bytes,
    after: Position = START,
    timeout: float = 5.0,
) -> Snapshot:
    """Request one replay and wait for it.

    Raise BusError if the broker does not answer within ``timeout`` seconds.
    """
    with replay_socket(context, paths, immediate=False) as socket:
        socket.send_multipart(ReplayClient(topic).ask(time.monotonic(), after))
        # Poll instead of setting RCVTIMEO, which gevent's sockets do not support.
        if not socket.poll(int(timeout * 1000), zmq.POLLIN):
            endpoint = paths.endpoint("replay")
            raise unanswered(paths, "replay", f"no broker answers on {endpoint}; is mist up?")
        # The socket is new and asks once, so any answer belongs to this request.
        return parse_replay_reply(socket.recv_multipart())


def unanswered(paths: Paths, name: str, text: str) -> BusError:
    """Return the error for an endpoint without an answer.

    Its text is ``text``, unless this user has no permission to connect.
    """
    # libzmq retries forever and does not report why it cannot connect.
    if out_of_reach(paths.runtime / name):
        text = (
            f"this user may not connect to {paths.endpoint(name)}; "
            "run this command as root or as the service's user"
        )
    return BusError(text)
