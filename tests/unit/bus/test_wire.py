"""Tests of the format of bus messages and replays."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import wire
from bus.replay import (
    Position,
    ReplayRequest,
    parse_replay_reply,
    parse_replay_request,
    replay_reply,
    replay_request,
)
from bus.wire import Flag, Header, Kind, Message
from mist.errors import WireError

_u64 = st.integers(min_value=0, max_value=2**64 - 1)
_numbers = st.integers(min_value=0, max_value=2**63 - 1)
headers = st.builds(
    Header,
    kind=st.sampled_from(Kind),
    epoch=_numbers,
    term=_numbers,
    seq=st.integers(min_value=1, max_value=2**63 - 1),
    count=st.integers(min_value=1, max_value=2**32 - 1),
    flags=st.sampled_from([wire.NO_FLAGS, Flag.HISTORY, Flag.RESET, Flag.HISTORY | Flag.RESET]),
    code=st.sampled_from([0, 1000, 1013, 4404, 4999]),
)


@given(headers)
def test_a_header_there_and_back(header: Header) -> None:
    """A header has a fixed size and survives encoding and decoding."""
    packed = wire.pack(header)
    assert len(packed) == wire.HEADER_BYTES == 36
    assert wire.unpack(packed) == header


@given(st.binary(max_size=48))
def test_garbage_is_a_wire_error_or_a_header(data: bytes) -> None:
    """Any bytes give a WireError or a header."""
    try:
        header = wire.unpack(data)
    except WireError:
        return
    assert header.count >= 1


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 2), (1, 0), (1, 99)],
    ids=["version", "no kind", "unknown kind"],
)
def test_an_unknown_field_is_refused(position: int, value: int) -> None:
    """Unknown versions and kinds are refused."""
    packed = bytearray(wire.pack(Header(Kind.LOG, 1, 1, 1)))
    packed[position] = value
    with pytest.raises(WireError):
        wire.unpack(bytes(packed))


def test_numbers_begin_at_one() -> None:
    """Numbers start at 1, and a message covers at least one."""
    for header in (Header(Kind.LOG, 1, 1, 0), Header(Kind.LOG, 1, 1, 1, count=0)):
        with pytest.raises(WireError):
            wire.unpack(wire.pack(header))


def test_numbers_leave_room_to_count_on() -> None:
    """A number that leaves no room for the next one is refused."""
    for header in (
        Header(Kind.LOG, 2**63, 1, 1),
        Header(Kind.LOG, 1, 2**63, 1),
        Header(Kind.LOG, 1, 1, 2**63),
    ):
        with pytest.raises(WireError, match="larger"):
            wire.unpack(wire.pack(header))


@pytest.mark.parametrize("code", [1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])
def test_a_code_that_no_client_may_be_sent_is_refused(code: int) -> None:
    """A close code that clients cannot be sent is refused early, not when the topic is closed."""
    with pytest.raises(WireError, match="close code"):
        wire.unpack(wire.pack(Header(Kind.END, 1, 1, 1, code=code)))


def test_what_a_header_says_of_itself() -> None:
    """A header gives its last number, its lines, and whether the stream is over."""
    log = Header(Kind.LOG, 1, 1, 5, count=3, flags=Flag.HISTORY)
    assert (log.last, log.lines, log.history, log.final) == (7, 3, True, False)
    assert Header(Kind.STATUS, 1, 1, 5).lines == 0
    assert Header(Kind.END, 1, 1, 5, code=1000).final
    assert Header(Kind.ERROR, 1, 1, 5, code=4404).final
    assert not Header(Kind.ERROR, 1, 1, 5).final
    assert not Header(Kind.END, 1, 1, 5).final


def test_a_message_has_three_parts() -> None:
    """A message has a topic, a header and a body."""
    packed = wire.pack(Header(Kind.LOG, 1, 1, 1))
    assert wire.parse([b"container/1/log", packed, b"{}"]).body == b"{}"
    with pytest.raises(WireError, match="three parts"):
        wire.parse([b"container/1/log", packed])


def test_a_replay_request_there_and_back() -> None:
    """A replay request has a topic, a position and a request number."""
    topic, after = b"container/1/log", Position(7, 42)
    request = parse_replay_request(replay_request(topic, after, 9))
    assert (request.topic, request.after) == (topic, after)
    assert parse_replay_reply(replay_reply(request, (0, 0, 0), ())).number == 9


def test_a_replay_request_without_a_number() -> None:
    """A request without a number is answered with a state of five numbers, as taps expect."""
    request = parse_replay_request([b"t", struct.pack("!QQ", 7, 42)])
    assert request == ReplayRequest(b"t", Position(7, 42))
    frames = replay_reply(request, (1, 2, 3), ())
    assert frames == [b"t", struct.pack("!QQQQQ", 1, 2, 3, 7, 42)]
    assert parse_replay_reply(frames).number == 0


@given(st.lists(st.tuples(headers, st.binary(max_size=20)), max_size=4), _u64, _u64)
def test_a_replay_reply_there_and_back(
    carried: list[tuple[Header, bytes]], epoch: int, seq: int
) -> None:
    """A replay reply has the buffer's state and its messages."""
    pairs = [(wire.pack(header), body) for header, body in carried]
    frames = replay_reply(ReplayRequest(b"t", Position(7, 42)), (epoch, 3, seq), pairs)
    snapshot = parse_replay_reply(frames)
    assert snapshot[:4] == (b"t", epoch, 3, seq)
    assert snapshot.messages == [Message(b"t", header, body) for header, body in carried]


@pytest.mark.parametrize(
    "frames", [[], [b"t"], [b"t", b"short"], [b"t", b"x" * 20], [b"t", b"x" * 16, b"more"]]
)
def test_a_wrong_request_is_refused(frames: list[bytes]) -> None:
    """Malformed requests are refused."""
    with pytest.raises(WireError):
        parse_replay_request(frames)


@pytest.mark.parametrize(
    "frames", [[], [b"t"], [b"t", b"short"], [b"t", b"x" * 44], [b"t", b"x" * 40, b"header"]]
)
def test_a_wrong_reply_is_refused(frames: list[bytes]) -> None:
    """Malformed replies are refused; a valid one has a state of 40 or 48 bytes, then pairs."""
    with pytest.raises(WireError):
        parse_replay_reply(frames)
