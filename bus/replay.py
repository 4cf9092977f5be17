"""The replay protocol: what a subscriber asks the broker for, and how it answers; no I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from bus import wire
from bus.wire import Kind, Message
from mist.errors import WireError

_POSITION: Final = struct.Struct("!QQ")
_STATE: Final = struct.Struct("!QQQQQ")


class Position(NamedTuple):
    """How far a subscriber has come: everything up to ``seq`` of ``epoch``."""

    epoch: int = 0
    seq: int = 0


START: Final = Position()


class Snapshot(NamedTuple):
    """The broker's answer to a replay request.

    ``epoch``, ``term`` and ``seq`` say where the topic's buffer ends (zeros when
    there is none); ``messages`` are those ``after`` the position that was asked for.
    """

    topic: bytes
    epoch: int
    term: int
    seq: int
    messages: list[Message]
    after: Position = START

    @property
    def tells_where_to_resume(self) -> bool:
        """Return True if a new collector can tell from it which lines were published.

        A memory that was cut off and holds no line, but only states, does not tell it.
        Going on in its epoch would publish lines again that subscribers take for new ones.
        """
        headers = [message.header for message in self.messages]
        if not headers or headers[0].seq == 1:
            return True
        return any(header.kind is Kind.LOG for header in headers)


def replay_request(topic: bytes, after: Position) -> list[bytes]:
    """The frames that ask for what ``topic`` carried after a position."""
    return [topic, _POSITION.pack(*after)]


def parse_replay_request(frames: list[bytes]) -> tuple[bytes, Position]:
    """The topic and the position of a request, or WireError."""
    if len(frames) != 2 or len(frames[1]) != _POSITION.size:
        raise WireError("a replay request has a topic and a position of 16 bytes")
    return frames[0], Position(*_POSITION.unpack(frames[1]))


def replay_reply(
    topic: bytes,
    state: tuple[int, int, int],
    messages: Iterable[tuple[bytes, bytes]],
    after: Position = START,
) -> list[bytes]:
    """The frames of an answer: epoch, term and last number of the topic, and what it holds.

    ``messages`` are pairs of packed header and body, ``after`` is what was asked for.
    """
    frames = [topic, _STATE.pack(*state, *after)]
    for header, body in messages:
        frames += (header, body)
    return frames


def parse_replay_reply(frames: list[bytes]) -> Snapshot:
    """The snapshot that an answer holds, or WireError."""
    if len(frames) < 2 or len(frames) % 2 or len(frames[1]) != _STATE.size:
        raise WireError("a replay reply has a topic, a state and pairs of header and body")
    topic = frames[0]
    epoch, term, seq, *after = _STATE.unpack(frames[1])
    pairs = zip(frames[2::2], frames[3::2], strict=True)
    messages = [Message(topic, wire.unpack(header), body) for header, body in pairs]
    return Snapshot(topic, epoch, term, seq, messages, Position(*after))
