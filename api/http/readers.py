"""Request older lines from a reader, and pass its answer on to the client.

The supervisor starts the reader; this side only copies frames from a Unix socket
(``mist/read_request.py``).  A client that does not read holds the reader back.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import falcon
import gevent
import msgspec
import structlog
from gevent.monkey import get_original
from gevent.socket import wait_read
from gevent.timeout import Timeout

from api.services import Services
from mist.errors import BusError, StoreError
from mist.read_request import LENGTH, Head, ReadRequest

log = structlog.get_logger(__name__)

_TCP_NOTSENT_LOWAT: Final = 25  # linux/tcp.h

# How often to look for a client that has left after it sent its next request.
_LOOK_SECONDS: Final = 0.5

# gevent's own poll() cannot wait for the end of a connection.
_poll: Final = get_original("select", "poll")

_NO_ANSWER: Final = "No reader answers; run `mist status` to see why"


class ReaderAnswer:
    """One answer: its head, and then the frames of its body."""

    def __init__(self, services: Services, request: ReadRequest) -> None:
        self._limits = services.settings.reader
        self._unsent = services.settings.streams.unsent_bytes
        self._connection, theirs = socket.socketpair()
        try:
            with Timeout(self._limits.start_seconds, BusError(_NO_ANSWER)):
                with theirs:
                    ask_supervisor(services, msgspec.json.encode(request), theirs)
                self._file = self._connection.makefile("rb")
                frame = self._frame()
        except BaseException:
            self._connection.close()
            raise
        if not frame:
            self.close()
            raise BusError(_NO_ANSWER)
        self.head = msgspec.json.decode(frame, type=Head)

    def require_success(self) -> None:
        """Raise the HTTP error with which the reader refuses, if it does."""
        head = self.head
        if head.status != 200:
            self.close()
            retry = {"Retry-After": str(head.retry_after)} if head.retry_after else None
            raise falcon.HTTPError(
                falcon.code_to_http_status(head.status), description=head.message, headers=retry
            )

    def whole(self) -> bytes:
        """Return the body of a short answer."""
        frames = []
        try:
            with Timeout(self._limits.start_seconds, BusError(_NO_ANSWER)):
                while frame := self._frame():
                    frames.append(frame)
        finally:
            self.close()
        if frame is None:
            raise BusError(_NO_ANSWER)
        return b"".join(frames)

    def close(self) -> None:
        """End the reader."""
        self._file.close()
        self._connection.close()

    def body(
        self, environ: dict[str, Any], allowed: Callable[[], bool], seconds: float
    ) -> Iterator[bytes]:
        """Yield the frames of the body.

        ``environ`` is that of the request (``api/server/handler.py``): if the client leaves,
        the reader ends.  ``allowed`` is called every ``seconds``, and returns False once the
        client may not read any more.
        """
        client = environ["mist.client"]
        # The kernel would hold megabytes for a slow client, which belong to the engine's disk.
        with suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, self._unsent)
        watch = gevent.spawn(self._watch, client, allowed, seconds)
        try:
            environ["mist.send_head"]()  # a search may take long until its first hit
            while frame := self._frame():
                # The server ignores this error without a traceback, and closes the connection.
                with Timeout(self._limits.stall_seconds, _broken_off()):
                    yield frame
                # A fast client and a fast reader would leave the other greenlets no time.
                gevent.sleep(0)
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

    def _watch(self, client: Any, allowed: Callable[[], bool], seconds: float) -> None:
        """End the answer when the client leaves, or may not read any more.

        Otherwise a search without hits would notice neither, nor a client that takes nothing.
        """
        while not _leaves(client, seconds):
            try:
                if allowed():
                    continue
            except StoreError as error:
                # A failing store must not end the answer; the next check catches up.
                log.warning("reading_not_checked", reason=str(error))
                continue
            with suppress(OSError):
                # The socket below gevent's, so that it looks as if the client had left.
                client._sock.shutdown(socket.SHUT_RDWR)
            break
        with suppress(OSError):  # the answer may just have ended
            self._connection.shutdown(socket.SHUT_RDWR)


def _leaves(client: Any, seconds: float) -> bool:
    """Wait for the client to leave; return False if it is still there after ``seconds``."""
    poller = _poll()
    poller.register(client.fileno(), select.POLLRDHUP)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        with suppress(TimeoutError):
            wait_read(client.fileno(), left)
        if poller.poll(0):
            return True
        gevent.sleep(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
    return False


def ask_supervisor(services: Services, request: bytes, theirs: socket.socket) -> None:
    """Send the supervisor a request, with the end of a connection for the answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(services.paths.readers))
            socket.send_fds(sender, [request], [theirs.fileno()])
    except OSError as error:
        raise BusError(
            f"the supervisor does not take requests ({error.strerror}); start the service on its "
            "machine, or see its log there"
        ) from None


def _broken_off() -> OSError:
    return BrokenPipeError(errno.EPIPE, "the answer was broken off")
