"""The connections of a bound socket: how many there are, and which one to close.

libzmq reports each connection to a monitor socket, with its file descriptor.  It has no
call that closes a single one, but the descriptor belongs to this process: after a
shutdown(2), libzmq finds the connection closed and frees everything that it queued for
it.  A subscriber that was cut off in this way connects again by itself.
"""

from __future__ import annotations

import fcntl
import resource
import socket
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

log = structlog.get_logger(__name__)

# The interval between two log entries about the same trouble.
_QUIET_SECONDS: Final = 10.0
# A connection that is still in its handshake after this time is closed by libzmq.
HANDSHAKE_MS: Final = 5_000
# A peer of which the kernel holds the same bytes for this long does not read.
_STALL_SECONDS: Final = 0.2
_SAMPLE_SECONDS: Final = 0.05


class Complaints:
    """Log repeated trouble at a bounded rate."""

    def __init__(self, event: str) -> None:
        self.count = 0
        self._event = event
        self._quiet_until = 0.0

    def note(self, **fields: object) -> None:
        """Count one, and log it unless another one was logged a moment ago."""
        self.count += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            log.warning(self._event, total=self.count, **fields)


class Peers:
    """At most ``limit`` connections of ``bound``, by descriptor.

    Beyond the limit, close the connection that was idle for longest; those for which
    ``keep`` returns True come last, the newest of them first.  ``gone`` is called with the
    descriptor of a connection that has ended.
    """

    def __init__(
        self,
        bound: zmq.Socket[bytes],
        name: str,
        limit: int,
        keep: Callable[[int], bool] = lambda _peer: False,
        gone: Callable[[int], None] = lambda _peer: None,
    ) -> None:
        self._name = name
        # libzmq aborts the process when it has no descriptors left, and needs some for itself.
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = min(limit, files // 4)
        self._keep = keep
        self._gone = gone
        # Descriptors in the order of their last use.
        self._peers: dict[int, None] = {}
        self._cut: set[int] = set()
        self._unsent: dict[int, tuple[int, float]] = {}
        self._sampled = 0.0
        self._complaints = Complaints("connection_cut")
        # Before bind(), so that no connection is missed.
        self.monitor = bound.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def __len__(self) -> int:
        return len(self._peers)

    def update(self) -> None:
        """Take note of new and closed connections, and enforce the limit."""
        with suppress(zmq.Again):
            while True:
                report = recv_monitor_message(self.monitor, zmq.DONTWAIT)
                peer = int(report["value"])
                # Also before a new one: the kernel gives it the descriptor of a closed one.
                self._forget(peer)
                if report["event"] == zmq.EVENT_ACCEPTED:
                    self._peers[peer] = None
        while len(self._peers) - len(self._cut) > self._limit:
            self.cut(self._superfluous(), f"more than {self._limit} connections")

    def used(self, peer: int) -> None:
        """Record that a peer has sent something."""
        if peer in self._peers:
            del self._peers[peer]
            self._peers[peer] = None

    def cut(self, peer: int, reason: str) -> None:
        """Close a connection; libzmq notices it in a moment."""
        if peer not in self._peers or peer in self._cut:
            return
        self._cut.add(peer)
        self._complaints.note(socket=self._name, reason=reason)
        with suppress(OSError):  # libzmq may have closed it a moment ago
            connection = socket.socket(fileno=peer)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()

    def stalled(self) -> int | None:
        """Return the peer that has read nothing for longest, though the kernel has bytes for it.

        None if there is no such peer, if it may still be about to read, or while libzmq frees
        the memory of another one.
        """
        if self._cut:
            return None
        now = time.monotonic()
        if now >= self._sampled + _SAMPLE_SECONDS:
            self._sampled = now
            self._unsent = {peer: self._sample(peer, now) for peer in self._peers}
        waiting = {
            peer: since
            for peer, (size, since) in self._unsent.items()
            if size and now >= since + _STALL_SECONDS
        }
        return min(waiting, key=waiting.__getitem__, default=None)

    def close(self) -> None:
        """Close the monitor."""
        self.monitor.close(linger=0)

    def is_cut(self, peer: int) -> bool:
        """Return True if the connection was cut and libzmq has not noticed yet."""
        return peer in self._cut

    def _forget(self, peer: int) -> None:
        if peer in self._peers:
            del self._peers[peer]
            self._gone(peer)
        self._unsent.pop(peer, None)
        self._cut.discard(peer)

    def _sample(self, peer: int, now: float) -> tuple[int, float]:
        """Return the bytes that the kernel holds for a peer, and since when it is this many."""
        size = 0
        with suppress(OSError):
            # SIOCOUTQ has the number of TIOCOUTQ (tcp(7), unix(7)).
            (size,) = struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, b"\0" * 4))
        before, since = self._unsent.get(peer, (-1, now))
        return size, since if size == before else now

    def _superfluous(self) -> int:
        living = [peer for peer in self._peers if peer not in self._cut]
        return next((peer for peer in living if not self._keep(peer)), living[-1])
