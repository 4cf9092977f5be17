"""The clients of the load generator, by what they do with received data."""

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
# All messages have the same length, so the number is at a fixed position.
_LINE_AT: Final = lines.message(1).index(_LINE) + len(_LINE)
_NUMBER: Final = slice(_LINE_AT, _LINE_AT + 10)
# A pong with an empty payload and a zero mask (RFC 6455 §5.5.3).
_PONG: Final = b"\x8a\x80\x00\x00\x00\x00"


class Client(Protocol):
    """One connection; ``lines`` counts the log lines that it received and verified.

    ``begun`` is True once the first message of the stream has arrived.
    """

    sock: socket.socket
    lines: int
    begun: bool

    def feed(self, data: bytes | memoryview) -> None:
        """Accept received data; raise Mismatch if it is wrong."""


class Exact:
    """Compare all bytes with a stream that is known in advance.

    It begins with ``head`` bytes, the status, of which only the length is known, because
    the web tier renders it as of now.
    """

    def __init__(self, sock: socket.socket, expected: bytes, head: int) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = head == 0
        self._expected = expected
        self._head = head
        self._beginning = b""
        self._cursor = Cursor(head)

    def feed(self, data: bytes | memoryview) -> None:
        """Compare, and count complete lines."""
        if not self.begun:
            data = self._begin(self._beginning + bytes(data))
        self._cursor.feed(self._expected, data)
        self.lines = (self._cursor.position - self._head) // lines.FRAME_BYTES

    def _begin(self, data: bytes) -> bytes:
        """Return what follows the status, without a ping that comes before it."""
        while len(data) >= 2 and data[0] == PING and len(data) >= 2 + data[1]:
            data = data[2 + data[1] :]
        if data and data[0] not in (TEXT, PING):
            raise Mismatch(f"before the status: {data[:120]!r}")
        if len(data) < self._head or data[0] == PING:
            self._beginning = data
            return b""
        self.begun = True
        return data[self._head :]


class Timed(Exact):
    """Compare, and record the delay of each line in seconds."""

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
        """Compare, count, and record the delay of every line completed by ``data``."""
        now, before = time.monotonic_ns(), self.lines
        super().feed(data)
        for number in range(before, self.lines):
            # One clock for all lines of a read: they arrived together.
            self._delays.append((now - self._sent[number]) / 1e9)


class Numbered:
    """Parse frames and check that line numbers increase by one.

    The lines are those of :func:`bench.lines.text`.  With ``sent``, which holds the
    sending time of each number in nanoseconds, record the delay of each line.
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
        """Parse frames, answer pings, and check numbers."""
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
        if self.lines and number != self.last + 1:  # the tail may begin with any number
            raise Mismatch(f"line {number} after line {self.last}")
        self.last = number
        self.lines += 1
        if self._sent is not None and number <= len(self._sent):
            self._delays.append((now - self._sent[number - 1]) / 1e9)


class Collected:
    """Keep all received data, and check it only after the clock has stopped.

    Until then read only the number in the last frame.  All frames have the same size, so
    its position is known.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self._data = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Keep the data, and record the number of the last line if it is complete."""
        self.begun = True
        self._data += data
        last = self._data[-lines.FRAME_BYTES :][4:]  # four bytes of header for this length
        if last.startswith(b'{"type":"log"') and last.endswith(b"}}"):
            self.lines = int(last[_NUMBER])

    def check(self, last: int) -> None:
        """Raise Mismatch unless lines 1 to ``last`` arrived exactly once and in order."""
        numbered = Numbered(self.sock, None, array("d"))
        numbered.feed(bytes(self._data))
        if numbered.last != last or numbered.lines != last:
            raise Mismatch(f"{numbered.lines} lines up to {numbered.last}, not {last}")


class Idle:
    """Read everything and answer pings."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lines = 0
        self.begun = False
        self._frames = Frames()

    def feed(self, data: bytes | memoryview) -> None:
        """Parse frames and answer pings."""
        self.begun = True
        for first, payload in self._frames.feed(data):
            if first == PING:
                self.sock.send(_PONG)
            elif first == CLOSE:
                raise Mismatch(f"the server closed an idle client: {payload!r}")
