"""The data waiting to be written to one connection, as buffers of complete frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from api.websocket import frames

Buffers = Sequence[bytes | memoryview]

NOTHING: Final[Buffers] = ()

# Buffers per system call; Linux accepts up to 1,024 (IOV_MAX).
_VECTOR_BUFFERS: Final = 256


class WriteBuffer:
    """Buffers of complete frames, of which the first ``offset`` bytes have been written.

    A sequence of buffers may be shared with other connections, so the methods never modify
    one but create a new sequence.
    """

    __slots__ = ("buffers", "offset")

    def __init__(self) -> None:
        self.buffers: Buffers = NOTHING
        self.offset = 0

    def write(self, fd: int) -> int:
        """Write to a socket with one system call and return the number of bytes it accepted.

        Raise BlockingIOError if the socket is full, and OSError for other failures.
        """
        buffers = self.buffers
        if len(buffers) == 1 and not self.offset:
            # The usual case, one line for a client that keeps up: write(2) is cheaper here.
            written = os.write(fd, buffers[0])
            if written == len(buffers[0]):  # usually the socket takes everything
                self.buffers = NOTHING
            else:
                self.offset = written
        else:
            written = os.writev(fd, self.vector())
            self.advance(written)
        return written

    def vector(self) -> Buffers:
        """Return the buffers for the next system call."""
        if self.offset:
            first = memoryview(self.buffers[0])[self.offset :]  # no copy
            return [first, *self.buffers[1:_VECTOR_BUFFERS]]
        return self.buffers[:_VECTOR_BUFFERS]

    def advance(self, written: int) -> None:
        """Record that ``written`` more bytes have been written."""
        written += self.offset  # offset is the part of the first buffer written before
        for index, buffer in enumerate(self.buffers):
            if written < len(buffer):
                self.buffers, self.offset = self.buffers[index:], written
                return
            written -= len(buffer)
        self.clear()

    def append(self, *added: bytes) -> None:
        """Add complete frames at the end."""
        self.buffers = [*self.buffers, *added]

    def insert(self, *added: bytes) -> None:
        """Insert complete frames after the frame that is being written."""
        if not self.offset:
            self.buffers = [*added, *self.buffers]
            return
        current, following = self._split()
        self.buffers = [current, *added, *following, *self.buffers[1:]]

    def cut(self) -> None:
        """Drop everything after the frame that is being written."""
        self.buffers = [self._split()[0]] if self.offset else NOTHING

    def clear(self) -> None:
        """Drop everything, including the rest of a partly written frame."""
        self.buffers, self.offset = NOTHING, 0

    def _split(self) -> tuple[memoryview, list[memoryview]]:
        """Split the first buffer at the end of the frame that is being written."""
        first = memoryview(self.buffers[0])
        end = frames.boundary(first, self.offset)
        return first[:end], [first[end:]] if end < len(first) else []
