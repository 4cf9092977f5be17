"""The bytes that libzmq has been given and has not sent yet.

A high-water mark counts messages, whose sizes differ by a factor of a hundred thousand,
and libzmq does not tell how long its queues are.  But it tells when it has released a
frame: a message is out of all queues when its last frame is released.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import zmq

# The interval between two looks at all of many messages, and not only at the oldest ones.
_SWEEP_SECONDS: Final = 0.05
_MANY: Final = 64


class _Sent(NamedTuple):
    tracker: zmq.MessageTracker
    size: int
    peer: int
    since: float


class Unsent:
    """The messages in libzmq's queues, up to ``limit`` bytes altogether.

    One message may be larger than the limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._sent: deque[_Sent] = deque()
        self._swept = 0.0

    def send(self, socket: zmq.Socket[bytes], frames: Sequence[bytes], peer: int = 0) -> None:
        """Send a message, and count it until libzmq has passed it on to the kernel."""
        *first, last = frames
        for frame in first:
            # Large frames are not copied; they share the memory of the replay buffer.
            socket.send(frame, zmq.SNDMORE, copy=False)
        # The last frame alone says when the message is gone, so only one is tracked.
        marker = zmq.Frame(last, track=True, copy=False, copy_threshold=0)
        size = sum(map(len, frames))
        assert marker.tracker is not None
        self._sent.append(_Sent(marker.tracker, size, peer, time.monotonic()))
        self.size += size
        socket.send(marker, copy=False)

    def room(self, size: int) -> bool:
        """Return True if ``size`` more bytes are within the limit."""
        while self._sent and self._sent[0].tracker.done:
            self.size -= self._sent.popleft().size
        if self.size + size > self.limit:
            self._sweep()
        return not self.size or self.size + size <= self.limit

    def of(self, peer: int) -> int:
        """Return the bytes on their way to one peer."""
        return sum(each.size for each in self._sent if each.peer == peer and not each.tracker.done)

    def oldest(self, seconds: float) -> int | None:
        """Return the peer of the oldest message, if it is ``seconds`` old; otherwise None."""
        if self._sent and time.monotonic() >= self._sent[0].since + seconds:
            return self._sent[0].peer
        return None

    def _sweep(self) -> None:
        # A subscriber that does not read holds the oldest message back, and others do not.
        now = time.monotonic()
        if len(self._sent) < _MANY or now >= self._swept + _SWEEP_SECONDS:
            self._swept = now
            self._sent = deque(each for each in self._sent if not each.tracker.done)
            self.size = sum(each.size for each in self._sent)
