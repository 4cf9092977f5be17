"""Encodes lines into the bodies of bus messages, without I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from mist import messages
from workers.container.frames import Line


class Body(NamedTuple):
    """Newline-delimited ``log`` messages, and the lines they were made of."""

    data: bytes
    lines: Sequence[Line]


def bodies(lines: Sequence[Line], limit: int) -> Iterator[Body]:
    """``lines`` in as few bodies of at most ``limit`` bytes as their order allows.

    A line whose message alone is larger goes in a body of its own.
    """
    encoded = [messages.log(line.timestamp, line.text, line.stream) for line in lines]
    first = size = 0
    for index, message in enumerate(encoded):
        if size and size + len(message) > limit:
            yield Body(b"\n".join(encoded[first:index]), lines[first:index])
            first, size = index, 0
        size += len(message) + 1
    if encoded:
        yield Body(b"\n".join(encoded[first:]), lines[first:])


class _Data(msgspec.Struct):
    line: str
    stream: messages.Stream


class _Log(msgspec.Struct):
    timestamp: str
    data: _Data


_decode = msgspec.json.Decoder(_Log).decode


def lines_of(body: bytes) -> list[Line]:
    """The lines that a body was made of."""
    found = [_decode(message) for message in body.split(b"\n")]
    return [Line(entry.timestamp, entry.data.stream, entry.data.line) for entry in found]
