"""Parse the engine's log stream without I/O: feed bytes, take lines.

The format is that of the Docker Engine API with ``timestamps=1`` ("Get container logs"
and "Attach to a container").  Without a terminal, a container's log comes in frames, one
for each piece: one byte for the stream, three of padding, four of length in network
order, then the time stamp, a space and the text.  With a terminal there are no frames,
only lines.

The engine cuts a long line into pieces of 16 KiB that all carry the time stamp of the
first; only the last piece ends in a newline.  Pieces of stdout and stderr may interleave.
The log driver local of Docker 20.10 omits the newline of a last piece.
"""

from __future__ import annotations

import codecs
import re
from struct import Struct
from typing import Final, Protocol

import msgspec

from mist import clock
from mist.messages import Stream

# The end of a line that was truncated.
TRUNCATED: Final = " … [truncated]"

# The engine's copier writes an entry when a line ends, or after this many bytes.
PIECE_BYTES: Final = 16_384

# U+FFFD in UTF-8.
_REPLACEMENT: Final = "\ufffd".encode()

# Pieces are never this large.  A larger length means that the parser lost the frames.
FRAME_LIMIT: Final = 64 * 1024 * 1024

HEADER: Final = Struct("!BxxxI")
_STREAMS: Final[dict[int, Stream]] = {1: "stdout", 2: "stderr"}
# The stream number of a frame in which the engine says why it stops.
SYSTEM_ERROR: Final = 3

# The size of ``2025-01-15T10:30:00.000000000Z`` and the space after it.
_STAMP_BYTES: Final = 31
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a container's log without its newline; ``timestamp`` has 30 characters."""

    timestamp: str
    stream: Stream
    text: str


def key(stream: Stream, timestamp: str) -> str:
    """Return what the pieces of one line have in common."""
    return stream + timestamp


class LogParser(Protocol):
    """The interface of both parsers."""

    failure: str
    """The engine's error message in place of a line; whatever follows it is not parsed."""
    joined: int
    """The number of pieces that were not the last of their line."""

    @property
    def unfinished(self) -> list[str]:
        """The keys of the lines that have begun and not ended yet."""

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes, split anywhere, and return the lines that end in them."""

    def finish(self) -> list[Line]:
        """Return the unterminated lines, once the container has ended."""


def parser(tty: bool, limit: int) -> LogParser:
    """Return the parser for a container with or without a terminal.

    ``limit`` is the maximum size of a line in bytes.
    """
    return Terminal(limit) if tty else Multiplexed(limit)


class _Piecemeal:
    """A line that arrives in pieces; bytes beyond the limit are dropped."""

    def __init__(self, timestamp: str, limit: int) -> None:
        self.timestamp = timestamp
        self._room = limit
        self._parts: list[bytes] = []
        self._cut = False

    def add(self, text: bytes) -> None:
        self._cut = self._cut or len(text) > self._room
        if self._room:
            self._parts.append(text[: self._room])
            self._room -= len(self._parts[-1])

    def text(self) -> str:
        raw = b"".join(self._parts)
        if not self._cut:
            return raw.decode("utf-8", "replace")
        # The cut may split a character.  An incremental decoder keeps the incomplete bytes
        # to itself, where bytes.decode() would show them as U+FFFD.
        return codecs.getincrementaldecoder("utf-8")("replace").decode(raw) + TRUNCATED


class Multiplexed:
    """The parser for a container without a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.joined = 0
        self._limit = limit
        self._rest = b""
        self._open: dict[Stream, _Piecemeal] = {}  # in the order of their first pieces

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes.  Every line passes through here, so the common case is inlined."""
        data = self._rest + data
        lines: list[Line] = []
        start, end = 0, len(data)
        while end - start >= 8 and not self.failure:
            kind, size = HEADER.unpack_from(data, start)
            stop = start + 8 + size
            # A frame with an absurd length is passed on, so that _take() reports it.
            if stop > end and size <= FRAME_LIMIT:
                break
            payload = data[start + 8 : stop]
            start = stop
            # The common case: one whole line, with no unfinished line before it.
            if (
                payload[-1:] == b"\n"
                and payload[29:31] == b"Z "
                and size <= PIECE_BYTES
                and kind in _STREAMS
                and not self._open
            ):
                text = payload[31:-1].decode("utf-8", "replace")
                lines.append(Line(payload[:30].decode(), _STREAMS[kind], text))
            elif payload:
                self._take(kind, payload, lines)
        self._rest = data[start:]
        return lines

    @property
    def unfinished(self) -> list[str]:
        """The keys of the lines that have begun and not ended yet."""
        return [key(name, part.timestamp) for name, part in self._open.items()]

    def finish(self) -> list[Line]:
        """Return the unterminated lines in the order of their beginnings."""
        lines = [Line(part.timestamp, name, part.text()) for name, part in self._open.items()]
        self._open.clear()
        return lines

    def _take(self, kind: int, payload: bytes, lines: list[Line]) -> None:
        """Take a frame that is not simply a whole line."""
        stamp, text = stamped(payload)
        if not stamp or kind not in _STREAMS:
            self.failure = complaint(kind, payload)
            return
        timestamp = stamp.decode()
        stream = _STREAMS[kind]
        part = self._open.pop(stream, None)
        if part and part.timestamp != timestamp:
            # The container ended in the middle of a line; this is its next start.
            lines.append(Line(part.timestamp, stream, part.text()))
            self.joined -= 1  # that piece was the last of its line after all
            part = None
        ends = text.endswith(b"\n") or (part is not None and len(text) < PIECE_BYTES)
        part = part or _Piecemeal(timestamp, self._limit)
        part.add(text.removesuffix(b"\n"))
        if ends:
            lines.append(Line(timestamp, stream, part.text()))
        else:
            self.joined += 1
            self._open[stream] = part


def complaint(kind: int, payload: bytes) -> str:
    """Return the engine's message in place of a line."""
    if kind in _STREAMS or kind == SYSTEM_ERROR:
        return payload[:1024].decode("utf-8", "replace").strip()
    return "the engine's log stream is not in the documented format"


def stamped(payload: bytes) -> tuple[bytes, bytes]:
    """Return the time stamp and the rest, or an empty time stamp if there is none."""
    if _STAMP.match(payload):
        return payload[: _STAMP_BYTES - 1], payload[_STAMP_BYTES:]
    # Some log drivers write time stamps in another time zone.
    head, _, text = payload.partition(b" ")
    try:
        return clock.normalize(head.decode("ascii")).encode(), text
    except ValueError:
        return b"", payload


class Terminal:
    """The parser for a container with a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.joined = 0
        self._limit = limit
        # The part of a line that is kept, with the time stamps of all its pieces.
        self._room = limit + (limit // PIECE_BYTES + 2) * _STAMP_BYTES + 1
        self._rest = b""

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes and return the lines that end in them."""
        *ended, rest = data.split(b"\n")
        lines: list[Line] = []
        for piece in ended:
            self._rest = self._keep(piece)
            self._end_glued(lines, ended=True)
            self._end(self._rest, lines)
            self._rest = b""
        self._rest = self._keep(rest)
        self._end_glued(lines, ended=False)
        return lines

    @property
    def unfinished(self) -> list[str]:
        """The key of the line that has begun and not ended yet."""
        stamp, _ = stamped(self._rest)
        return [key("stdout", stamp.decode())] if stamp else []

    def finish(self) -> list[Line]:
        """Return the unterminated line, usually a prompt."""
        lines: list[Line] = []
        self._end_glued(lines, ended=True)
        if self._rest:
            self._end(self._rest, lines)
        self._rest = b""
        return lines

    def _keep(self, piece: bytes) -> bytes:
        if not self._rest:
            return piece[: self._room]
        return self._rest + piece[: self._room - len(self._rest)]

    def _end_glued(self, lines: list[Line], *, ended: bool) -> None:
        """Take off the lines that the next one follows without a newline."""
        while len(self._rest) > PIECE_BYTES and (end := next_line(self._rest, ended=ended)):
            self._end(self._rest[:end], lines)
            self._rest = self._rest[end:]

    def _end(self, raw: bytes, lines: list[Line]) -> None:
        mark, text = stamped(raw)
        if not mark:
            self.failure = self.failure or complaint(1, raw)
        if self.failure:
            return
        timestamp = mark.decode()
        # A terminal ends its lines with CR LF.
        if len(text) <= min(PIECE_BYTES, self._limit):
            text = text.removesuffix(b"\r")
            lines.append(Line(timestamp, "stdout", text.decode("utf-8", "replace")))
            return
        stamp = raw[: len(raw) - len(text)]
        whole = unstamped(text, stamp)
        self.joined += (len(text) - len(whole)) // len(stamp)
        part = _Piecemeal(timestamp, self._limit)
        part.add(whole.removesuffix(b"\r"))
        lines.append(Line(timestamp, "stdout", part.text()))


def unstamped(text: bytes, stamp: bytes) -> bytes:
    """Return a terminal's long line without the time stamps that later pieces repeat."""
    ends = _repetitions(text, stamp)
    starts = [0, *(end + len(stamp) for end in ends)]
    return b"".join(text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True))


def next_line(raw: bytes, *, ended: bool) -> int:
    """Return where another line follows a terminal's long line without a newline, or 0.

    The line ends in a carriage return, and the next one has a later time stamp.  A program
    may print such a time in any piece but the first, so only the last piece is searched.
    Without ``ended``, more of ``raw`` may follow.
    """
    # Called for each piece of a line, so a line that has not ended must cost little.
    if b"\r" not in raw:
        return 0
    stamp, text = stamped(raw)
    mark = raw[: len(raw) - len(text)]
    if not stamp or not (repetitions := _repetitions(text, mark)):
        return 0
    last = repetitions[-1] + 2 * len(mark)  # the beginning of the last piece in ``raw``
    # Another piece may follow, of which the time stamp may be incomplete.
    if not ended and _is_piece(raw[last : -len(mark)]):
        return 0
    for found in _STAMP.finditer(raw, last):
        at = found.start()
        end = at - len(mark) if at == last else at
        if found[1] > stamp and raw[end - 1 : end] == b"\r":
            return at
    return 0


def _repetitions(text: bytes, stamp: bytes) -> list[int]:
    """Return where the later pieces of a terminal's long line repeat its time stamp."""
    # The engine puts no newline between the pieces, so their size and the stamp are the
    # only marks.
    found, start = [], 0
    while (end := text.find(stamp, start + PIECE_BYTES)) >= 0:
        if not _is_piece(text[start:end]):
            break
        found.append(end)
        start = end + len(stamp)
    return found


def _is_piece(piece: bytes) -> bool:
    """Return True if the container may have written ``piece`` as 16,384 bytes.

    A piece can begin and end within a character.  The log driver json-file then stores
    U+FFFD, which has three bytes, for each single byte that is not valid UTF-8.
    """
    return len(piece) - 2 * piece.count(_REPLACEMENT) <= PIECE_BYTES
