"""Checks one client's bytes against the stream it is to receive, without I/O.

Matching is one ``memcmp`` for a whole read.  Only the server's control frames
(a ping each 30 s) may stand between the expected frames; they are recognised
where the comparison first differs, which is a frame border then.
"""

from __future__ import annotations

from bench.procs import BenchError

_TEXT = 0x81
_FIRST_CONTROL = 0x88
_CLOSE = 0x88


class Mismatch(BenchError):
    """A client received something else than the stream."""


class Cursor:
    """How far into the expected bytes a client has come, all before being right."""

    __slots__ = ("_carry", "position")

    def __init__(self) -> None:
        self.position = 0
        self._carry = b""

    def feed(self, expected: bytes, data: bytes | memoryview) -> None:
        """Take what was received; Mismatch if it is not what comes next."""
        if self._carry:
            data = self._carry + bytes(data)
            self._carry = b""
        while not expected.startswith(data, self.position):
            data = self._without_control(expected, bytes(data))
        self.position += len(data)

    def _without_control(self, expected: bytes, data: bytes) -> bytes:
        """Advance to the first difference, skip the control frame there, return what follows."""
        agree = _common(expected, self.position, data)
        self.position += agree
        rest = data[agree:]
        if rest[0] < _FIRST_CONTROL or rest[0] == _CLOSE:
            raise Mismatch(f"at byte {self.position}: {rest[:120]!r}")
        if len(rest) < 2 or len(rest) < 2 + rest[1]:
            self._carry = rest
            return b""
        return rest[2 + rest[1] :]


def _common(expected: bytes, position: int, data: bytes) -> int:
    """The length of the longest prefix of ``data`` that stands at ``position``."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high + 1) // 2
        if expected.startswith(data[:middle], position):
            low = middle
        else:
            high = middle - 1
    return low
