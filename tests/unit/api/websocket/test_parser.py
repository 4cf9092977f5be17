"""Tests of parsing valid and invalid client input."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.websocket.parser import Binary, Close, Event, Parser, Ping, Pong, ProtocolViolation, Text
from tests.support.client_frames import close, frame

LIMIT = 4096


def parse(data: bytes) -> list[Event]:
    """Return all events of a client's bytes."""
    return list(Parser(LIMIT).feed(data))


def violation(data: bytes) -> int:
    """Return the close code that answers a client's bytes."""
    with pytest.raises(ProtocolViolation) as caught:
        parse(data)
    return caught.value.code


def test_messages_and_control_frames_become_events() -> None:
    """Each complete message or control frame becomes one event, in order."""
    data = frame(1, b"hi") + frame(2, b"\x00") + frame(9, b"p") + frame(10) + close(1000, b"bye")
    assert parse(data) == [Text("hi"), Binary(b"\x00"), Ping(b"p"), Pong(b""), Close(1000, "bye")]


@given(st.lists(st.binary(max_size=200), max_size=6), st.data())
def test_the_cuts_between_reads_do_not_matter(payloads: list[bytes], data: st.DataObject) -> None:
    """The events are the same however TCP splits the stream."""
    stream = b"".join(frame(2, payload) for payload in payloads)
    parser = Parser(LIMIT)
    events: list[Event] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        events += parser.feed(stream[:cut])
        stream = stream[cut:]
    assert events == [Binary(payload) for payload in payloads]


def test_fragments_are_joined_around_control_frames() -> None:
    """Control frames may come between the fragments of a message (RFC 6455 §5.4)."""
    data = frame(1, "ü".encode()[:1], final=False) + frame(9) + frame(0, "ü".encode()[1:])
    assert parse(data) == [Ping(b""), Text("ü")]


def test_close_without_a_code() -> None:
    """A close frame may be empty."""
    assert parse(frame(8)) == [Close(None, "")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(1, b"x", masked=False), id="unmasked"),
        pytest.param(frame(1, b"x", reserved=0x40), id="rsv1"),
        pytest.param(frame(9, b"x", reserved=0x10), id="rsv3"),
        pytest.param(frame(3, b"x"), id="reserved data opcode"),
        pytest.param(frame(11, b"x"), id="reserved control opcode"),
        pytest.param(frame(9, b"x", final=False), id="fragmented control"),
        pytest.param(frame(9, b"x" * 126), id="large control"),
        pytest.param(frame(0, b"x"), id="nothing to continue"),
        pytest.param(frame(1, b"x", final=False) + frame(1, b"y"), id="message in a message"),
        pytest.param(frame(8, b"x"), id="half a close code"),
    ],
)
def test_broken_protocol_is_1002(data: bytes) -> None:
    """Protocol violations are answered with 1002."""
    assert violation(data) == 1002


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65_535])
def test_close_codes_that_must_not_travel_are_1002(code: int) -> None:
    """Close codes that must not be sent are answered with 1002 (RFC 6455 §7.4)."""
    assert violation(close(code)) == 1002


@pytest.mark.parametrize(
    "data", [frame(1, b"\xff"), close(1000, b"\xff"), frame(1, "ü".encode()[:1])]
)
def test_text_that_is_not_utf8_is_1007(data: bytes) -> None:
    """Invalid UTF-8 in a message or a close reason is answered with 1007."""
    assert violation(data) == 1007


@pytest.mark.parametrize("length", [LIMIT + 1, 65_536, 2**32, 2**63 - 1, 2**64 - 1])
def test_too_large_is_refused_by_the_header_alone(length: int) -> None:
    """A message that is too large is refused before its payload arrives."""
    assert violation(frame(2, b"", length=length)) == 1009


def test_fragments_count_together() -> None:
    """The size limit applies to the sum of a message's fragments."""
    first = frame(2, b"x" * LIMIT, final=False)
    assert parse(first) == []
    assert violation(first + frame(0, b"x")) == 1009


def test_largest_message_is_taken() -> None:
    """A message of exactly the maximum size is accepted."""
    assert parse(frame(2, b"x" * LIMIT)) == [Binary(b"x" * LIMIT)]


def test_what_came_before_a_violation_counts() -> None:
    """A ping in the same read as a violation is still answered."""
    events = Parser(LIMIT).feed(frame(9, b"p") + frame(3))
    assert next(events) == Ping(b"p")
    with pytest.raises(ProtocolViolation, match="reserved"):
        next(events)


@given(st.binary(max_size=400))
def test_any_bytes_give_events_or_a_violation(data: bytes) -> None:
    """Any bytes give events or a violation, and never keep more than one message in memory."""
    with contextlib.suppress(ProtocolViolation):
        parse(data)
