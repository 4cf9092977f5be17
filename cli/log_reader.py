"""Request older lines of a log from the supervisor, for the terminal.

The web tier does the same for its clients (``mist/read_request.py``).  Nothing here blocks,
because a command reads several logs at a time.
"""

from __future__ import annotations

import socket
import time
from typing import Final

import msgspec

from mist import messages
from mist.errors import BusError, EngineError, MistError
from mist.messages import LogMessage
from mist.paths import Paths, out_of_reach
from mist.read_request import LENGTH, Head, ReadRequest
from mist.settings import Settings

# What one look takes at most, so that the other logs have their turn.
_RECEIVE_BYTES: Final = 262_144


class _End(msgspec.Struct, frozen=True):
    """``data`` of the final record; ``message`` says why the answer is incomplete."""

    message: str = ""


class _EndMessage(msgspec.Struct, frozen=True):
    data: _End


_end: Final = msgspec.json.Decoder(_EndMessage)


class BrokenOff(MistError):
    """A reader ended before it had answered completely."""

    def __str__(self) -> str:
        return "the reader of the log ended unexpectedly; run `mist status` to see why"


class LogReader:
    """The answer of one reader: the lines of a range, the oldest first."""

    def __init__(self, settings: Settings, paths: Paths, request: ReadRequest) -> None:
        self.done = False
        """The answer is over."""
        self.failure = ""
        """Why it is incomplete, once it is over."""
        self._patience = time.monotonic() + settings.reader.start_seconds
        self._begun = False
        self._received = bytearray()
        self._text = bytearray()
        self._connection, theirs = socket.socketpair()
        with theirs:
            try:
                self._connection.setblocking(False)
                _ask(paths, request, theirs)
            except BaseException:
                self.close()
                raise

    def fileno(self) -> int:
        """Return a descriptor that is readable when something has arrived."""
        return self._connection.fileno()

    @property
    def due(self) -> float:
        """The time at which ``take`` gives up if the answer has not begun."""
        return float("inf") if self._begun else self._patience

    def close(self) -> None:
        """End the reader, if it has not ended."""
        self._connection.close()

    def take(self) -> list[LogMessage]:
        """Return the lines that have arrived.

        Raise an error that says why the log cannot be read, or BrokenOff.
        """
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            if time.monotonic() >= self.due:
                raise BusError("no reader answers; run `mist status` to see why") from None
            return []
        except ConnectionResetError:  # the supervisor ended with the request unread
            data = b""
        if not data:
            raise BrokenOff
        self._received += data
        return [line for frame in self._frames() for line in self._lines(frame)]

    def _frames(self) -> list[bytes]:
        frames, start = [], 0
        while len(self._received) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._received, start)
            end = start + LENGTH.size + length
            if end > len(self._received):
                break
            frames.append(bytes(self._received[start + LENGTH.size : end]))
            start = end
        del self._received[:start]
        return frames

    def _lines(self, frame: bytes) -> list[LogMessage]:
        if not self._begun:
            self._begun = True
            _check(msgspec.json.decode(frame, type=Head))
            return []
        self._text += frame
        *records, rest = self._text.split(b"\n")
        self._text = rest
        lines = []
        for record in map(bytes, records):
            if messages.has_type(record, "log"):
                lines.append(messages.read_log(record))
            else:
                self.done, self.failure = True, _end.decode(record).data.message
        return lines


def _check(head: Head) -> None:
    """Raise the error that a refusal stands for."""
    if head.status == 200:
        return
    unavailable = head.status in {429, 503}
    raise EngineError(head.message) if unavailable else MistError(head.message)


def _ask(paths: Paths, request: ReadRequest, theirs: socket.socket) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5.0)
            sender.connect(str(paths.readers))
            socket.send_fds(sender, [msgspec.json.encode(request)], [theirs.fileno()])
    except OSError as error:
        if out_of_reach(paths.readers):
            raise BusError(
                f"this user may not connect to {paths.readers}; "
                "run this command as root or as the service's user"
            ) from None
        raise BusError(
            f"no supervisor takes requests on {paths.readers} ({error.strerror}); is mist up?"
        ) from None
