"""What waits to be written to one connection: buffers of whole frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from api.websocket import frames

Buffers = Sequence[bytes | memoryview]

NOTHING: Final[Buffers] = ()

#: At most this many buffers go into one system call; Linux takes up to 1,024.
_VECTOR_BUFFERS: Final = 256


class WriteBuffer:
    """Buffers of whole frames, the first ``offset`` bytes of which are written.

    A sequence of buffers may be shared with other connections, so none is changed:
    the methods make new ones.
    """

    __slots__ = ("buffers", "offset")

    def __init__(self) -> None:
        self.buffers: Buffers = NOTHING
        self.offset = 0

    def write(self, fd: int) -> int:
        """Write to a socket with one system call, and return how many bytes it took.

        Raise BlockingIOError if the socket is full, and other OSErrors as they come.
        """
        buffers = self.buffers
        if len(buffers) == 1 and not self.offset:
            # The usual case, a lone line to a client that keeps up: write(2) is cheaper.
            written = os.write(fd, buffers[0])
            if written == len(buffers[0]):
                self.buffers = NOTHING
            else:
                self.offset = written
        else:
            written = os.writev(fd, self.vector())
            self.advance(written)
        return written

    def vector(self) -> Buffers:
        """Return what the next system call is to write."""
        if self.offset:
            first = memoryview(self.buffers[0])[self.offset :]
            return [first, *self.buffers[1:_VECTOR_BUFFERS]]
        return self.buffers[:_VECTOR_BUFFERS]

    def advance(self, written: int) -> None:
        """Note that so many bytes more are written."""
        written += self.offset
        for index, buffer in enumerate(self.buffers):
            if written < len(buffer):
                self.buffers, self.offset = self.buffers[index:], written
                return
            written -= len(buffer)
        self.clear()

    def append(self, *added: bytes) -> None:
        """Add whole frames at the end."""
        self.buffers = [*self.buffers, *added]

    def insert(self, *added: bytes) -> None:
        """Add whole frames behind the frame that is being written."""
        if not self.offset:
            self.buffers = [*added, *self.buffers]
            return
        current, following = self._split()
        self.buffers = [current, *added, *following, *self.buffers[1:]]

    def cut(self) -> None:
        """Drop everything behind the frame that is being written."""
        self.buffers = [self._split()[0]] if self.offset else NOTHING

    def clear(self) -> None:
        """Drop everything; nothing more is written."""
        self.buffers, self.offset = NOTHING, 0

    def _split(self) -> tuple[memoryview, list[memoryview]]:
        """Return the first buffer up to the end of the frame being written, and its rest if any."""
        first = memoryview(self.buffers[0])
        end = frames.boundary(first, self.offset)
        return first[:end], [first[end:]] if end < len(first) else []
