"""One shared ring of WebSocket frames for each topic, and a cursor for each client.

Lines are turned into frames once, when they arrive from the bus, and every client is sent
the same buffers.  The ring is bounded in lines and bytes, so memory does not grow with
slow clients.  A client whose cursor has fallen off the ring's end is told how many lines
it missed, and continues from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from api.websocket.frames import payloads, text_frame
from bus.wire import Kind
from mist import messages

# The most that a cursor returns at once: enough for one system call to fill a socket's buffer.
TAKE_BUFFERS: Final = 64
TAKE_BYTES: Final = 262_144


class Chunk(NamedTuple):
    """The frames of one bus message, and the position of its lines in the topic."""

    frames: bytes
    kind: Kind
    lines: int
    lines_before: int
    """The number of the topic's lines before this chunk."""
    last_timestamp: str
    offset: int
    """The position of the lines in the file, if the topic has one."""


class Ring:
    """The newest chunks of a topic, by consecutive numbers."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.head = 0
        """The number of the next chunk to come."""
        self.tail = 0
        """The number of the oldest chunk."""
        self.lines = 0
        """The number of the topic's lines up to the head."""
        self.offset = 0
        """The size of these lines in the file in bytes, if the topic has one."""
        self._bytes = 0
        self._weight = 0
        self._chunks: dict[int, Chunk] = {}
        self._max_lines = max_lines
        self._max_bytes = max_bytes

    def append(
        self, frames: bytes, kind: Kind, lines: int = 0, last_timestamp: str = "", size: int = 0
    ) -> None:
        """Add the frames of one message, and drop the oldest chunks beyond the bounds.

        ``size`` is the number of bytes that the message takes in the topic's file.
        """
        self._chunks[self.head] = Chunk(
            frames, kind, lines, self.lines, last_timestamp, self.offset
        )
        self.head += 1
        self.lines += lines
        self.offset += size
        self._bytes += len(frames)
        self._weight += lines or 1  # messages without lines take memory, too
        while self._beyond_bounds():
            self._drop()

    def __getitem__(self, number: int) -> Chunk:
        """Return the chunk with this number; raise KeyError if the ring no longer has it."""
        return self._chunks[number]

    def newest_first(self) -> Iterator[Chunk]:
        """Return all chunks, the newest first."""
        return (self._chunks[number] for number in range(self.head - 1, self.tail - 1, -1))

    def lines_up_to(self, number: int) -> int:
        """Return the number of the topic's lines before the chunk with this number."""
        return self._chunks[number].lines_before if number < self.head else self.lines

    def offset_of(self, number: int) -> int:
        """Return the position in the file at which the chunk with this number begins."""
        return self._chunks[number].offset if number < self.head else self.offset

    def _beyond_bounds(self) -> bool:
        too_much = self._weight > self._max_lines or self._bytes > self._max_bytes
        # The newest chunk always stays, however large it is.
        return too_much and self.head - self.tail > 1

    def _drop(self) -> None:
        chunk = self._chunks.pop(self.tail)
        self.tail += 1
        self._bytes -= len(chunk.frames)
        self._weight -= chunk.lines or 1


class Cursor:
    """A client's position in a ring, and the ``Source`` of its connection.

    ``prelude`` holds the frames that only this client gets first: the status and the tail.
    """

    __slots__ = ("_line", "_next", "_prelude", "_ring", "_stop")

    def __init__(self, ring: Ring, prelude: list[bytes]) -> None:
        self._ring = ring
        self._prelude = prelude
        self._next = ring.head
        self._line = ring.lines
        self._stop: int | None = None

    def stop_here(self) -> None:
        """Return no chunks that are appended from now on, because the stream is over."""
        self._stop = self._ring.head

    def take(self) -> list[bytes]:
        """Return the next buffers of whole frames; none if the client has everything."""
        if self._prelude:
            prelude, self._prelude = self._prelude, []
            return prelude
        ring = self._ring
        first = self._next
        last = ring.head if self._stop is None else self._stop
        if first >= last:
            return []
        # The usual case is a single new chunk, so handle it without building a batch.
        if first + 1 == last and first >= ring.tail:
            self._next = last
            self._line = ring.lines if last == ring.head else ring.lines_up_to(last)
            return [ring[first].frames]
        return self._take_many(last)

    def _take_many(self, last: int) -> list[bytes]:
        ring = self._ring
        buffers = self._catch_up()
        size = 0
        while self._next < last and len(buffers) < TAKE_BUFFERS and size < TAKE_BYTES:
            frames = ring[self._next].frames
            buffers.append(frames)
            size += len(frames)
            self._next += 1
        self._line = ring.lines_up_to(self._next)
        return buffers

    def _catch_up(self) -> list[bytes]:
        """Continue at the ring's end if the client fell off it.

        Return the notice of how many lines it missed.
        """
        ring = self._ring
        if self._next >= ring.tail:
            return []
        self._next = ring.tail
        missed = ring.lines_up_to(ring.tail) - self._line
        return [text_frame(messages.skipped(missed))] if missed > 0 else []


class Parts:
    """A source with a fixed list of buffers."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    def take(self) -> list[bytes]:
        """Return all buffers at the first call, and nothing later."""
        parts, self._parts = self._parts, []
        return parts


def tail(ring: Ring, lines: int, kind: Kind = Kind.LOG) -> list[bytes]:
    """Return the frames of the last ``lines`` messages of a kind, in order."""
    found: list[bytes] = []
    for chunk in ring.newest_first():
        if lines <= 0:
            break
        if chunk.kind is not kind:
            continue
        count = chunk.lines or 1
        found.append(chunk.frames if count <= lines else _last_frames(chunk.frames, count - lines))
        lines -= count
    found.reverse()
    return found


def _last_frames(frames: bytes, leave_out: int) -> bytes:
    """Return ``frames`` without the first ``leave_out`` frames."""
    for number, (start, _, _) in enumerate(payloads(frames)):
        if number == leave_out:
            return frames[start:]
    return b""


def timestamps(ring: Ring) -> Iterator[str]:
    """Yield the times of the log lines, the newest first."""
    for chunk in ring.newest_first():
        if chunk.kind is Kind.LOG:
            # This one is known without parsing frames, and a client often needs no others.
            yield chunk.last_timestamp
            for _, payload, _ in [*payloads(chunk.frames)][-2::-1]:
                yield messages.log_timestamp(chunk.frames[payload : payload + 64])
