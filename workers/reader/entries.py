"""Parse the engine's log stream into lines of bytes, without I/O.

The format is explained in ``workers/container/frames.py``.  A collector needs text; a
reader searches in bytes, and most lines that it reads are never sent.
"""

from __future__ import annotations

import codecs
from typing import Final, Protocol, TypeAlias

from workers.container.frames import (
    FRAME_LIMIT,
    HEADER,
    PIECE_BYTES,
    TRUNCATED,
    complaint,
    next_line,
    stamped,
    unstamped,
)

Entry: TypeAlias = tuple[bytes, int, bytes]
"""The time stamp (30 bytes), the stream (1 or 2), and the line without its newline."""

_TRUNCATED: Final = TRUNCATED.encode()


class EntryParser(Protocol):
    """The interface of both parsers."""

    failure: str
    """The engine's error message in place of a line; whatever follows it is not parsed."""
    pieces: int
    """The number of pieces that were not the last of their line."""

    def feed(self, data: bytes) -> list[Entry]:
        """Take the next bytes, split anywhere, and return the lines that end in them."""

    def finish(self) -> list[Entry]:
        """Return the unterminated lines at the end of the stream."""


def parser(tty: bool, limit: int) -> EntryParser:
    """Return the parser for a container with or without a terminal.

    ``limit`` is the maximum size of a line in bytes.
    """
    return Terminal(limit) if tty else Multiplexed(limit)


class Multiplexed:
    """The parser for a container without a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.pieces = 0
        self._limit = limit
        self._rest = b""
        # Unfinished lines by stream: the time stamp, and the line so far.
        self._open: dict[int, tuple[bytes, bytearray]] = {}

    def feed(self, data: bytes) -> list[Entry]:
        """Take the next bytes.  Every line passes through here, so the common case is inlined."""
        data = self._rest + data
        lines: list[Entry] = []
        start, end = 0, len(data)
        while end - start >= 8 and not self.failure:
            kind, size = HEADER.unpack_from(data, start)
            stop = start + 8 + size
            if stop > end and size <= FRAME_LIMIT:
                break
            payload = data[start + 8 : stop]
            start = stop
            if (
                payload[-1:] == b"\n"
                and payload[29:31] == b"Z "
                and size <= PIECE_BYTES
                and kind in (1, 2)
                and not self._open
            ):
                lines.append((payload[:30], kind, payload[31:-1]))
            elif payload:
                self._take(kind, payload, lines)
        self._rest = data[start:]
        return lines

    def finish(self) -> list[Entry]:
        """Return the unterminated lines in the order of their beginnings."""
        lines = [self._line(kind, *part) for kind, part in self._open.items()]
        self._open.clear()
        if self._rest and not self.failure:
            self.failure = "the engine's log stream ended in the middle of a line"
        return lines

    def _take(self, kind: int, payload: bytes, lines: list[Entry]) -> None:
        stamp, text = stamped(payload)
        if not stamp or kind not in (1, 2):
            self.failure = complaint(kind, payload)
            return
        part = self._open.pop(kind, None)
        if part and part[0] != stamp:
            # The container ended in the middle of a line; this is its next start.
            lines.append(self._line(kind, *part))
            self.pieces -= 1
            part = None
        # See frames.py about lines whose last piece has no newline.
        ends = text.endswith(b"\n") or (part is not None and len(text) < PIECE_BYTES)
        part = part or (stamp, bytearray())
        # One byte more than the limit shows that the line is longer.
        part[1].extend(text.removesuffix(b"\n")[: self._limit + 1 - len(part[1])])
        if ends:
            lines.append(self._line(kind, *part))
        else:
            self.pieces += 1
            self._open[kind] = part

    def _line(self, kind: int, stamp: bytes, text: bytearray) -> Entry:
        return stamp, kind, cut(bytes(text), self._limit)


class Terminal:
    """The parser for a container with a terminal."""

    def __init__(self, limit: int) -> None:
        self.failure = ""
        self.pieces = 0
        self._limit = limit
        stamps = (limit // PIECE_BYTES + 2) * 31
        self._room = limit + stamps + 1
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Entry]:
        """Take the next bytes and return the lines that end in them."""
        *ended, rest = data.split(b"\n")
        lines: list[Entry] = []
        for piece in ended:
            self._keep(piece)
            self._end_glued(lines, ended=True)
            self._end(lines, len(self._rest))
        self._keep(rest)
        self._end_glued(lines, ended=False)
        return lines

    def finish(self) -> list[Entry]:
        """Return the unterminated line, usually a prompt."""
        lines: list[Entry] = []
        self._end_glued(lines, ended=True)
        if self._rest:
            self._end(lines, len(self._rest))
        return lines

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: max(0, self._room - len(self._rest))]

    def _end_glued(self, lines: list[Entry], *, ended: bool) -> None:
        """Take off the lines that the next one follows without a newline."""
        while len(self._rest) > PIECE_BYTES:
            end = next_line(bytes(self._rest), ended=ended)
            if not end:
                return
            self._end(lines, end)

    def _end(self, lines: list[Entry], length: int) -> None:
        raw = bytes(self._rest[:length])
        del self._rest[:length]
        stamp, text = stamped(raw)
        if not stamp:
            self.failure = self.failure or complaint(1, raw)
        if self.failure:
            return
        if len(text) > PIECE_BYTES:
            mark = raw[: len(raw) - len(text)]
            whole = unstamped(text, mark)
            self.pieces += (len(text) - len(whole)) // len(mark)
            text = whole
        lines.append((stamp, 1, cut(text, self._limit)))


def cut(text: bytes, limit: int) -> bytes:
    """Truncate a line at ``limit`` bytes, and mark it."""
    if len(text) <= limit:
        return text
    # The cut may split a character.  An incremental decoder keeps the incomplete bytes.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return decoder.decode(text[:limit]).encode("utf-8", "surrogateescape") + _TRUNCATED
