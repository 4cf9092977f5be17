"""Bodies and responses with a time limit.

A client that never finishes its body, or never reads its response, must not keep one of
the worker's places.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import gevent
from gevent.pywsgi import Input, _InvalidClientInput  # type: ignore[attr-defined]

from api.websocket.connection import queued

# How often a stalled response is checked for progress, in seconds.
_LOOK_SECONDS: Final = 1.0
# At most this much of a body that nobody wants is read, so that the client, which is
# still sending, gets the response before its connection is reset.
_DRAIN_BYTES: Final = 1_048_576
_DRAIN_STEP: Final = 16_384
# All but the tab, CR and LF, which the framing needs.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RequestBody(Input):
    """A request's body, which has to arrive before ``deadline`` (``time.monotonic``).

    Reads raise TimeoutError after the deadline.  ``broken`` is called if the rest of the
    body was left unread, because the connection cannot serve another request then.  A read
    runs within ``waiting``.
    """

    __slots__ = ("_broken", "_deadline", "_waiting")

    def __init__(  # noqa: PLR0913 - as in the base class
        self,
        rfile: Any,
        content_length: int | None,
        socket: Any,
        *,
        chunked: bool,
        deadline: float,
        broken: Callable[[], None],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__(rfile, content_length, socket, chunked)
        self._deadline = deadline
        self._broken = broken
        self._waiting = waiting

    def read(self, length: int | None = None) -> bytes:
        """Return ``length`` bytes, or everything."""
        with self._in_time():
            return bytes(super().read(length))

    def readline(self, size: int | None = None) -> bytes:
        """Return the next line."""
        with self._in_time():
            return bytes(super().readline(size))

    def _Input__read_chunk_length(self, rfile: Any) -> int:  # noqa: N802 - the base class's own
        """Return the length of the next chunk; raise an error that refuses the request.

        The base class ignores control characters in an extension and in a trailer.  A proxy
        that ends a line at a bare LF would see other chunks in the same bytes.
        """
        try:
            return int(super()._Input__read_chunk_length(_Framing(rfile)))  # type: ignore[misc]
        except ValueError:
            self._chunked_input_error = True
            raise _InvalidClientInput("a chunk has no length") from None
        except OSError:
            self._chunked_input_error = True  # not set by the base class for a trailer
            raise

    def _discard(self) -> None:
        """Read what the application left, within the deadline and a limit of bytes."""
        if self._chunked_input_error:
            self._broken()
            return
        if not (self.chunked_input or self.position < (self.content_length or 0)):
            return
        # A client that waits for "100 Continue" must not begin to send now.
        self.send_100_continue_enabled = False
        try:
            for _ in range(_DRAIN_BYTES // _DRAIN_STEP):
                if not self.read(_DRAIN_STEP):
                    return
        except OSError:
            pass  # the client is gone, too slow, or does not send what it announced
        self._broken()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        left = max(0.0, self._deadline - time.monotonic())
        error = TimeoutError("the request body did not arrive in time")
        with self._waiting(), gevent.Timeout(left, error):
            yield


class _Framing:
    """What is between the data of chunks, checked byte by byte (RFC 9112 §7.1)."""

    def __init__(self, rfile: Any) -> None:
        self._rfile = rfile
        self._before = b""

    def read(self, size: int) -> bytes:
        """Return the next byte; raise an error for a control character, or an LF without CR."""
        byte: bytes = self._rfile.read(size)
        if _CONTROL.match(byte) or (byte == b"\n" and self._before != b"\r"):
            raise _InvalidClientInput("a control character between chunks")
        self._before = byte
        return byte


def send_all(sock: Any, data: bytes, stall_seconds: float, progressed: Callable[[], None]) -> None:
    """Send ``data``; raise BrokenPipeError if the peer takes nothing for ``stall_seconds``.

    Progress is measured by the kernel's send queue: a slow reader empties it long before
    the socket becomes writable again.
    """
    view = memoryview(data)
    unsent, progress = -1, time.monotonic()
    while view:
        try:
            with gevent.Timeout(min(_LOOK_SECONDS, stall_seconds), TimeoutError()):
                sent = sock.send(view)
        except TimeoutError:
            now, before, unsent = time.monotonic(), unsent, queued(sock.fileno())
            if unsent != before:
                progress = now
                progressed()
            elif now - progress >= stall_seconds:
                reason = f"the client read nothing for {stall_seconds:g} seconds"
                raise BrokenPipeError(errno.EPIPE, reason) from None
        else:
            view, progress = view[sent:], time.monotonic()
            progressed()
