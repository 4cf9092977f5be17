"""Encode lines into bodies of bus messages, without I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mist import messages
from workers.container.frames import Line


class Batch(msgspec.Struct, frozen=True):
    """A body of newline-delimited ``log`` messages, with the lines it was made from."""

    data: bytes
    lines: Sequence[Line]


def encode_batches(lines: Sequence[Line], limit: int) -> Iterator[Batch]:
    """Yield ``lines`` in as few bodies of at most ``limit`` bytes as their order allows.

    A line whose message alone is larger gets a body of its own.
    """
    # A generator, so that the first body is sent before the last lines are encoded.
    encoded: list[bytes] = []
    first = size = 0
    for index, line in enumerate(lines):
        message = messages.log(line.timestamp, line.text, line.stream)
        if size and size + len(message) > limit:
            yield Batch(b"\n".join(encoded), lines[first:index])
            encoded.clear()
            first, size = index, 0
        encoded.append(message)
        size += len(message) + 1  # the newline
    if encoded:
        yield Batch(b"\n".join(encoded), lines[first:])


def lines_of(body: bytes) -> list[Line]:
    """Return the lines that a body was made from."""
    found = map(messages.read_log, body.split(b"\n"))
    return [Line(entry.timestamp, entry.data.stream, entry.data.line) for entry in found]
