"""What waits to be written: buffers of whole frames, and how much of the first is out.

Functions on lists, without I/O.  A list may be shared with other connections,
so none is changed; what differs is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.websocket import frames

Buffers = Sequence[bytes | memoryview]

NOTHING: Final[Buffers] = ()

#: At most this many buffers go into one system call; Linux takes up to 1,024.
_VECTOR_BUFFERS: Final = 256


def vector(out: Buffers, sent: int) -> Buffers:
    """What the next system call writes, when ``sent`` bytes of the first buffer are out."""
    if sent:
        return [memoryview(out[0])[sent:], *out[1:_VECTOR_BUFFERS]]
    return out if len(out) <= _VECTOR_BUFFERS else out[:_VECTOR_BUFFERS]


def rest(out: Buffers, sent: int) -> tuple[Buffers, int]:
    """What is left of ``out`` after ``sent`` bytes, and how much of its first buffer is out."""
    for index, buffer in enumerate(out):
        if sent < len(buffer):
            return out[index:], sent
        sent -= len(buffer)
    return NOTHING, 0


def at_boundary(out: Buffers, sent: int, extra: list[bytes]) -> Buffers:
    """``out`` with ``extra`` behind the frame that is under way."""
    if not sent:
        return [*extra, *out]
    first = memoryview(out[0])
    end = frames.boundary(first, sent)
    tail = [first[end:]] if end < len(first) else []
    return [first[:end], *extra, *tail, *out[1:]]
