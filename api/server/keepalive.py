"""Keepalive, stall detection and shutdown for the connections of one gunicorn worker.

Every connection is visited once per ``streams.ping_seconds``.  The connections are
spread over the slots of a timing wheel, and one greenlet visits the next slot at each
tick.  Only connections with a full socket are checked at every tick.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NoReturn

import gevent

from mist import close_codes
from mist.settings import StreamSettings

if TYPE_CHECKING:
    from api.websocket.connection import Connection

# The longest interval between two ticks, in seconds.
_TICK_SECONDS: Final = 1.0

# A peer is considered dead after this many unanswered pings.
_PINGS: Final = 2


class ConnectionRegistry:
    """The connections of one worker; created after the fork."""

    def __init__(self, limits: StreamSettings) -> None:
        self.limits = limits
        self.blocked: set[Connection] = set()
        self.connections: set[Connection] = set()
        self.stopping: tuple[int, str] | None = None
        self._wheel: list[set[Connection]] = [
            set() for _ in range(max(1, round(limits.ping_seconds / _TICK_SECONDS)))
        ]
        self._next_slot = 0

    def add(self, connection: Connection) -> None:
        """Register a new connection, in the slots by turns so that pings are spread evenly."""
        self._next_slot = (self._next_slot + 1) % len(self._wheel)
        connection.slot = self._next_slot
        self._wheel[connection.slot].add(connection)
        self.connections.add(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._wheel[connection.slot].discard(connection)
        self.connections.discard(connection)
        self.blocked.discard(connection)

    def run(self) -> NoReturn:
        """Visit the connections forever; runs in a greenlet of its own."""
        pause = self.limits.ping_seconds / len(self._wheel)
        while True:
            for slot in self._wheel:
                gevent.sleep(pause)
                self.visit(slot)
                self.look_at_blocked()

    def visit(self, slot: set[Connection]) -> None:
        """Ping the connections of a slot, and close those with two unanswered pings.

        A ping cannot reach a peer whose socket is full, so the registry checks such a
        connection for progress instead.
        """
        # A copy, because closing a connection removes it from the set.
        for connection in list(slot):
            if connection.blocked:
                connection.unanswered = 0  # judged by look_at_blocked() instead
            elif connection.unanswered >= _PINGS:
                connection.close(close_codes.INTERNAL_ERROR, "no answer to two pings")
            connection.ping()  # does nothing on a closing connection

    def look_at_blocked(self) -> None:
        """Abort connections without progress for ``streams.stall_seconds``.

        Progress is measured by the kernel's send queue: a slow reader empties it long
        before the socket becomes writable again.
        """
        now = time.monotonic()
        for connection in list(self.blocked):
            unsent = connection.queued()
            if unsent != connection.unsent:
                connection.unsent = unsent  # the peer's kernel acknowledged bytes
                connection.last_progress = now
            elif now - connection.last_progress >= self.limits.stall_seconds:
                # A close frame could not be sent to a full socket.
                connection.abort()

    def finish_all(self, code: int, reason: str) -> None:
        """Close every connection once its pending data is sent.

        Connections that are accepted from now on are closed in the same way.
        """
        self.stopping = (code, reason)
        for connection in list(self.connections):
            connection.finish(code, reason)

    def close_all(self) -> None:
        """Close the remaining connections at once, at the next frame boundary."""
        code, reason = self.stopping or (close_codes.GOING_AWAY, "")
        for connection in list(self.connections):
            connection.close(code, reason)

    def abort_all(self) -> None:
        """Drop the connections that have not completed the closing handshake."""
        for connection in list(self.connections):
            connection.abort()
