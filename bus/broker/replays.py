"""The socket of the replays: what a topic's subscribers missed, within bounds in bytes.

An answer may be as large as a whole buffer.  A request for which there is no room waits, and
the peers take turns.  A request beyond those that may wait is dropped: its sender asks again
(``bus/replay_client.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

import zmq

from bus.broker.buffers import Buffers
from bus.broker.peers import HANDSHAKE_MS, Complaints, Peers
from bus.broker.unsent import Unsent
from bus.replay import ReplayRequest, parse_replay_request, replay_reply
from mist.errors import WireError
from mist.settings import Settings

# The most replays in one round.  Each may be as large as a whole buffer.
_REPLAYS: Final = 8
# Requests are short; libzmq disconnects a peer that sends more.
_REQUEST_BYTES: Final = 1024
# A request has two frames.  Some more are tolerated from a faulty peer, but not thousands.
_FRAMES: Final = 16
# The requests of one peer that libzmq reads ahead; the others wait in the peer's own queue.
_REQUESTS: Final = 8
# The requests of one peer that wait for room.  A worker may ask for many topics at once.
_WAITING: Final = 256
# While requests wait, look for room this often.
RETRY_MS: Final = 10
# Smaller answers are not counted, because ``bus.replay_queue`` of them are few.
_SMALL_BYTES: Final = 2_048
# An answer of this size never waits for others than its own peer's.
_MODEST_BYTES: Final = 65_536
# One peer may have this part of ``bus.replay_bytes``, or one answer.
_SHARE: Final = 4
# A peer that takes longer for an answer, while others wait, does not read.
_PATIENCE_SECONDS: Final = 0.5


class _Asked(NamedTuple):
    identity: bytes
    request: ReplayRequest


class Replays:
    """A ROUTER socket, to be bound by the caller, which answers from ``buffers``."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        settings: Settings,
        buffers: Buffers,
        malformed: Callable[[WireError], None],
    ) -> None:
        self.socket = socket
        self._buffers = buffers
        self._malformed = malformed
        socket.linger = 0
        socket.maxmsgsize = _REQUEST_BYTES
        socket.handshake_ivl = HANDSHAKE_MS
        socket.rcvhwm = _REQUESTS
        socket.sndhwm = settings.bus.replay_queue
        # Each collector asks once, when it starts.
        connections = settings.bus.connections + settings.collector.max_running
        self.peers = Peers(socket, "replay", connections, gone=self._gone)
        self._waiting: dict[int, deque[_Asked]] = {}
        self._unsent = Unsent(settings.bus.replay_bytes)
        self._dropped = Complaints("replay_not_answered")

    @property
    def waiting(self) -> bool:
        """Return True if requests wait for room: call ``answer`` every ``RETRY_MS``."""
        return bool(self._waiting)

    def answer(self) -> None:
        """Answer some of the requests that have arrived."""
        self.peers.update()
        for peer in list(islice(self._waiting, _REPLAYS)):
            self._serve(peer)
        for _ in range(_REPLAYS):
            try:
                identity = self.socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            peer = int(identity.get(zmq.SRCFD))
            self.peers.used(peer)
            try:
                request = parse_replay_request(self._frames(peer))
            except WireError as error:
                self._malformed(error)
                continue
            queue = self._waiting.setdefault(peer, deque())
            if len(queue) < _WAITING:
                queue.append(_Asked(identity.bytes, request))
                self._serve(peer)
            else:
                self._dropped.note(topic=request.topic.decode(errors="replace"))

    def close(self, linger: int) -> None:
        """Close the sockets; libzmq sends queued messages for up to ``linger`` ms."""
        self.socket.disable_monitor()
        self.peers.close()
        self.socket.close(linger=linger)

    def _frames(self, peer: int) -> list[bytes]:
        """Return the frames of a request, and close the connection if they are far too many."""
        frames: list[bytes] = []
        while self.socket.get(zmq.RCVMORE):
            frame = self.socket.recv()
            if len(frames) < _FRAMES:
                frames.append(frame)
            else:
                self.peers.cut(peer, f"sends a request of more than {_FRAMES} frames")
        return frames

    def _serve(self, peer: int) -> None:
        """Answer a peer's requests as far as there is room; then it is the next one's turn."""
        queue = self._waiting.pop(peer)
        while queue:
            asked = queue[0]
            frames = [asked.identity, *self._replayed(asked.request)]
            size = sum(map(len, frames))
            if size < _SMALL_BYTES:
                self.socket.send_multipart(frames)
            elif self._may_have(peer, size):
                self._unsent.send(self.socket, frames, peer)
            else:
                self._waiting[peer] = queue
                return
            queue.popleft()

    def _may_have(self, peer: int, size: int) -> bool:
        own = self._unsent.of(peer)
        if own and own + size > self._unsent.limit // _SHARE:
            return False
        if self._unsent.room(size) or (size <= _MODEST_BYTES and not own):
            return True
        slow = self._unsent.oldest(_PATIENCE_SECONDS)
        if slow is not None:
            self.peers.cut(slow, f"takes no answers while {self._unsent.size} bytes wait")
        return False

    def _gone(self, peer: int) -> None:
        self._waiting.pop(peer, None)

    def _replayed(self, request: ReplayRequest) -> list[bytes]:
        buffer = self._buffers.get(request.topic)
        if buffer is None:
            return replay_reply(request, (0, 0, 0), ())
        state = (buffer.epoch, buffer.term, buffer.seq)
        return replay_reply(request, state, buffer.after(request.after))
