"""Split a server's bytes into frames, without I/O (RFC 6455 §5.2).

For rows whose stream is not known in advance.  A server's frames are not masked, and
Mist's are never fragmented.
"""

from __future__ import annotations

from collections.abc import Iterator

TEXT = 0x81
CLOSE = 0x88
PING = 0x89


class Frames:
    """Feed bytes, get complete frames as pairs of first header byte and payload."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
        """Yield the frames that ``data`` completes."""
        block = self._rest + bytes(data) if self._rest else bytes(data)
        start, size = 0, len(block)
        while size - start >= 2:
            length, begin = block[start + 1], start + 2
            if length >= 126:  # RFC 6455 §5.2: an extended length of two or eight bytes
                begin = start + (4 if length == 126 else 10)
                if size < begin:
                    break
                length = int.from_bytes(block[start + 2 : begin])
            if size < begin + length:
                break
            yield block[start], block[begin : begin + length]
            start = begin + length
        self._rest = block[start:]  # the beginning of an incomplete frame
