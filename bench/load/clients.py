"""What a client of the load generator does with what it receives."""

from __future__ import annotations

import socket
import time
from array import array
from collections.abc import Sequence
from typing import Final, Protocol

from bench import lines
from bench.load.cursor import Cursor, Mismatch
from bench.load.frames import CLOSE, PING, TEXT, Frames

_LINE: Final = b'"line":"'
_LINE_AT: Final = lines.message(1).index(_LINE) + len(_LINE)
_NUMBER: Final = slice(_LINE_AT, _LINE_AT + 10)
# A pong with an empty payload and a mask of zeros (RFC 6455 §5.5.3).
_PONG: Final = b"\x8a\x80\x00\x00\x00\x00"


class Client(Protocol):
    """One connection; ``lines`` counts the log lines that it has received and found right.

    ``begun`` tells that the stream's first message is there.
    """

    sock: socket.socket
    lines: int
    begun: bool

    def feed(self, data: bytes | memoryview) -> None:
        """Take what was received; Mismatch if it is not what it should be."""


class Exact:
    """Compares all bytes with a stream that is known in advance."""

    def __init__(self, sock: socket.socket, expected: bytes, head: int) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self._expected = expected
        self._head = head
        self._cursor = Cursor()

    def feed(self, data: bytes | memoryview) -> None:
        """Compare, and count whole lines."""
        self._cursor.feed(self._expected, data)
        self.lines = max(0, self._cursor.position - self._head) // lines.FRAME_BYTES
        self.begun = self._cursor.position >= self._head


class Timed(Exact):
    """Compares, and notes how long each line was under way, in seconds."""

    def __init__(
        self,
        sock: socket.socket,
        expected: bytes,
        head: int,
        sent: Sequence[int],
        delays: array[float],
    ) -> None:
        super().__init__(sock, expected, head)
        self._sent = sent
        self._delays = delays

    def feed(self, data: bytes | memoryview) -> None:
        """Compare, count, and note the delay of each line that is complete now."""
        now, before = time.monotonic_ns(), self.lines
        super().feed(data)
        for number in range(before, self.lines):
            self._delays.append((now - self._sent[number]) / 1e9)


class Numbered:
    """Parses frames and wants the numbers of the lines to rise one by one.

    The lines are those of :func:`bench.lines.text`; with ``sent`` (one place
    for each number, in nanoseconds) it notes the delay of each.
    """

    def __init__(
        self, sock: socket.socket, sent: Sequence[int] | None, delays: array[float]
    ) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self.last = 0
        self._sent = sent
        self._delays = delays
        self._frames = Frames()

    def feed(self, data: bytes | memoryview) -> None:
        """Take frames, answer pings, check numbers."""
        now = time.monotonic_ns()
        for first, payload in self._frames.feed(data):
            if first == TEXT:
                self._take(payload, now)
            elif first == PING:
                self.sock.send(_PONG)
            elif first == CLOSE:
                raise Mismatch(f"the server closed: {payload!r}")

    def _take(self, payload: bytes, now: int) -> None:
        self.begun = True
        if payload.startswith(b'{"type":"status"'):
            return
        if not payload.startswith(b'{"type":"log"'):
            raise Mismatch(f"after line {self.last}: {payload[:200]!r}")
        number = int(payload[_NUMBER])
        if self.lines and number != self.last + 1:
            raise Mismatch(f"line {number} after line {self.last}")
        self.last = number
        self.lines += 1
        if self._sent is not None and number <= len(self._sent):
            self._delays.append((now - self._sent[number - 1]) / 1e9)


class Collected:
    """Keeps what it receives, and looks at it when the clock has stopped.

    Until then only the number in the last frame is read, which has always the
    same size: at the very end of what is there.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self._data = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Keep it, and note the number of the last line if a frame ends here."""
        self.begun = True
        self._data += data
        last = self._data[-lines.FRAME_BYTES :][4:]
        if last.startswith(b'{"type":"log"') and last.endswith(b"}}"):
            self.lines = int(last[_NUMBER])

    def check(self, last: int) -> None:
        """Mismatch unless the lines are all there, each once and in order."""
        numbered = Numbered(self.sock, None, array("d"))
        numbered.feed(bytes(self._data))
        if numbered.last != last or numbered.lines != last:
            raise Mismatch(f"{numbered.lines} lines up to {numbered.last}, not {last}")


class Idle:
    """Reads whatever comes and answers pings."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self._frames = Frames()

    def feed(self, data: bytes | memoryview) -> None:
        """Take frames, answer pings."""
        self.begun = True
        for first, payload in self._frames.feed(data):
            if first == PING:
                self.sock.send(_PONG)
            elif first == CLOSE:
                raise Mismatch(f"the server closed an idle client: {payload!r}")
