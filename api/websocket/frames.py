"""Frames as bytes, without I/O: build ours, and read the header of any (RFC 6455 §5.2).

A server's frames are unmasked, and ours are unfragmented and use no extension.  A frame
is thus its header followed by its payload, and many frames are their concatenation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

# The bits of the first two bytes (RFC 6455 §5.2).
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F

# The maximum payload of a control frame (RFC 6455 §5.5), and of a close frame's reason.
MAX_CONTROL_BYTES: Final = 125
MAX_REASON_BYTES: Final = MAX_CONTROL_BYTES - 2


class Opcode(IntEnum):
    """The opcodes that RFC 6455 §11.8 defines; all others are reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """The close codes that this package sends by itself (RFC 6455 §7.4.1).

    ``mist.close_codes`` has all others; this package does not import it.
    """

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011


class FrameHeader(NamedTuple):
    """The header of a frame; ``reserved`` holds the three RSV bits, ``size`` its own length."""

    final: bool
    reserved: int
    opcode: int
    masked: bool
    length: int
    size: int


def _header(opcode: int, length: int) -> bytes:
    """Return the header of an unmasked final frame with a payload of ``length`` bytes."""
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 65_536:  # the shortest form is required (RFC 6455 §5.2)
        return struct.pack("!BBH", _FIN | opcode, 126, length)
    return struct.pack("!BBQ", _FIN | opcode, 127, length)


# Precomputed headers of text frames up to the length of most log lines.
_TEXT_HEADERS: Final = tuple(_header(Opcode.TEXT, length) for length in range(1024))


def text_frame(payload: bytes) -> bytes:
    """Return one text frame; ``payload`` must be valid UTF-8."""
    return _header(Opcode.TEXT, len(payload)) + payload


def text_frames(body: bytes) -> bytes:
    """Return newline-delimited JSON as concatenated text frames, one per line.

    Empty lines produce no frame.
    """
    parts: list[bytes] = []
    headers = _TEXT_HEADERS
    for line in body.split(b"\n"):
        # No call of _header() here, because every line of every stream passes through.
        length = len(line)
        if length < 1024:
            if length:
                parts += (headers[length], line)
        else:
            parts += (_header(Opcode.TEXT, length), line)
    return b"".join(parts)


def ping_frame(payload: bytes = b"") -> bytes:
    """Return a ping frame; the payload may have at most 125 bytes."""
    return _header(Opcode.PING, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """Return a pong frame with the payload of the ping that it answers (RFC 6455 §5.5.3)."""
    return _header(Opcode.PONG, len(payload)) + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Return a close frame; with None, one without a code.

    The reason is truncated to 123 bytes at a character boundary.  Raise ValueError for a
    code that must not be sent.
    """
    if code is None:
        return _header(Opcode.CLOSE, 0)
    if not valid_close_code(code):
        raise ValueError(f"{code} is not a close code that may be sent (RFC 6455 §7.4)")
    text = reason.encode("utf-8", "replace")
    if len(text) > MAX_REASON_BYTES:
        # "ignore" drops a character that the cut has split.
        text = text[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()
    return _header(Opcode.CLOSE, 2 + len(text)) + struct.pack("!H", code) + text


def valid_close_code(code: int) -> bool:
    """Return True if ``code`` may appear in a close frame.

    By RFC 6455 §7.4 and the IANA registry, 1004 to 1006 and 1015 are never sent, the other
    codes below 3000 are unassigned, and 3000 to 4999 are for libraries and applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def read_header(data: bytes | bytearray | memoryview, start: int = 0) -> FrameHeader | None:
    """Return the header at ``start``, without the masking key, or None if it is incomplete."""
    available = len(data) - start  # an incomplete header is left for the next read
    if available < 2:
        return None
    first, second = data[start], data[start + 1]
    length, size = second & _LENGTH, 2
    if length >= 126:
        size = 4 if length == 126 else 10
        if available < size:
            return None
        length = int.from_bytes(data[start + 2 : start + size], "big")
    return FrameHeader(
        bool(first & _FIN), first & _RESERVED, first & _OPCODE, bool(second & _MASKED), length, size
    )


def payloads(frames: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield, for each of our frames, the offsets of its start, its payload and its end."""
    start, total = 0, len(frames)
    while start < total:
        header = read_header(frames, start)
        if header is None:
            raise ValueError("the buffer does not hold complete frames")
        payload = start + header.size
        end = payload + header.length
        yield start, payload, end
        start = end


def boundary(buffer: bytes | memoryview, offset: int) -> int:
    """Return the offset at which the frame that contains ``buffer[offset - 1]`` ends.

    ``buffer`` holds complete frames of ours.  After writing ``offset`` bytes of it, another
    frame may be inserted at the returned offset.
    """
    end = 0
    while end < offset:
        header = read_header(buffer, end)
        if header is None:
            raise ValueError("the buffer does not hold complete frames")
        end += header.size + header.length
    return end
