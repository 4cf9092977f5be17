"""The socket of the subscribers: what they may subscribe to, and what waits for them.

A subscriber that does not read loses messages once its queue is full; it notices the gap
in the numbers.  When the queues of all subscribers hold too many bytes, the subscriber
that has read nothing for longest is cut off, so that the others lose nothing.  It connects
again once it reads, and asks for a replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import zmq

from bus import topics
from bus.broker.peers import HANDSHAKE_MS, Complaints, Peers
from bus.broker.unsent import Unsent
from mist.settings import BusSettings

# The most subscriptions taken at once.
_ROUND: Final = 256
# Smaller messages are not counted.  A full queue of them is a megabyte for each subscriber.
_SMALL_BYTES: Final = 2_048
# The subscriptions of one peer that match no topic: a few mistakes are harmless.
_STRANGE: Final = 16
# A subscription of more bytes counts as several, because libzmq's trie takes memory for each.
_SUBSCRIPTION_BYTES: Final = 48
# The subscriptions of all peers together, as a multiple of what one may have.
_ALL: Final = 2


class Change(NamedTuple):
    """A peer has subscribed to a prefix, or the last one that had has left."""

    subscribed: bool
    prefix: bytes
    first: bool = True
    """No other peer had subscribed to the prefix."""


class Fanout:
    """An XPUB socket, to be bound by the caller, with bounds for queues and subscriptions.

    libzmq closes a connection that sends a frame of more than ``frame_bytes``.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        settings: BusSettings,
        name: str,
        *,
        connections: int,
        frame_bytes: int,
    ) -> None:
        self.socket = socket
        socket.linger = 0
        socket.maxmsgsize = frame_bytes
        socket.handshake_ivl = HANDSHAKE_MS
        socket.sndhwm = settings.subscriber_queue
        # XPUB adds subscriptions to its trie, before they can be checked here, for as long as
        # there are any.  With a longer queue libzmq's thread would refill it faster than the
        # trie grows, and a flood of subscriptions would never let go of this thread.
        # (With a queue of one, libzmq 4.3.5 never passes on a subscription over CURVE.)
        socket.rcvhwm = 2
        # Report each new subscriber, even if others have the same subscription.
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._limit = settings.subscriptions
        self._unsent = Unsent(settings.unsent_bytes)
        self._dropped = Complaints("message_not_forwarded")
        # Who holds which prefix.  XPUB reports only the end of the last subscription to a
        # prefix, so a peer may be listed although it has left; never the other way round.
        self._held: dict[int, set[bytes]] = {}
        self._loads: Counter[int] = Counter()
        self._holders: dict[bytes, set[int]] = {}
        self._strange: Counter[int] = Counter()
        self.peers = Peers(socket, name, connections, self._held.__contains__, self._gone)

    def changes(self) -> Iterator[Change]:
        """Yield the subscriptions that have arrived and may stay, and the ends of others."""
        self.peers.update()
        for _ in range(_ROUND):
            try:
                frame = self.socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            message = frame.bytes
            # A message that is not a subscription is passed up as it is; ignore it.
            if message[:1] == b"\x01":
                yield from self._subscribed(int(frame.get(zmq.SRCFD)), message[1:])
            elif message[:1] == b"\x00":
                yield from self._unsubscribed(message[1:])

    def send(self, frames: Sequence[bytes]) -> None:
        """Forward a message to its subscribers, unless their queues hold too much."""
        size = len(frames[-1])
        if size < _SMALL_BYTES:
            self.socket.send_multipart(frames)
            return
        limit = self._unsent.limit
        # Watch from a quarter on and cut from the half on, so that a subscriber that does not
        # read is gone before others lose anything.
        if not self._unsent.room(limit - limit // 4):
            deaf = self.peers.stalled()
            if deaf is not None and not self._unsent.room(limit // 2):
                self.peers.cut(deaf, f"reads nothing while {self._unsent.size} bytes wait")
        if self._unsent.room(size):
            self._unsent.send(self.socket, frames)
        else:
            self._dropped.note(topic=frames[0].decode(errors="replace"), size=size)

    def close(self, linger: int) -> None:
        """Close the sockets; libzmq sends queued messages for up to ``linger`` ms."""
        self.socket.disable_monitor()
        self.peers.close()
        self.socket.close(linger=linger)

    def _subscribed(self, peer: int, prefix: bytes) -> Iterator[Change]:
        if self.peers.is_cut(peer):
            return
        self.peers.used(peer)
        if not topics.is_prefix(prefix):
            self._strange[peer] += 1
            if self._strange[peer] > _STRANGE:
                self.peers.cut(peer, f"subscribes to {prefix[:40]!r}, which is no topic")
            return
        held = self._held.setdefault(peer, set())
        if prefix not in held:
            held.add(prefix)
            self._loads[peer] += _load(prefix)
        if self._loads[peer] > self._limit:
            self.peers.cut(peer, f"more than {self._limit} subscriptions")
        elif self._loads.total() > _ALL * self._limit:
            most = max(self._held, key=self._loads.__getitem__)
            self.peers.cut(most, "too many subscriptions of all peers")
        first = prefix not in self._holders
        self._holders.setdefault(prefix, set()).add(peer)
        yield Change(True, prefix, first)

    def _unsubscribed(self, prefix: bytes) -> Iterator[Change]:
        holders = self._holders.pop(prefix, None)
        if holders is not None:
            for peer in holders & self._held.keys():
                if prefix in self._held[peer]:
                    self._held[peer].discard(prefix)
                    self._loads[peer] -= _load(prefix)
            yield Change(False, prefix)

    def _gone(self, peer: int) -> None:
        self._strange.pop(peer, None)
        self._loads.pop(peer, None)
        for prefix in self._held.pop(peer, ()):
            # XPUB reports the end of the prefix itself, if it was the last one.
            self._holders.get(prefix, set()).discard(peer)


def _load(prefix: bytes) -> int:
    """Return the number of subscriptions that a prefix counts as."""
    return 1 + len(prefix) // _SUBSCRIPTION_BYTES
