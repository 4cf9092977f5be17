"""Frames as bytes, without I/O: making ours, reading the header of any (RFC 6455 §5.2).

What a server sends is unmasked, unfragmented and uses no extension, so a frame
is its header and its payload, and many frames are their concatenation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F

#: The largest payload of a control frame (RFC 6455 §5.5), and of a close frame's reason.
MAX_CONTROL_BYTES: Final = 125
MAX_REASON_BYTES: Final = MAX_CONTROL_BYTES - 2


class Opcode(IntEnum):
    """The opcodes that RFC 6455 §11.8 defines; the others are reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """The close codes with which this package closes a connection itself (RFC 6455 §7.4.1).

    All others are in ``mist.close_codes``, which this package does not import.
    """

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011


class FrameHeader(NamedTuple):
    """The header of a frame; ``reserved`` are the three RSV bits, ``size`` is its own length."""

    final: bool
    reserved: int
    opcode: int
    masked: bool
    length: int
    size: int


def _header(opcode: int, length: int) -> bytes:
    """The header of an unmasked, final frame whose payload has ``length`` bytes."""
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 65_536:
        return struct.pack("!BBH", _FIN | opcode, 126, length)
    return struct.pack("!BBQ", _FIN | opcode, 127, length)


#: Headers of the text frames that most log lines need, made once.
_TEXT_HEADERS: Final = tuple(_header(Opcode.TEXT, length) for length in range(1024))


def text_frame(payload: bytes) -> bytes:
    """One text frame; ``payload`` is UTF-8 already."""
    return _header(Opcode.TEXT, len(payload)) + payload


def text_frames(body: bytes) -> bytes:
    """Newline-delimited JSON as concatenated text frames, one for each line.

    An empty line becomes no frame.
    """
    parts: list[bytes] = []
    headers = _TEXT_HEADERS
    for line in body.split(b"\n"):
        length = len(line)
        if length < 1024:
            if length:
                parts += (headers[length], line)
        else:
            parts += (_header(Opcode.TEXT, length), line)
    return b"".join(parts)


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping; its payload has at most 125 bytes."""
    return _header(Opcode.PING, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping carries the ping's payload (RFC 6455 §5.5.3)."""
    return _header(Opcode.PONG, len(payload)) + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    """A close frame; None makes the one without a code.

    The reason is cut to 123 bytes, never within a character.  ValueError for a
    code that must not be on the wire.
    """
    if code is None:
        return _header(Opcode.CLOSE, 0)
    if not valid_close_code(code):
        raise ValueError(f"{code} is no close code that a peer may be sent (RFC 6455 §7.4)")
    text = reason.encode("utf-8", "replace")
    if len(text) > MAX_REASON_BYTES:
        text = text[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()
    return _header(Opcode.CLOSE, 2 + len(text)) + struct.pack("!H", code) + text


def valid_close_code(code: int) -> bool:
    """Whether ``code`` may be in a close frame.

    RFC 6455 §7.4 and IANA's registry: 1004 to 1006 and 1015 never travel, up to
    2999 the rest is unassigned, 3000 to 4999 belong to libraries and applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def read_header(data: bytes | bytearray | memoryview, start: int = 0) -> FrameHeader | None:
    """The header that begins at ``start``, without the masking key; None if it is incomplete."""
    available = len(data) - start
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
    """Of each of our concatenated frames: where it, its payload and what follows it begin."""
    start, total = 0, len(frames)
    while start < total:
        header = read_header(frames, start)
        if header is None:
            raise ValueError("the buffer does not hold whole frames")
        payload = start + header.size
        end = payload + header.length
        yield start, payload, end
        start = end


def boundary(buffer: bytes | memoryview, offset: int) -> int:
    """Where the frame that contains ``buffer[offset - 1]`` ends.

    ``buffer`` holds whole frames of ours.  Somebody who has written ``offset``
    bytes of it may put another frame in at the place that this returns.
    """
    end = 0
    while end < offset:
        header = read_header(buffer, end)
        if header is None:
            raise ValueError("the buffer does not hold whole frames")
        end += header.size + header.length
    return end
