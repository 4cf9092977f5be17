"""A collector's socket on the bus.  Its outbox holds the messages."""

from __future__ import annotations

import math
import time
from typing import Final

import zmq

from bus import wire
from bus.outbox import Outbox, Packet
from bus.replay import START, Position, Snapshot, parse_replay_reply
from bus.replay_client import ReplayClient
from bus.subscriber import replay_socket
from bus.wire import Flag, Kind
from mist import heartbeat
from mist.errors import BusError
from mist.paths import Paths
from mist.settings import Settings

# The pause between two requests that ask whether the broker has the claim.
_CLAIM_SLICE_MS: Final = 5

# The time that subscribers of an old broker get to reconnect to the new one.
_RETURN_SECONDS: Final = 0.25

# The time after which a blocking send tries again, so that signals are handled.
_SEND_SLICE_MS: Final = 500

# Plain integers: arithmetic with an enumeration takes longer than the call that needs it.
_POLLIN: Final = int(zmq.POLLIN)
_MORE: Final = int(zmq.SNDMORE)


class Publisher:
    """A collector's end of the bus, which loses no message when the broker restarts.

    It resends the outbox to a new broker, because the old one may not have forwarded all
    of it.  Subscribers drop by number the messages that they have.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        paths: Paths,
        settings: Settings,
        topic: bytes,
        term: int,
    ) -> None:
        self.topic = topic
        self._outbox = Outbox(topic, term, settings.bus.resend_bytes)
        self._paths = paths
        self._context = context
        self._connected = False
        # XPUB receives subscriptions: the broker subscribes to everything when it connects,
        # and libzmq reports an unsubscription when it goes.
        self.socket = context.socket(zmq.XPUB)
        self.socket.linger = 1_000
        self.socket.immediate = True
        self.socket.sndhwm = settings.bus.collector_queue
        self.socket.sndtimeo = _SEND_SLICE_MS
        # Block at the high-water mark instead of dropping messages (zmq_setsockopt(3)).
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        # Report a new broker's subscription even if the old broker's is still registered.
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.connect(paths.endpoint("ingest"))
        self.descriptor = self.socket.fileno()

    @property
    def next(self) -> int:
        """The number of the next message."""
        return self._outbox.next

    def claim(self, *, resume: bool, after: Position = START, timeout: float = 10.0) -> Snapshot:
        """Claim the topic, and return what the broker remembers of it.

        The numbering continues ``after`` a position, or in a new epoch.  With ``resume``,
        what the broker knows has precedence.  Otherwise it forgets the topic.  A collector
        may claim its topic several times.
        """
        self._await_broker(timeout)
        # The claim carries the fencing token: once the broker has it, the broker drops
        # whatever an earlier collector still sends.
        self._send(self._outbox.claim(resume=resume, after=after))
        if not resume:
            # Nothing is needed from the broker, so do not wait for an answer.
            term = self._outbox.term
            return Snapshot(self.topic, after.epoch or term, term, after.seq, [])
        snapshot = self._await_term(timeout)
        self._outbox.adopt(snapshot)
        return snapshot

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = wire.NO_FLAGS, code: int = 0
    ) -> None:
        """Send one message.  Block while the broker is slow; the source keeps the rest."""
        self._send(self._outbox.number(kind, body, count=count, flags=flags, code=code))

    def service(self) -> bool:
        """Handle arrivals and departures of the broker.  Return True if it is connected.

        Call this when ``descriptor`` is readable.  Do not publish while the broker is
        away; leave further messages with their source.
        """
        heartbeat.beat()
        # Collectors call this before each message, and Socket.poll would create a Poller each time.
        while int(self.socket.get(zmq.EVENTS)) & _POLLIN:
            self._connected = self.socket.recv()[:1] == b"\x01"
            if self._connected:
                self._send_again()
        return self._connected

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until ``service`` has something to do.  Return False at the timeout."""
        return _poll(self.socket, math.inf if seconds is None else seconds)

    def close(self) -> None:
        """Close the socket; libzmq sends queued messages for up to a second."""
        self.socket.close()

    def _send_again(self) -> None:
        """Resend the outbox to a new broker, and claim the topic again."""
        packets = list(self._outbox.resend())
        for packet in packets:
            self._send(packet)
        if len(packets) > 1:
            # Before the first subscriber is back, the broker might receive more new messages
            # than it remembers.  They are safe with their source for now.
            time.sleep(_RETURN_SECONDS)

    def _send(self, packet: Packet) -> None:
        header, body = packet
        while True:
            try:
                # The same as send_multipart, without its three conversions to an enumeration.
                self.socket.send(self.topic, _MORE)
                self.socket.send(header, _MORE)
                self.socket.send(body)
                return
            except zmq.Again:
                heartbeat.beat()  # the broker does not take more; this loop turns all the same
                continue

    def _await_broker(self, timeout: float) -> None:
        if not self._connected and not _poll(self.socket, timeout):
            raise BusError(f"no broker on {self._paths.endpoint('ingest')}")
        self.service()

    def _await_term(self, timeout: float) -> Snapshot:
        """Ask for a replay until the broker has seen the claim.

        A broker that is restarted meanwhile receives the claim again.
        """
        # Claim and request use different sockets, so the answer may overtake the claim.
        # The broker takes the claim a moment later, so a few requests are enough.
        deadline = time.monotonic() + timeout
        replay = ReplayClient(self.topic)
        with replay_socket(self._context, self._paths, immediate=False) as socket:
            poller = zmq.Poller()
            poller.register(socket, zmq.POLLIN)
            poller.register(self.socket, zmq.POLLIN)
            while (now := time.monotonic()) < deadline:
                due = replay.next_step(missing=True)
                if now >= due:
                    socket.send_multipart(replay.ask(now, START))
                    continue
                heartbeat.beat()
                wait = min(due - now, deadline - now, heartbeat.BEAT_SECONDS)
                ready = dict(poller.poll(math.ceil(wait * 1000)))
                if self.socket in ready:
                    self.service()
                    # The request died with the old broker; send another one to the new broker.
                    replay.withdraw()
                elif socket in ready:
                    snapshot = parse_replay_reply(socket.recv_multipart())
                    if not replay.take(snapshot, time.monotonic()):
                        continue
                    if snapshot.term >= self._outbox.term:
                        return snapshot
                    self.socket.poll(_CLAIM_SLICE_MS)
        raise BusError("the broker does not take the claim of a collector")


def _poll(socket: zmq.Socket[bytes], seconds: float) -> bool:
    """Wait until the socket is readable, with heartbeats; return False at the timeout."""
    deadline = time.monotonic() + seconds
    while True:
        heartbeat.beat()
        left = deadline - time.monotonic()
        if socket.poll(math.ceil(max(0.0, min(left, heartbeat.BEAT_SECONDS)) * 1000)):
            return True
        if left <= heartbeat.BEAT_SECONDS:
            return False
