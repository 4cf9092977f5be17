"""Tests of encoding frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.websocket import frames


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (1023, b"\x81\x7e\x03\xff"),
        (1024, b"\x81\x7e\x04\x00"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_length_takes_the_shortest_form(length: int, header: bytes) -> None:
    """The length uses the fewest bytes, as RFC 6455 §5.2 requires."""
    assert frames.text_frame(b"x" * length) == header + b"x" * length


@given(st.lists(st.binary(max_size=1500).filter(lambda line: b"\n" not in line and line)))
def test_a_body_becomes_one_frame_for_each_line(lines: list[bytes]) -> None:
    """A body becomes one frame per line, in order."""
    made = frames.text_frames(b"\n".join(lines))
    assert made == b"".join(map(frames.text_frame, lines))
    assert [made[payload:end] for _, payload, end in frames.payloads(made)] == lines


@given(st.lists(st.binary(max_size=300), min_size=1), st.data())
def test_boundary_is_the_end_of_the_frame_under_way(
    texts: list[bytes], data: st.DataObject
) -> None:
    """The next boundary is the end of the frame being written."""
    made = [frames.text_frame(text) for text in texts]
    buffer = b"".join(made)
    ends = [len(b"".join(made[:count])) for count in range(len(made) + 1)]
    offset = data.draw(st.integers(0, len(buffer)))
    assert frames.boundary(buffer, offset) == min(end for end in ends if end >= offset)


def test_close_frame_has_code_and_reason() -> None:
    """A close frame has a two-byte code and then the reason (RFC 6455 §5.5.1)."""
    assert frames.close_frame(4409, "stopped") == b"\x88\x09\x11\x39stopped"


def test_close_frame_without_code_is_empty() -> None:
    """A close frame without a code has no body."""
    assert frames.close_frame(None) == b"\x88\x00"


def test_long_reason_is_cut_between_characters() -> None:
    """A long reason is cut to 125 bytes of valid UTF-8."""
    frame = frames.close_frame(1000, "é" * 100)
    assert len(frame) == 2 + 2 + 122
    assert frame[4:].decode() == "é" * 61


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70_000])
def test_codes_that_never_travel_are_refused(code: int) -> None:
    """Encoding a code that must not be sent raises an error (RFC 6455 §7.4)."""
    with pytest.raises(ValueError, match="close code"):
        frames.close_frame(code)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1012, 1013, 1014, 3000, 4401, 4999])
def test_codes_of_the_registry_are_accepted(code: int) -> None:
    """Codes of RFC 6455, IANA's registry, libraries and applications are accepted."""
    assert frames.valid_close_code(code)


@given(st.binary(max_size=14))
def test_header_is_read_when_it_is_complete(data: bytes) -> None:
    """An incomplete header gives None and never an exception."""
    header = frames.read_header(data)
    if header is not None:
        assert header.size <= len(data)
        assert header.length < 2**64


def test_control_frames_carry_their_payload() -> None:
    """Pings and pongs carry their payload."""
    assert frames.ping_frame(b"a") == b"\x89\x01a"
    assert frames.pong_frame(b"a") == b"\x8a\x01a"
