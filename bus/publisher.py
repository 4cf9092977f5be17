"""A collector's socket on the bus; what it sends is in its outbox."""

from __future__ import annotations

import math
import time
from typing import Final

import zmq

from bus import wire
from bus.outbox import Outbox, Packet
from bus.replay import START, Snapshot, parse_replay_reply
from bus.replay_client import ReplayClient
from bus.subscriber import replay_socket
from bus.wire import Flag, Kind
from mist.errors import BusError
from mist.paths import Paths
from mist.settings import Settings

# How long a claim may be under way before it is asked again whether it has come.
_CLAIM_SLICE_MS: Final = 5

# How long a collector leaves the subscribers of an old broker to come to the new one.
_RETURN_SECONDS: Final = 0.25

# How long a blocking send waits before it looks whether the broker has gone.
_SEND_SLICE_MS: Final = 500

# Plain numbers: arithmetic with an enumeration takes longer than the call that it is for.
_POLLIN: Final = int(zmq.POLLIN)
_MORE: Final = int(zmq.SNDMORE)


class Publisher:
    """A collector's end of the bus, which loses no message to a restarted broker.

    It sends on an XPUB socket, which is told when the broker comes (it
    subscribes to everything) and goes.  What the outbox keeps is sent again to a
    new broker: what the old one had not forwarded is not lost, and subscribers
    drop by number what they have.
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
        self.socket = context.socket(zmq.XPUB)
        self.socket.linger = 1_000
        self.socket.immediate = True
        self.socket.sndhwm = settings.bus.collector_queue
        self.socket.sndtimeo = _SEND_SLICE_MS
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.connect(paths.endpoint("ingest"))
        self.descriptor = self.socket.fileno()

    def claim(self, *, resume: bool, timeout: float = 10.0) -> Snapshot:
        """Take the topic over, and return what the broker remembers of it.

        With ``resume`` the numbering goes on where a collector that died left
        it; otherwise the broker forgets the topic and a new epoch begins.  The
        claim travels the same way as messages do, so once the broker has it
        nothing that an earlier collector sent can follow.  A collector that begins
        a new epoch has nothing to learn from the broker and does not wait for it,
        and may do so after it has looked at what there was.
        """
        self._await_broker(timeout)
        self._send(self._outbox.claim(resume=resume))
        if not resume:
            term = self._outbox.term
            return Snapshot(self.topic, term, term, 0, [])
        snapshot = self._await_term(timeout)
        self._outbox.adopt(snapshot)
        return snapshot

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = wire.NO_FLAGS, code: int = 0
    ) -> None:
        """Send one message; blocks while the broker is slow, for the source keeps the rest."""
        self._send(self._outbox.number(kind, body, count=count, flags=flags, code=code))

    def service(self) -> bool:
        """Handle the broker's coming and going without blocking; return True if it is there.

        Call it when ``descriptor`` is readable.  While the broker is away, do not
        publish: leave what follows with its source.
        """
        # Collectors ask before each message, and Socket.poll would make a Poller each time.
        while int(self.socket.get(zmq.EVENTS)) & _POLLIN:
            self._connected = self.socket.recv()[:1] == b"\x01"
            if self._connected:
                self._send_again()
        return self._connected

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until ``service`` has something to do; return False when the time is over."""
        return bool(self.socket.poll(None if seconds is None else math.ceil(seconds * 1000)))

    def close(self) -> None:
        """Hand what is queued to the broker, a second at most, and close."""
        self.socket.close()

    def _send_again(self) -> None:
        """Give a new broker what was last, and the word that this is all."""
        packets = list(self._outbox.resend())
        for packet in packets:
            self._send(packet)
        if len(packets) > 1:
            # What came next could be more than the new broker remembers before
            # the first subscriber is back; with its source it is safe.
            time.sleep(_RETURN_SECONDS)

    def _send(self, packet: Packet) -> None:
        header, body = packet
        while True:
            try:
                # What send_multipart does, without its three calls of an enumeration.
                self.socket.send(self.topic, _MORE)
                self.socket.send(header, _MORE)
                self.socket.send(body)
                return
            except zmq.Again:
                continue

    def _await_broker(self, timeout: float) -> None:
        if not self._connected and not self.socket.poll(int(timeout * 1000), zmq.POLLIN):
            raise BusError(f"no broker on {self._paths.endpoint('ingest')}")
        self.service()

    def _await_term(self, timeout: float) -> Snapshot:
        """Ask until the broker has seen the claim; one that is restarted meanwhile gets it again.

        A broker answers at once and takes the claim a moment later, so a few
        requests do; one whose broker died is never answered.
        """
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
                ready = dict(poller.poll(math.ceil((min(due, deadline) - now) * 1000)))
                if self.socket in ready:
                    self.service()
                    # The broker that came, or is to come, has no request yet.
                    replay.withdraw()
                elif socket in ready:
                    snapshot = parse_replay_reply(socket.recv_multipart())
                    if not replay.take(snapshot, time.monotonic()):
                        continue
                    if snapshot.term >= self._outbox.term:
                        return snapshot
                    self.socket.poll(_CLAIM_SLICE_MS)
        raise BusError("the broker does not take the claim of a collector")
