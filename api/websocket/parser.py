"""Parse the frames of a client, without I/O: feed bytes, get events (RFC 6455 §5 and §7).

The parser rejects an invalid frame by its header, before reading the payload.  No frame
can therefore take more memory than ``max_message_bytes``, whatever length it announces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from api.websocket.frames import (
    MAX_CONTROL_BYTES,
    CloseCode,
    FrameHeader,
    Opcode,
    read_header,
    valid_close_code,
)

_MASK_BYTES: Final = 4
_EMPTY: Final = b""
# Opcodes from here on are control frames (RFC 6455 §5.5).
_FIRST_CONTROL: Final = 0x8


class Text(NamedTuple):
    """A complete text message."""

    text: str


class Binary(NamedTuple):
    """A complete binary message."""

    data: bytes


class Ping(NamedTuple):
    """A ping; the answer must have the same payload."""

    payload: bytes


class Pong(NamedTuple):
    """A pong, solicited or not."""

    payload: bytes


class Close(NamedTuple):
    """A close frame; ``code`` is None if the frame has no payload."""

    code: int | None
    reason: str


Event = Text | Binary | Ping | Pong | Close


class ProtocolViolation(Exception):
    """The peer violated the protocol; ``code`` and ``reason`` are for our close frame."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} (close code {self.code})"


def _violation(reason: str) -> ProtocolViolation:
    return ProtocolViolation(CloseCode.PROTOCOL_ERROR, reason)


def unmask(payload: bytes, key: bytes) -> bytes:
    """Remove the mask (RFC 6455 §5.3) with a single XOR of large integers."""
    length = len(payload)
    mask = (key * (length // _MASK_BYTES + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")


class Parser:
    """The parsing state: at most one incomplete frame and one incomplete message."""

    __slots__ = ("_buffer", "_fragments", "_max_bytes", "_opcode")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes
        self._buffer = _EMPTY
        self._fragments = _EMPTY
        self._opcode: int | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that ``data`` completes; stop parsing after a ProtocolViolation."""
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while (header := read_header(buffer, start)) is not None:
            self._check(header)
            body = start + header.size + _MASK_BYTES
            end = body + header.length
            if len(buffer) < end:
                break
            payload = unmask(buffer[body:end], buffer[body - _MASK_BYTES : body])
            start = end
            # Saved before the event is yielded, because the consumer may stop here.
            self._buffer = buffer[start:]
            event = self._event(header, payload)
            if event is not None:
                yield event
        self._buffer = buffer[start:]

    def _check(self, header: FrameHeader) -> None:
        """Reject whatever the header alone shows to be invalid."""
        if header.reserved:
            raise _violation("a reserved bit is set, but no extension was negotiated")
        if header.opcode not in Opcode.__members__.values():
            raise _violation(f"opcode {header.opcode} is reserved")
        if not header.masked:
            raise _violation("a client must mask its frames")  # RFC 6455 §5.1
        if header.opcode >= _FIRST_CONTROL:
            if not header.final:  # RFC 6455 §5.5
                raise _violation("a control frame must not be fragmented")
            if header.length > MAX_CONTROL_BYTES:
                raise _violation("a control frame must not be longer than 125 bytes")
        else:
            self._check_data(header)

    def _check_data(self, header: FrameHeader) -> None:
        if header.opcode == Opcode.CONTINUATION:
            if self._opcode is None:
                raise _violation("a continuation frame without a message to continue")
        elif self._opcode is not None:
            raise _violation("a new message began before the last one was complete")
        # The limit is for the message, whatever its number of fragments.
        if len(self._fragments) + header.length > self._max_bytes:
            raise ProtocolViolation(
                CloseCode.MESSAGE_TOO_BIG, f"the message is longer than {self._max_bytes} bytes"
            )

    def _event(self, header: FrameHeader, payload: bytes) -> Event | None:
        match header.opcode:
            case Opcode.PING:
                return Ping(payload)
            case Opcode.PONG:
                return Pong(payload)
            case Opcode.CLOSE:
                return _close(payload)
        if header.opcode != Opcode.CONTINUATION:
            self._opcode = header.opcode
        self._fragments += payload  # bounded by _check_data
        if not header.final:
            return None
        message, self._fragments = self._fragments, _EMPTY
        opcode, self._opcode = self._opcode, None
        return Text(_decode(message)) if opcode == Opcode.TEXT else Binary(message)


def _close(payload: bytes) -> Close:
    if not payload:
        return Close(None, "")
    if len(payload) == 1:
        raise _violation("a close frame must have no payload or a code of two bytes")
    code = int.from_bytes(payload[:2], "big")
    if not valid_close_code(code):  # RFC 6455 §7.4: some are for local use only
        raise _violation(f"{code} is not a close code that may be sent")
    return Close(code, _decode(payload[2:]))


def _decode(data: bytes) -> str:
    try:
        # The whole message at once, because a fragment may end within a character (§5.6).
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.INVALID_TEXT, "the text is not UTF-8") from None
