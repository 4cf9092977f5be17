"""One shared ring of WebSocket frames for each topic, and a cursor for each client.

Lines become frames once, when they arrive from the bus; every client is sent
the very same buffers.  The ring is bounded in lines and bytes, so memory does
not grow with slow clients: one whose cursor has fallen off the ring's end is
told how many lines it missed and goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from api.websocket.frames import payloads, text_frame
from bus.wire import Kind
from mist import messages

# What a cursor gives at once: enough for one system call to fill a socket's buffer.
TAKE_BUFFERS: Final = 64
TAKE_BYTES: Final = 262_144


class Chunk(NamedTuple):
    """The frames of one bus message, and where its lines stand among all of the topic.

    ``offset`` is where they begin in the file, if the topic is kept in one.
    """

    frames: bytes
    kind: Kind
    lines: int
    lines_before: int
    last_timestamp: str
    offset: int


class Ring:
    """Chunks by their running number; ``tail`` is the oldest, ``head`` the next to come.

    ``lines`` counts the topic's lines up to the head, and ``offset`` the bytes that
    they take in the file, if the topic is kept in one.
    """

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.head = 0
        self.tail = 0
        self.lines = 0
        self.offset = 0
        self._bytes = 0
        self._weight = 0
        self._chunks: dict[int, Chunk] = {}
        self._max_lines = max_lines
        self._max_bytes = max_bytes

    def append(
        self, frames: bytes, kind: Kind, lines: int = 0, last_timestamp: str = "", size: int = 0
    ) -> None:
        """Add the frames of one message, and drop what is beyond the bounds.

        ``size`` is how many bytes of a file the message takes.
        """
        self._chunks[self.head] = Chunk(
            frames, kind, lines, self.lines, last_timestamp, self.offset
        )
        self.head += 1
        self.lines += lines
        self.offset += size
        self._bytes += len(frames)
        self._weight += lines or 1
        while self._beyond_bounds():
            self._drop()

    def __getitem__(self, number: int) -> Chunk:
        """The chunk of that number; KeyError if the ring has it no more."""
        return self._chunks[number]

    def newest_first(self) -> Iterator[Chunk]:
        """All chunks, the last one first."""
        return (self._chunks[number] for number in range(self.head - 1, self.tail - 1, -1))

    def lines_up_to(self, number: int) -> int:
        """How many lines of the topic came before the chunk of that number."""
        return self._chunks[number].lines_before if number < self.head else self.lines

    def offset_of(self, number: int) -> int:
        """Return where in the file the chunk of that number begins, or is going to begin."""
        return self._chunks[number].offset if number < self.head else self.offset

    def _beyond_bounds(self) -> bool:
        too_much = self._weight > self._max_lines or self._bytes > self._max_bytes
        return too_much and self.head - self.tail > 1

    def _drop(self) -> None:
        chunk = self._chunks.pop(self.tail)
        self.tail += 1
        self._bytes -= len(chunk.frames)
        self._weight -= chunk.lines or 1


class Cursor:
    """A client's place in a ring: the ``Source`` of its connection.

    ``prelude`` is what this client alone gets first: the status and the tail.
    """

    __slots__ = ("_line", "_next", "_prelude", "_ring", "_stop")

    def __init__(self, ring: Ring, prelude: list[bytes]) -> None:
        self._ring = ring
        self._prelude = prelude
        self._next = ring.head
        self._line = ring.lines
        self._stop: int | None = None

    def stop_here(self) -> None:
        """Give nothing that comes to the ring from now on: the client's stream is over."""
        self._stop = self._ring.head

    def take(self) -> list[bytes]:
        """The next buffers of whole frames; none when the client has everything."""
        if self._prelude:
            prelude, self._prelude = self._prelude, []
            return prelude
        ring = self._ring
        first = self._next
        last = ring.head if self._stop is None else self._stop
        if first >= last:
            return []
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
        """Go on at the ring's end if the client fell off it, and tell it what it missed."""
        ring = self._ring
        if self._next >= ring.tail:
            return []
        self._next = ring.tail
        missed = ring.lines_up_to(ring.tail) - self._line
        return [text_frame(messages.skipped(missed))] if missed > 0 else []


class Parts:
    """A source that holds a few buffers and then nothing."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    def take(self) -> list[bytes]:
        """All parts, once."""
        parts, self._parts = self._parts, []
        return parts


def tail(ring: Ring, lines: int, kind: Kind = Kind.LOG) -> list[bytes]:
    """The frames of the last ``lines`` messages of a kind, in order."""
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
    """``frames`` without the first ``leave_out`` of them."""
    for number, (start, _, _) in enumerate(payloads(frames)):
        if number == leave_out:
            return frames[start:]
    return b""


def timestamps(ring: Ring) -> Iterator[str]:
    """The times of the log lines, the newest first."""
    for chunk in ring.newest_first():
        if chunk.kind is Kind.LOG:
            # Known without a look into the frames, and often all that a client needs.
            yield chunk.last_timestamp
            for _, payload, _ in [*payloads(chunk.frames)][-2::-1]:
                yield messages.log_timestamp(chunk.frames[payload : payload + 64])
