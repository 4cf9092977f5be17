"""Frames as clients send them, valid and invalid."""

from __future__ import annotations

import itertools
import struct

KEY = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a client's frame; each option makes it invalid in one way.

    ``length`` replaces the payload's length in the header.
    """
    announced = len(payload) if length is None else length
    first = (0x80 if final else 0) | reserved | opcode
    mask_bit = 0x80 if masked else 0
    if announced < 126:
        head = struct.pack("!BB", first, mask_bit | announced)
    elif announced < 65_536:
        head = struct.pack("!BBH", first, mask_bit | 126, announced)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, announced)
    if not masked:
        return head + payload
    return head + KEY + bytes(a ^ b for a, b in zip(payload, itertools.cycle(KEY), strict=False))


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a client's close frame."""
    return frame(0x8, struct.pack("!H", code) + reason)
