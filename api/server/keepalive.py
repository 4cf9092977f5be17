"""What a gunicorn worker does for all its connections: keepalive, stalls, the end.

Each connection is visited once in ``streams.ping_seconds``: they are spread over the
slots of a timing wheel, and the registry's one greenlet visits the next slot each time
it wakes up.  Only the connections whose socket is full are looked at every time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NoReturn

import gevent

from mist import close_codes
from mist.settings import StreamSettings

if TYPE_CHECKING:
    from api.websocket.connection import Connection

#: The registry wakes up this often at least, in seconds.
_TICK_SECONDS: Final = 1.0

#: A peer may leave fewer pings than this unanswered.
_PINGS: Final = 2


class ConnectionRegistry:
    """The connections of one worker; made after the fork."""

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
        """Look after a new connection, in the slot whose turn it is to get one."""
        self._next_slot = (self._next_slot + 1) % len(self._wheel)
        connection.slot = self._next_slot
        self._wheel[connection.slot].add(connection)
        self.connections.add(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._wheel[connection.slot].discard(connection)
        self.connections.discard(connection)
        self.blocked.discard(connection)

    def run(self) -> NoReturn:
        """Visit the connections for ever, in a greenlet of its own."""
        pause = self.limits.ping_seconds / len(self._wheel)
        while True:
            for slot in self._wheel:
                gevent.sleep(pause)
                self.visit(slot)
                self.look_at_blocked()

    def visit(self, slot: set[Connection]) -> None:
        """Ping the connections of a slot, and close those that left two pings unanswered.

        One whose socket is full cannot have got the ping: whether it is alive is
        seen by its progress.
        """
        for connection in list(slot):
            if connection.blocked:
                connection.unanswered = 0
            elif connection.unanswered >= _PINGS:
                connection.close(close_codes.INTERNAL_ERROR, "no answer to two pings")
            connection.ping()

    def look_at_blocked(self) -> None:
        """Abort connections that have made no progress for ``streams.stall_seconds``.

        A slow reader empties the kernel's queue long before the socket takes
        more, so that queue is progress, too.
        """
        now = time.monotonic()
        for connection in list(self.blocked):
            unsent = connection.queued()
            if unsent != connection.unsent:
                connection.unsent = unsent
                connection.last_progress = now
            elif now - connection.last_progress >= self.limits.stall_seconds:
                connection.abort()

    def finish_all(self, code: int, reason: str) -> None:
        """Close all connections, each after what is pending for it.

        Those that are accepted from now on are told the same.
        """
        self.stopping = (code, reason)
        for connection in list(self.connections):
            connection.finish(code, reason)

    def close_all(self) -> None:
        """Close those that still have much pending where they are."""
        code, reason = self.stopping or (close_codes.GOING_AWAY, "")
        for connection in list(self.connections):
            connection.close(code, reason)

    def abort_all(self) -> None:
        """Drop those that do not answer."""
        for connection in list(self.connections):
            connection.abort()
