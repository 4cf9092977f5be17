"""A reader's answer: lines as HTTP body, framed and perhaps compressed."""

from __future__ import annotations

import socket
import time
import zlib
from typing import Any, Final

import msgspec

from mist import clock, heartbeat, messages
from mist.messages import ContainerStatus, Stream
from mist.read_request import Head, ReadRequest, frame, refusal
from workers.reader.entries import Entry

# The size at which the buffer is sent.
_BUFFER_BYTES: Final = 65_536
# The age at which a smaller buffer is sent, so that the results of a search arrive as they
# are found.
_BUFFER_SECONDS: Final = 0.05

_STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stdout", "stderr")


class ClientLeft(Exception):
    """Nobody takes the answer any more."""


class Answer:
    """The stream of frames to the web tier; a client that does not read holds it back."""

    def __init__(self, connection: socket.socket, request: ReadRequest, stall: float) -> None:
        connection.settimeout(stall)
        self._connection = connection
        self._stall = stall
        self._text = request.format == "text"
        self._timestamps = request.timestamps
        self._gzip: Any = zlib.compressobj(1, zlib.DEFLATED, 31) if request.gzip else None
        self._buffer: list[bytes] = []
        self._size = 0
        self._sent_at = time.monotonic()
        self.tty = False
        """The next lines are of a container with a terminal."""

    def begin(self, *, tty: bool) -> None:
        """Send the head of a successful answer."""
        self.tty = tty
        self._send(frame(msgspec.json.encode(Head(200))))

    def refuse(self, status: int, message: str) -> None:
        """Send an error instead of an answer."""
        self._send(refusal(status, message))

    def lines(self, entries: list[Entry], *, terminated: bool = True) -> None:
        """Send lines; without ``terminated`` the last one has no newline in the log."""
        if not entries:
            return
        if self._text and self._timestamps:
            body = b"".join([b"%b %b\n" % (stamp, text) for stamp, _, text in entries])
        elif self._text:
            body = b"\n".join([entry[2] for entry in entries]) + b"\n"
        else:
            body = _ndjson(entries, tty=self.tty)
        self._add(body if terminated or not self._text else body[:-1])

    def status(self, timestamp: str, data: ContainerStatus) -> None:
        """Send what is known about the container at a time."""
        self._add(messages.past_status(timestamp, data) + b"\n")

    def flush(self, *, force: bool = False) -> None:
        """Send what has been held back for a moment; with ``force`` send it now."""
        now = time.monotonic()
        if force or now - self._sent_at >= _BUFFER_SECONDS:
            self._flush(zlib.Z_SYNC_FLUSH)

    def end(self, data: dict[str, object]) -> None:
        """Send the final record, and the end.

        Plain text has no final record.  If it is incomplete, it is broken off, so that the
        client sees an error.
        """
        if not self._text:
            record = {"type": "end", "timestamp": clock.now(), "data": data}
            self._add(msgspec.json.encode(record) + b"\n")
        self._flush(zlib.Z_FINISH)
        if not self._text or "message" not in data:
            self._send(frame(b""))

    def _add(self, body: bytes) -> None:
        self._buffer.append(body)
        self._size += len(body)
        if self._size >= _BUFFER_BYTES:
            self._flush(None)

    def _flush(self, mode: int | None) -> None:
        body = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        self._sent_at = time.monotonic()
        if self._gzip is not None and (body or mode == zlib.Z_FINISH):
            body = self._gzip.compress(body) + (b"" if mode is None else self._gzip.flush(mode))
        for start in range(0, len(body), _BUFFER_BYTES):
            self._send(frame(body[start : start + _BUFFER_BYTES]))

    def _send(self, data: bytes) -> None:
        try:
            # The socket's timeout is that of the whole call.
            with heartbeat.blocking(self._stall):
                self._connection.sendall(data)
        except OSError as error:  # also TimeoutError
            raise ClientLeft from error


def _ndjson(entries: list[Entry], *, tty: bool) -> bytes:
    if tty:  # a terminal ends its lines with CR LF
        entries = [(stamp, kind, text.removesuffix(b"\r")) for stamp, kind, text in entries]
    log = messages.log
    return b"".join(
        [
            log(stamp.decode(), text.decode("utf-8", "replace"), _STREAMS[kind]) + b"\n"
            for stamp, kind, text in entries
        ]
    )
