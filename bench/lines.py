"""The stream that every server of the fan-out rows sends: numbered lines, known in advance.

Each line is 150 bytes long and begins with its number.  Each message is the one of the
public contract, and all frames have the same size, so that a byte position can be
converted to a line number and back.  The frames are built here without the service's
encoder, because the service is checked against them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from mist import clock, messages

LINE_BYTES: Final = 150  # about the length of an access log's line
_BEGIN: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_FILLER: Final = "GET /api/v1/items?page=7 HTTP/1.1 200 5123 agent=curl/8.5.0 " * 3

# Contains the current time, so the process that makes a stream passes it to the others.
STATUS: Final = messages.status(messages.ContainerStatus("bench", "running", "Up 2 hours"))
BUILDING: Final = messages.status(
    messages.DeploymentStatus(1, "building", "building_image", 25, "Building Docker image...")
)


def text(number: int) -> str:
    """Return line ``number``, counted from 1."""
    return f"{number:010d} {_FILLER}"[:LINE_BYTES]  # ten digits, so that all lines have one length


def message(number: int) -> bytes:
    """Return the ``log`` message of line ``number``."""
    return messages.log(clock.rfc3339(_BEGIN + number * 1_000), text(number), "stdout")


def frame(payload: bytes) -> bytes:
    """Return an unmasked final text frame (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


FRAME_BYTES: Final = len(frame(message(1)))


class Stream(NamedTuple):
    """The expected data of a client: ``head`` (complete frames), then ``lines`` frames."""

    head: bytes
    lines: int

    def expected(self) -> bytes:
        """Return all bytes after the handshake."""
        return self.head + b"".join(frame(message(number + 1)) for number in range(self.lines))


def batches(first: int, lines: int, batch_bytes: int) -> list[tuple[int, bytes]]:
    """Return lines from ``first`` on as pairs of line count and bus message body."""
    size = len(message(1)) + 1  # the newline between two messages
    step = max(1, batch_bytes // size)
    made = []
    for start in range(first, first + lines, step):
        count = min(step, first + lines - start)
        made.append((count, b"\n".join(message(start + offset) for offset in range(count))))
    return made
