"""The bus client: publish to the broker, subscribe to it, ask it for a replay.

Subscribers read ``events`` and, for what they missed, ask ``replay``; collectors
write to ``ingest``.  The ZeroMQ context is handed in, so that the web tier can
bring gevent's, and is made after the fork, never before it.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import zmq
from msgspec import structs

from mist import wire
from mist.errors import BusError, WireError
from mist.paths import Paths, out_of_reach
from mist.settings import Settings
from mist.wire import Flag, Header, Kind, Message

_POSITION: Final = struct.Struct("!QQ")
_STATE: Final = struct.Struct("!QQQQQ")

#: How long a claim may be under way before it is asked again whether it has come.
_CLAIM_SLICE_MS: Final = 5

#: How soon a subscriber tries again to reach a broker that is restarted.
_RECONNECT_MS: Final = 20

#: How long a collector leaves the subscribers of an old broker to come to the new one.
_RETURN_SECONDS: Final = 0.25

#: How long a blocking send waits before it looks whether the broker has gone.
_SEND_SLICE_MS: Final = 500


class Position(NamedTuple):
    """How far a subscriber has come: everything up to ``seq`` of ``epoch``."""

    epoch: int = 0
    seq: int = 0


START: Final = Position()


class Snapshot(NamedTuple):
    """The broker's answer to a replay request.

    ``epoch``, ``term`` and ``seq`` say where the topic's buffer ends (zeros when
    there is none); ``messages`` are those ``after`` the position that was asked for.
    """

    topic: bytes
    epoch: int
    term: int
    seq: int
    messages: list[Message]
    after: Position = START


def replay_request(topic: bytes, after: Position) -> list[bytes]:
    """The frames that ask for what ``topic`` carried after a position."""
    return [topic, _POSITION.pack(*after)]


def parse_replay_request(frames: list[bytes]) -> tuple[bytes, Position]:
    """The topic and the position of a request, or WireError."""
    if len(frames) != 2 or len(frames[1]) != _POSITION.size:
        raise WireError("a replay request has a topic and a position of 16 bytes")
    return frames[0], Position(*_POSITION.unpack(frames[1]))


def replay_reply(
    topic: bytes,
    state: tuple[int, int, int],
    messages: Iterable[tuple[bytes, bytes]],
    after: Position = START,
) -> list[bytes]:
    """The frames of an answer: epoch, term and last number of the topic, and what it holds.

    ``messages`` are pairs of packed header and body, ``after`` is what was asked for.
    """
    frames = [topic, _STATE.pack(*state, *after)]
    for header, body in messages:
        frames += (header, body)
    return frames


def parse_replay_reply(frames: list[bytes]) -> Snapshot:
    """The snapshot that an answer holds, or WireError."""
    if len(frames) < 2 or len(frames) % 2 or len(frames[1]) != _STATE.size:
        raise WireError("a replay reply has a topic, a state and pairs of header and body")
    topic = frames[0]
    epoch, term, seq, *after = _STATE.unpack(frames[1])
    pairs = zip(frames[2::2], frames[3::2], strict=True)
    messages = [Message(topic, wire.unpack(header), body) for header, body in pairs]
    return Snapshot(topic, epoch, term, seq, messages, Position(*after))


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
        socket.send_multipart(replay_request(topic, after))
        # Not RCVTIMEO, which gevent's sockets do not know.
        if not socket.poll(int(timeout * 1000), zmq.POLLIN):
            endpoint = paths.endpoint("replay")
            raise unanswered(paths, "replay", f"no broker answers on {endpoint}; is mist up?")
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


class Publisher:
    """A collector's end of the bus: numbers messages, and loses none to a restarted broker.

    It sends on an XPUB socket, which is told when the broker comes (it
    subscribes to everything) and goes.  What was sent last is kept, bounded by
    ``bus.resend_bytes``, and sent again to a new broker: what the old one had
    not forwarded is not lost, and subscribers drop by number what they have.
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
        self._term = term
        self._epoch = term
        self._next = 1
        self._paths = paths
        self._context = context
        self._sent: deque[tuple[bytes, bytes]] = deque()
        self._sent_bytes = 0
        self._keep_bytes = settings.bus.resend_bytes
        self._connected = False
        self._claimed = False
        self.socket = context.socket(zmq.XPUB)
        self.socket.linger = 1_000
        self.socket.immediate = True
        self.socket.sndhwm = settings.bus.collector_queue
        self.socket.sndtimeo = _SEND_SLICE_MS
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.connect(paths.endpoint("ingest"))

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
        self._epoch, self._next = self._term, 1
        self._forget()
        self._send(self._claim(wire.NO_FLAGS if resume else Flag.RESET), b"")
        self._claimed = True
        if not resume:
            return Snapshot(self.topic, self._epoch, self._term, 0, [])
        snapshot = self._await_term(timeout)
        if snapshot.epoch:
            self._epoch, self._next = snapshot.epoch, snapshot.seq + 1
        for message in snapshot.messages:
            # The next broker is to have what the predecessor published, too.
            self._keep(wire.pack(structs.replace(message.header, term=self._term)), message.body)
        return snapshot

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = wire.NO_FLAGS, code: int = 0
    ) -> None:
        """Send one message; blocks while the broker is slow, for the source keeps the rest."""
        header = wire.pack(Header(kind, self._epoch, self._term, self._next, count, flags, code))
        self._next += count
        self._keep(header, body)
        self._send(header, body)

    def service(self) -> bool:
        """Handle the broker's coming and going without blocking; whether it is there.

        Call it when ``socket`` is readable.  While the broker is away, do not
        publish: leave what follows with its source.
        """
        while self.socket.poll(0, zmq.POLLIN):
            self._connected = self.socket.recv()[:1] == b"\x01"
            if self._connected:
                self._send_again()
        return self._connected

    def close(self) -> None:
        """Hand what is queued to the broker, a second at most, and close."""
        self.socket.close()

    def _send_again(self) -> None:
        """Give a new broker what was last, and the word that this is all."""
        if not (self._claimed or self._sent):
            return
        for header, body in list(self._sent):
            self._send(header, body)
        self._send(self._claim(wire.NO_FLAGS), b"")
        if self._sent:
            # What came next could be more than the new broker remembers before
            # the first subscriber is back; with its source it is safe.
            time.sleep(_RETURN_SECONDS)

    def _claim(self, flags: Flag) -> bytes:
        return wire.pack(Header(Kind.CLAIM, self._epoch, self._term, 1, flags=flags))

    def _keep(self, header: bytes, body: bytes) -> None:
        self._sent.append((header, body))
        self._sent_bytes += len(body)
        while self._sent_bytes > self._keep_bytes and len(self._sent) > 1:
            self._sent_bytes -= len(self._sent.popleft()[1])

    def _forget(self) -> None:
        self._sent.clear()
        self._sent_bytes = 0

    def _send(self, header: bytes, body: bytes) -> None:
        while True:
            try:
                self.socket.send_multipart([self.topic, header, body])
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
        with replay_socket(self._context, self._paths, immediate=False) as socket:
            poller = zmq.Poller()
            poller.register(socket, zmq.POLLIN)
            poller.register(self.socket, zmq.POLLIN)
            socket.send_multipart(replay_request(self.topic, START))
            while (left := deadline - time.monotonic()) > 0:
                ready = dict(poller.poll(int(left * 1000)))
                if self.socket in ready:
                    self.service()
                elif socket in ready:
                    snapshot = parse_replay_reply(socket.recv_multipart())
                    if snapshot.term >= self._term:
                        return snapshot
                    self.socket.poll(_CLAIM_SLICE_MS)
                else:
                    continue
                socket.send_multipart(replay_request(self.topic, START))
        raise BusError("the broker does not take the claim of a collector")
