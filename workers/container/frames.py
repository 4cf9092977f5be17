"""Parses the engine's log stream, without I/O: feed bytes, take lines.

The format is that of the Docker Engine API, "Container logs" and "Attach to a
container", with ``timestamps=1``.  A container without a terminal has a frame
for each piece: one byte for the stream, three of padding, four of length in
network order, then the time stamp, a blank and the text.  A container with a
terminal has no frames, only lines.

The engine cuts a long line into pieces of 16 KiB which all carry the time stamp
of the first; only the last ends in a newline.  Pieces of stdout and stderr may
come in between each other.
"""

from __future__ import annotations

import codecs
import re
from struct import Struct
from typing import Final, Protocol

import msgspec

from mist import clock
from mist.messages import Stream

#: What a line that was cut ends with.
TRUNCATED: Final = " … [truncated]"

#: The engine's copier hands a line over when it ends, or after this many bytes.
PIECE_BYTES: Final = 16_384

#: No piece of a real stream is larger; one that claims to be means that we lost the frames.
_FRAME_LIMIT: Final = 64 * 1024 * 1024

_HEADER: Final = Struct("!BxxxI")
_STREAMS: Final[dict[int, Stream]] = {1: "stdout", 2: "stderr"}
#: A frame of this stream is the engine's own word about why it stops.
_SYSTEM_ERROR: Final = 3

#: ``2025-01-15T10:30:00.000000000Z`` and the blank after it.
_STAMP_BYTES: Final = 31
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a container's log, without its end; ``timestamp`` has 30 characters."""

    timestamp: str
    stream: Stream
    text: str


class LogParser(Protocol):
    """Either format's parser."""

    failure: str
    """What the engine said instead of a line; nothing that follows it can be trusted."""
    joined: int
    """How many of the engine's pieces were no line's last."""

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes, however they are split, and return the lines that end in them."""

    def finish(self) -> list[Line]:
        """The lines that never ended, once the container did."""


def parser(tty: bool, limit: int) -> LogParser:
    """The parser for a container with or without a terminal; ``limit`` in bytes of a line."""
    return Terminal(limit) if tty else Multiplexed(limit)


class _Piecemeal:
    """A line that comes in pieces; bytes beyond the limit are counted, not kept."""

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
        # The cut may go through a character: the decoder keeps its beginning to itself.
        return codecs.getincrementaldecoder("utf-8")("replace").decode(raw) + TRUNCATED


class Multiplexed:
    """The stream of a container without a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.joined = 0
        self._limit = limit
        self._rest = b""
        self._open: dict[Stream, _Piecemeal] = {}

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes; this is the way of every line, and kept short for that reason."""
        data = self._rest + data
        lines: list[Line] = []
        start, end = 0, len(data)
        while end - start >= 8 and not self.failure:
            kind, size = _HEADER.unpack_from(data, start)
            stop = start + 8 + size
            if stop > end and size <= _FRAME_LIMIT:
                break
            payload = data[start + 8 : stop]
            start = stop
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

    def finish(self) -> list[Line]:
        """The lines that never ended, in the order of their beginnings."""
        lines = [Line(part.timestamp, name, part.text()) for name, part in self._open.items()]
        self._open.clear()
        return lines

    def _take(self, kind: int, payload: bytes, lines: list[Line]) -> None:
        """Take a frame that is not simply a whole line."""
        timestamp, text = _stamped(payload)
        if not timestamp or kind not in _STREAMS:
            self.failure = _complaint(kind, payload)
            return
        stream = _STREAMS[kind]
        part = self._open.pop(stream, None)
        if part and part.timestamp != timestamp:
            # What never ended before the container did is followed by its next start.
            lines.append(Line(part.timestamp, stream, part.text()))
            self.joined -= 1
            part = None
        part = part or _Piecemeal(timestamp, self._limit)
        part.add(text.removesuffix(b"\n"))
        if text.endswith(b"\n"):
            lines.append(Line(timestamp, stream, part.text()))
        else:
            self.joined += 1
            self._open[stream] = part


def _complaint(kind: int, payload: bytes) -> str:
    if kind in _STREAMS or kind == _SYSTEM_ERROR:
        return payload[:1024].decode("utf-8", "replace").strip()
    return "the engine's log stream is not in the documented format"


def _stamped(payload: bytes) -> tuple[str, bytes]:
    """The time stamp and what follows it; "" if there is none."""
    if _STAMP.match(payload):
        return payload[:30].decode("ascii"), payload[_STAMP_BYTES:]
    # Engines whose log driver keeps another time zone.
    head, _, text = payload.partition(b" ")
    try:
        return clock.normalize(head.decode("ascii")), text
    except ValueError:
        return "", payload


class Terminal:
    """The stream of a container with a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.joined = 0
        self._limit = limit
        # As much of a line as is kept, with the time stamps of all its pieces.
        self._room = limit + (limit // PIECE_BYTES + 2) * _STAMP_BYTES + 1
        self._rest = b""

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes."""
        *ended, rest = data.split(b"\n")
        lines: list[Line] = []
        for piece in ended:
            self._end(self._keep(piece), lines)
            self._rest = b""
        self._rest = self._keep(rest)
        return lines

    def finish(self) -> list[Line]:
        """The line that never ended: a prompt, most often."""
        lines: list[Line] = []
        if self._rest:
            self._end(self._rest, lines)
        self._rest = b""
        return lines

    def _keep(self, piece: bytes) -> bytes:
        if not self._rest:
            return piece[: self._room]
        return self._rest + piece[: self._room - len(self._rest)]

    def _end(self, raw: bytes, lines: list[Line]) -> None:
        timestamp, text = _stamped(raw)
        if not timestamp:
            self.failure = self.failure or _complaint(1, raw)
        if self.failure:
            return
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
    """A terminal's long line without the time stamps that its later pieces repeat."""
    parts = [text[:PIECE_BYTES]]
    start = PIECE_BYTES
    while text.startswith(stamp, start):
        start += len(stamp)
        parts.append(text[start : start + PIECE_BYTES])
        start += PIECE_BYTES
    return b"".join([*parts, text[start:]])
