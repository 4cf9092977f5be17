"""Check a client's bytes against the expected stream, without I/O.

Comparing takes one ``memcmp`` per read.  Only the server's control frames (a ping every
30 s) may come between the expected frames.  They are found where the comparison first
differs, which must then be a frame boundary.
"""

from __future__ import annotations

from bench.processes import BenchError

_TEXT = 0x81
_FIRST_CONTROL = 0x88
_CLOSE = 0x88


class Mismatch(BenchError):
    """A client received something other than the expected stream."""


class Cursor:
    """The position of a client in the expected bytes, all of which up to it were correct."""

    __slots__ = ("_carry", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self._carry = b""

    def feed(self, expected: bytes, data: bytes | memoryview) -> None:
        """Accept received data; raise Mismatch if it is not what comes next."""
        if self._carry:
            data = self._carry + bytes(data)
            self._carry = b""
        # Usually the prefix matches at once, so a read takes one comparison.
        while not expected.startswith(data, self.position):
            data = self._without_control(expected, bytes(data))
        self.position += len(data)

    def _without_control(self, expected: bytes, data: bytes) -> bytes:
        """Advance to the first difference, skip the control frame there, and return the rest."""
        agree = _common(expected, self.position, data)
        self.position += agree
        rest = data[agree:]
        if rest[0] < _FIRST_CONTROL or rest[0] == _CLOSE:  # a data frame, or the end
            raise Mismatch(f"at byte {self.position}: {rest[:120]!r}")
        if len(rest) < 2 or len(rest) < 2 + rest[1]:  # the control frame is incomplete
            self._carry = rest
            return b""
        return rest[2 + rest[1] :]


def _common(expected: bytes, position: int, data: bytes) -> int:
    """Return the length of the longest prefix of ``data`` found at ``position``."""
    # Binary search, because ``startswith`` compares in C.
    low, high = 0, len(data)
    while low < high:
        middle = (low + high + 1) // 2
        if expected.startswith(data[:middle], position):
            low = middle
        else:
            high = middle - 1
    return low
