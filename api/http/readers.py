"""Request older lines from a reader, and pass its answer on to the client.

The supervisor starts the reader; this side only copies frames from a Unix socket
(``mist/read_request.py``).  A client that does not read holds the reader back.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import gevent
import msgspec
from gevent.socket import wait_read
from gevent.timeout import Timeout

from api.services import Services
from mist.errors import BusError
from mist.read_request import LENGTH, Head, ReadRequest

_TCP_NOTSENT_LOWAT: Final = 25  # linux/tcp.h

_NO_ANSWER: Final = "No reader answers; run `mist status` to see why"


class ReaderAnswer:
    """One answer: its head, and then the frames of its body."""

    def __init__(self, services: Services, request: ReadRequest) -> None:
        self._limits = services.settings.reader
        self._unsent = services.settings.streams.unsent_bytes
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                _ask(services, request, theirs)
            self._file = self._connection.makefile("rb")
            with Timeout(self._limits.start_seconds, BusError(_NO_ANSWER)):
                frame = self._frame()
        except BaseException:
            self._connection.close()
            raise
        if not frame:
            self.close()
            raise BusError(_NO_ANSWER)
        self.head = msgspec.json.decode(frame, type=Head)

    def close(self) -> None:
        """End the reader."""
        self._file.close()
        self._connection.close()

    def body(self, environ: dict[str, Any], check: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the frames of the body.

        ``environ`` is that of the request (``api/server/handler.py``): if the client leaves,
        the reader ends.  ``check`` returns False once the client may not read any more.
        """
        client = environ["mist.client"]
        # The kernel would hold megabytes for a slow client, which belong to the engine's disk.
        with suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, self._unsent)
        watch = gevent.spawn(self._watch, client)
        try:
            environ["mist.send_head"]()  # a search may take long until its first hit
            while frame := self._frame():
                if not check():
                    raise _broken_off()
                # The server ignores this error without a traceback, and closes the connection.
                with Timeout(self._limits.stall_seconds, _broken_off()):
                    yield frame
            if frame is None:
                raise _broken_off()
        finally:
            watch.kill(block=False)
            self.close()

    def _frame(self) -> bytes | None:
        """Return the next frame; None if the answer was broken off."""
        try:
            head = self._file.read(LENGTH.size)
            if len(head) < LENGTH.size:
                return None
            (length,) = LENGTH.unpack(head)
            frame: bytes = self._file.read(length)
        except OSError:
            return None
        return frame if len(frame) == length else None

    def _watch(self, client: Any) -> None:
        """End the reader when the client leaves, which a search without hits would not notice."""
        descriptor = client.fileno()
        wait_read(descriptor)
        try:
            left = not client.recv(1, socket.MSG_PEEK)
        except OSError:
            left = True
        if left:
            self._connection.shutdown(socket.SHUT_RDWR)


def _ask(services: Services, request: ReadRequest, theirs: socket.socket) -> None:
    path = str(services.paths.readers)
    data = msgspec.json.encode(request)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(path)
            with Timeout(services.settings.reader.start_seconds, BusError(_NO_ANSWER)):
                socket.send_fds(sender, [data], [theirs.fileno()])
    except OSError as error:
        raise BusError(f"the supervisor does not take requests: {error.strerror}") from None


def _broken_off() -> OSError:
    return BrokenPipeError(errno.EPIPE, "the answer was broken off")
