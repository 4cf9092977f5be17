"""One shared ring of WebSocket frames for each topic, and a cursor for each client.

Lines are turned into frames once, when they arrive from the bus, and every client is sent
the same buffers.  The ring is bounded in lines and bytes, so memory does not grow with
slow clients.  A client whose cursor has fallen off the ring's end is told how many lines
it missed, and continues from there.

Clients that ask for the positions of lines share a second form of the same frames, which
is made when the first of them needs it, and kept as long as there is such a client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from api.websocket.frames import payloads, text_frame
from bus.replay import START, Position
from bus.wire import Kind
from mist import messages
from mist.log_range import After, LinePosition

# The most that a cursor returns at once: enough for one system call to fill a socket's buffer.
TAKE_BUFFERS: Final = 64
TAKE_BYTES: Final = 262_144


class Chunk(NamedTuple):
    """The frames of one bus message, and the position of its lines in the topic.

    A chunk of the kind LOG without lines is the notice that lines are missing in its place.
    """

    frames: bytes
    kind: Kind
    lines: int
    lines_before: int
    """The number of the topic's lines before this chunk."""
    last_timestamp: str
    offset: int
    """The position of the lines in the file, if the topic has one."""
    epoch: int
    seq: int
    """The number of the first line on the bus; 0 if unknown."""

    @property
    def gap(self) -> bool:
        """Return True for the notice that lines are missing here."""
        return self.kind is Kind.LOG and not self.lines

    @property
    def last(self) -> int:
        """The number of the last line on the bus."""
        return self.seq + max(self.lines, 1) - 1


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
        self._positioned: dict[int, bytes] = {}
        self._begin = START
        self._max_lines = max_lines
        self._max_bytes = max_bytes

    def append(  # noqa: PLR0913 - a chunk has as many properties
        self,
        frames: bytes,
        kind: Kind,
        lines: int = 0,
        last_timestamp: str = "",
        *,
        size: int = 0,
        position: Position = START,
    ) -> None:
        """Add the frames of one message, and drop the oldest chunks beyond the bounds.

        ``size`` is the number of bytes that the message takes in the topic's file, and
        ``position`` is that of its first line on the bus.
        """
        epoch, seq = position
        if not self._begin.epoch:
            self._begin = Position(epoch, seq - 1)
        self._chunks[self.head] = Chunk(
            frames, kind, lines, self.lines, last_timestamp, self.offset, epoch, seq
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

    def frames(self, number: int) -> bytes:
        """Return the frames of the chunk with this number."""
        return self._chunks[number].frames

    def positioned(self, number: int) -> bytes:
        """Return the same frames with the position of each line."""
        frames = self._positioned.get(number)
        if frames is None:
            frames = self._positioned[number] = _with_positions(self._chunks[number])
        return frames

    def forget_positions(self) -> None:
        """Drop the second form of the frames, because no client needs it any more."""
        self._positioned.clear()

    def newest_first(self) -> Iterator[tuple[int, Chunk]]:
        """Return all chunks with their numbers, the newest first."""
        numbers = range(self.head - 1, self.tail - 1, -1)
        return ((number, self._chunks[number]) for number in numbers)

    def timestamps(self) -> Iterator[str]:
        """Yield the times of the log lines, the newest first."""
        for _, chunk in self.newest_first():
            if chunk.kind is Kind.LOG and chunk.lines:
                # This one is known without parsing frames, and a client often needs no others.
                yield chunk.last_timestamp
                for _, payload, _ in [*payloads(chunk.frames)][-2::-1]:
                    yield messages.log_timestamp(chunk.frames[payload : payload + 64])

    def after(self, position: LinePosition) -> After:
        """Count the lines after the line with this position."""
        epoch, seq = position
        lines = 0
        for _, chunk in self.newest_first():
            if chunk.epoch == epoch and chunk.seq <= seq:
                return After(lines + max(0, chunk.last - seq))
            lines += chunk.lines
        # The numbers between the line and the ring's beginning were dropped, or never came.
        return After(lines, max(0, self._begin.seq - seq) if self._begin.epoch == epoch else None)

    def tail_frames(
        self, lines: int, kind: Kind = Kind.LOG, *, positions: bool = False, gap: bool = False
    ) -> list[bytes]:
        """Return the frames of the last ``lines`` messages of a kind, in order.

        Notices of missing lines between them are included; with ``gap``, one before them, too.
        """
        frames_of = self.positioned if positions else self.frames
        found: list[bytes] = []
        for number, chunk in self.newest_first():
            if lines <= 0 and not (gap and chunk.gap):
                break
            if chunk.kind is kind:
                count = 0 if chunk.gap else chunk.lines or 1
                frames = frames_of(number)
                found.append(frames if count <= lines else _last_frames(frames, count - lines))
                lines -= count
        found.reverse()
        return found

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
        self._positioned.pop(self.tail, None)
        self.tail += 1
        if chunk.gap:
            following = self._chunks[self.tail]
            self._begin = Position(following.epoch, following.seq - 1)
        elif chunk.seq:
            self._begin = Position(chunk.epoch, chunk.last)
        self._bytes -= len(chunk.frames)
        self._weight -= chunk.lines or 1


class Cursor:
    """A client's position in a ring, and the ``Source`` of its connection.

    ``prelude`` holds the frames that only this client gets first: the status and the tail.
    ``positions`` means that the client asked for the positions of lines.
    """

    __slots__ = ("_frames", "_line", "_next", "_prelude", "_ring", "_stop")

    def __init__(self, ring: Ring, prelude: list[bytes], *, positions: bool = False) -> None:
        self._ring = ring
        self._frames = ring.positioned if positions else ring.frames
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
            return [self._frames(first)]
        return self._take_many(last)

    def _take_many(self, last: int) -> list[bytes]:
        ring = self._ring
        buffers = self._catch_up()
        size = 0
        while self._next < last and len(buffers) < TAKE_BUFFERS and size < TAKE_BYTES:
            frames = self._frames(self._next)
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


def _last_frames(frames: bytes, leave_out: int) -> bytes:
    """Return ``frames`` without the first ``leave_out`` frames."""
    for number, (start, _, _) in enumerate(payloads(frames)):
        if number == leave_out:
            return frames[start:]
    return b""


def _with_positions(chunk: Chunk) -> bytes:
    """Return the frames of a chunk with the position of each line."""
    if not chunk.lines:
        return chunk.frames
    return b"".join(
        text_frame(
            messages.positioned(chunk.frames[start:end], str(LinePosition(chunk.epoch, seq)))
        )
        for seq, (_, start, end) in enumerate(payloads(chunk.frames), chunk.seq)
    )
