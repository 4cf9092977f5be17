"""The replay protocol: the requests of subscribers and the broker's answers, without I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from bus import wire
from bus.wire import Kind, Message
from mist.errors import WireError

_POSITION: Final = struct.Struct("!QQ")
# Epoch, term and last number of the topic, then the position that was asked for.
_STATE: Final = struct.Struct("!QQQQQ")
_NUMBER: Final = struct.Struct("!Q")


class Position(NamedTuple):
    """The progress of a subscriber: everything up to ``seq`` of ``epoch``."""

    epoch: int = 0
    seq: int = 0


START: Final = Position()


class Snapshot(NamedTuple):
    """The broker's answer to a replay request.

    ``epoch``, ``term`` and ``seq`` are those of the end of the topic's buffer, or zeros
    if the broker has no buffer.
    """

    topic: bytes
    epoch: int
    term: int
    """The fencing token of the topic's collector."""
    seq: int
    messages: list[Message]
    """The messages after the position that was asked for."""
    number: int = 0
    """The number of the request; 0 if it had none."""
    status: Message | None = None
    """The newest status, if it is after the position but no longer among the messages."""

    @property
    def tells_where_to_resume(self) -> bool:
        """Return True if a new collector can tell from it which lines were published."""
        # A buffer that lost its oldest messages and holds only states does not show the last
        # line.  A collector that continued its epoch would publish lines again, and
        # subscribers would take them for new ones.
        headers = [message.header for message in self.messages]
        if not headers or headers[0].seq == 1:
            return True
        return any(header.kind is Kind.LOG for header in headers)


class ReplayRequest(NamedTuple):
    """A subscriber's request; ``mark`` is empty or 8 bytes, which the answer repeats."""

    topic: bytes
    after: Position
    mark: bytes = b""


def replay_request(topic: bytes, after: Position, number: int) -> list[bytes]:
    """Return the frames of a request for the messages of ``topic`` after a position.

    The answer repeats ``number``, which is 1 or more, so that it matches this request only.
    """
    return [topic, _POSITION.pack(*after) + _NUMBER.pack(number)]


def parse_replay_request(frames: list[bytes]) -> ReplayRequest:
    """Return the request in ``frames``, or raise WireError."""
    if len(frames) == 2:
        topic, position = frames
        # Other people's programs may leave out the number (docs/taps.md).
        mark = position[_POSITION.size :]
        if len(position) >= _POSITION.size and len(mark) in {0, _NUMBER.size}:
            return ReplayRequest(topic, Position(*_POSITION.unpack_from(position)), mark)
    raise WireError("a replay request has a topic and a position of 16 bytes, or 24 with a number")


def replay_reply(
    request: ReplayRequest, state: tuple[int, int, int], messages: Iterable[tuple[bytes, bytes]]
) -> list[bytes]:
    """Return the frames of an answer.

    ``state`` is the epoch, the term and the last number of the topic.  ``messages`` are
    pairs of packed header and body.
    """
    frames = [request.topic, _STATE.pack(*state, *request.after) + request.mark]
    for header, body in messages:
        frames += (header, body)
    return frames


def parse_replay_reply(frames: list[bytes]) -> Snapshot:
    """Return the snapshot in the frames of an answer, or raise WireError."""
    if len(frames) < 2 or len(frames) % 2 or len(frames[1]) < _STATE.size:
        raise WireError("a replay reply has a topic, a state and pairs of header and body")
    topic, state, *rest = frames
    mark = state[_STATE.size :]
    if len(mark) not in {0, _NUMBER.size}:
        raise WireError(f"the state in a replay reply has {len(state)} bytes, not 40 or 48")
    epoch, term, seq, *_after = _STATE.unpack_from(state)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    messages = [Message(topic, wire.unpack(header), body) for header, body in pairs]
    number = _NUMBER.unpack(mark)[0] if mark else 0
    status = messages.pop(0) if messages and messages[0].header.apart else None
    return Snapshot(topic, epoch, term, seq, messages, number, status)
