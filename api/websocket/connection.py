"""One open WebSocket connection, driven by the event loop instead of a greenlet.

Reading and writing are callbacks of libev watchers.  An idle client therefore costs no
greenlet, no stack and no read buffer, and sending never switches greenlets.  The order
of output is: the rest of the frame being written, control frames, then the source's
frames.

The closing sequence (RFC 6455 §7) is: our close frame, the peer's close frame, the end
of our side of the TCP connection, the end of the peer's.  Without the last wait, unread
bytes from the peer would turn our close frame into a connection reset.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import time
from collections.abc import Callable
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SHUT_WR,
    SO_LINGER,
    SOL_SOCKET,
    TCP_NODELAY,
)
from struct import Struct
from termios import TIOCOUTQ
from typing import Any, Final, Protocol

import gevent
import structlog

from api.websocket import frames
from api.websocket.frames import CloseCode, Opcode
from api.websocket.parser import Binary, Close, Event, Parser, Ping, ProtocolViolation, Text
from api.websocket.write_buffer import WriteBuffer

log = structlog.get_logger(__name__)

# libev's EV_READ and EV_WRITE.
_READ: Final = 1
_WRITE: Final = 2

# One read; clients send little more than pongs.
_RECEIVE_BYTES: Final = 16_384

# Yield to the event loop after this much, even if the socket takes more: a fast reader
# that is catching up must not delay the others.
_BURST_BYTES: Final = 1_048_576

# From ``linux/tcp.h``; Python has the constant only since 3.13.
_TCP_NOTSENT_LOWAT: Final = 25

_INT: Final = Struct("i")  # what the SIOCOUTQ ioctl fills in

# ``struct linger`` with a timeout of zero: close with a reset (``socket(7)``).
_RESET_ON_CLOSE: Final = Struct("ii").pack(1, 0)


class FrameSource(Protocol):
    """A source of frames for one client, in the order in which to send them."""

    def take(self) -> list[bytes]:
        """Return the next buffers, each of complete frames, or an empty list.

        Called only after everything returned before was written.  The list may be shared
        between connections and must not be modified.
        """


class Limits(Protocol):
    """The bounds of a connection, in bytes and seconds."""

    @property
    def max_message_bytes(self) -> int:
        """The longest message that a client may send, in bytes."""

    @property
    def unsent_bytes(self) -> int:
        """How many unsent bytes the kernel queues for the client."""

    @property
    def close_seconds(self) -> float:
        """How long the client may take to answer a close frame, in seconds."""


class Registry(Protocol):
    """The owner of all connections; :mod:`api.server.keepalive` implements it."""

    @property
    def limits(self) -> Limits:
        """The limits of every connection."""

    @property
    def blocked(self) -> set[Connection]:
        """The connections whose socket is full."""

    def add(self, connection: Connection) -> None:
        """Register a new connection."""

    def discard(self, connection: Connection) -> None:
        """Forget a closed connection."""


def queued(descriptor: int) -> int:
    """Return how many bytes the kernel holds for a socket's peer (SIOCOUTQ in ``tcp(7)``)."""
    return int(_INT.unpack(fcntl.ioctl(descriptor, TIOCOUTQ, _INT.pack(0)))[0])


class Connection:
    """An accepted connection.

    ``flush`` takes frames from ``source``.  ``on_message`` is called with each text or
    binary message of the peer and must not block; without it, messages are dropped.
    ``on_close`` is called exactly once when the connection is closed for any reason; the
    event loop calls it, never a method of this class.

    The connection runs on its own: the greenlet that accepted it may end.

    ``unanswered`` counts the pings since the last bytes from the peer.  While the
    connection is ``blocked``, ``last_progress`` is the monotonic time at which the kernel
    or the peer last took bytes.
    """

    __slots__ = (
        "_control",
        "_deadline",
        "_draining",
        "_farewell",
        "_fd",
        "_on_close",
        "_out",
        "_parser",
        "_peer_closed",
        "_reader",
        "_registry",
        "_socket",
        "_writer",
        "blocked",
        "close_code",
        "closed",
        "closing",
        "last_progress",
        "on_message",
        "slot",
        "source",
        "unanswered",
        "unsent",
    )

    def __init__(self, sock: _socket.socket, registry: Registry, early: bytes = b"") -> None:
        """Take over a connected socket; ``early`` holds bytes read after the handshake."""
        self.closed = False
        self.closing = False
        self.close_code: int | None = None
        self.source: FrameSource | None = None
        self.on_message: Callable[[str | bytes], None] | None = None
        self._on_close: Callable[[Connection], None] | None = None
        self.blocked = False
        self.last_progress = 0.0
        self.slot = self.unanswered = 0
        self.unsent = 0
        self._registry = registry
        self._socket = sock
        self._fd = sock.fileno()
        # None: read no more
        self._parser: Parser | None = Parser(registry.limits.max_message_bytes)
        self._out = WriteBuffer()
        self._control: dict[Opcode, bytes] | None = None  # most connections never need a dict
        self._farewell: bytes | None = None  # the close frame for after the source's last frame
        self._peer_closed = False
        self._draining = False  # our side is shut down; waiting for the peer's end
        self._deadline: Any = None
        self._writer: Any = None
        self._prepare()
        registry.add(self)
        self._reader: Any = gevent.get_hub().loop.io(self._fd, _READ)
        self._reader.start(self._on_readable)
        if early:
            # Not yet: the application has not had the chance to set ``on_message``.
            gevent.get_hub().loop.run_callback(self._parse, early)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "closing" if self.closing else "open"
        return f"<Connection {self._fd} {state}>"

    def _prepare(self) -> None:
        """Send without delay, and limit the kernel's queue for a slow client.

        Unsent lines can still be skipped.  What the kernel has queued cannot, and that
        memory counts towards none of our limits.
        """
        self._socket.setblocking(False)
        if self._socket.family in (AF_INET, AF_INET6):  # not on a Unix socket behind a proxy
            self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self._socket.setsockopt(
                IPPROTO_TCP, _TCP_NOTSENT_LOWAT, self._registry.limits.unsent_bytes
            )

    # Sending

    def flush(self) -> None:
        """Write pending data until the socket is full, without blocking or switching greenlets.

        If the socket becomes full, the connection is ``blocked`` and continues by itself as
        soon as the socket is writable.
        """
        if self.blocked or self._draining or self.closed:  # the watcher will flush
            return
        out, left = self._out, _BURST_BYTES  # locals: this is the hot path of the fan-out
        try:
            while True:
                if (self._control or not out.buffers) and not self._refill():
                    return
                left -= out.write(self._fd)
                if out.offset or left <= 0:
                    self._block()
                    return
        except BlockingIOError:
            self._block()
        except OSError:
            # Reset, broken pipe or timeout: the peer cannot be told anything.
            self._drop()

    def _refill(self) -> bool:
        """Fill the write buffer: control frames first, then the source, then the close frame.

        Return True if there is something to write.
        """
        if self._control:
            self._out.insert(*self._take_control())
        elif self.closing:
            self._after_close_frame()
        elif fresh := self._take():
            self._out.buffers = fresh
        elif self._farewell is not None:
            self._out.append(self._farewell)
            self.source, self._farewell, self.closing = None, None, True
        return bool(self._out.buffers)

    def _take_control(self) -> list[bytes]:
        control, self._control = self._control or {}, None
        return list(control.values())

    def _take(self) -> list[bytes]:
        """Take frames from the source; a failing source ends only this client's stream."""
        if self.source is None:
            return []
        try:
            return self.source.take()
        except Exception:
            log.exception("source_failed")
            self.source = None  # a failing source would fail again
            self._farewell = frames.close_frame(CloseCode.INTERNAL_ERROR, "internal error")
            self.close_code = CloseCode.INTERNAL_ERROR
            return []

    def _block(self) -> None:
        """Continue from the event loop when the socket is writable again."""
        self.blocked = True
        self.last_progress = time.monotonic()
        self._registry.blocked.add(self)
        # Created only when needed, since most clients keep up.
        self._writer = gevent.get_hub().loop.io(self._fd, _WRITE)
        self._writer.start(self._on_writable)

    def queued(self) -> int:
        """Return how many bytes the kernel still holds for the peer."""
        return queued(self._fd)

    def _unblock(self) -> None:
        self.blocked = False
        self._registry.blocked.discard(self)
        self._writer.stop()
        self._writer.close()
        self._writer = None

    def _on_writable(self) -> None:
        self._unblock()
        self.flush()

    def ping(self) -> None:
        """Send a ping, unless one is still waiting to be written."""
        self.unanswered += 1
        self._send_control(Opcode.PING, frames.ping_frame())

    def _send_control(self, opcode: Opcode, frame: bytes) -> None:
        """Send a control frame at the next frame boundary.

        Keep only the newest of each kind, as RFC 6455 §5.5.3 allows for pongs, so that a
        peer that pings without reading cannot make the buffer grow.
        """
        if self.closing or self.closed:
            return
        self._control = {**(self._control or {}), opcode: frame}
        self.flush()

    # Closing

    def finish(self, code: int, reason: str = "") -> None:
        """Close after everything in the source has been sent."""
        if self._farewell is None and not self.closing:
            self._farewell = frames.close_frame(code, reason)
            self.close_code = code
            self.flush()

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close at the next frame boundary, without sending the rest of the source."""
        if self.closing or self.closed:
            return
        self._out.cut()
        self._end_with(frames.close_frame(code, reason), code)
        self.flush()

    def abort(self) -> None:
        """Reset the TCP connection, because the peer does not read.

        A reset discards the kernel's queue; an ordinary close would keep trying to send it
        for minutes.
        """
        if not self.closed:
            self._socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)  # close() sends a RST
            self._drop()

    def _end_with(self, frame: bytes, code: int | None) -> None:
        """Add a close frame as the last one of the write buffer."""
        self._out.append(*self._take_control(), frame)
        self.closing = True
        self.close_code = code
        self.source = self._farewell = None
        self._start_deadline()

    def _start_deadline(self) -> None:
        # A peer that never answers must not keep the connection open.
        self._deadline = gevent.get_hub().loop.timer(self._registry.limits.close_seconds)
        self._deadline.start(self._drop)

    def _after_close_frame(self) -> None:
        """Shut down our side once both close frames have been exchanged.

        For a client that ``finish`` closes, the deadline starts only now: until it had
        received everything it was merely slow.
        """
        if self._deadline is None:
            self._start_deadline()
        if not self._peer_closed:
            return
        self._draining = True
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # which means that the peer has reset it already
                raise
            self._drop()

    def _drop(self) -> None:
        """Release everything; the event loop then calls ``on_close``."""
        if self.closed:
            return
        self.closed = self.closing = True  # first, because the calls below may check it
        for watcher in (self._reader, self._writer, self._deadline):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = self._deadline = None
        self._socket.close()
        self._registry.discard(self)
        self._out.clear()
        # Break the reference cycles with the source and the callbacks.
        self.source = self._parser = self._control = self._farewell = self.on_message = None
        gevent.get_hub().loop.run_callback(self._notify)

    @property
    def on_close(self) -> Callable[[Connection], None] | None:
        """The callback for the end of the connection, called even if it has already closed."""
        return self._on_close

    @on_close.setter
    def on_close(self, callback: Callable[[Connection], None] | None) -> None:
        self._on_close = callback
        if self.closed:
            gevent.get_hub().loop.run_callback(self._notify)

    def _notify(self) -> None:
        callback, self._on_close = self._on_close, None
        if callback is not None:
            callback(self)

    # Receiving

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, _RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # reset by the peer: the same as its end
        if not data:
            self._drop()
            return
        # Any bytes prove that the peer is alive, not only pongs.
        self.unanswered = 0
        if not self._draining:  # after the close frames, bytes are only discarded
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            for event in parser.feed(data):
                self._handle(event)
                if self._parser is None:  # the event has closed the connection
                    return
        except ProtocolViolation as violation:
            self._fail(violation)

    def _handle(self, event: Event) -> None:
        match event:
            case Ping(payload):
                self._send_control(Opcode.PONG, frames.pong_frame(payload))
            case Close(code):
                self._on_close_frame(code)
            case Text(message) | Binary(message):
                self._deliver(message)

    def _on_close_frame(self, code: int | None) -> None:
        """Echo the peer's code (RFC 6455 §5.5.1), unless the frame is the answer to ours."""
        self._peer_closed = True
        self._parser = None
        if not self.closing:
            self._out.cut()
            self._end_with(frames.close_frame(code), code)
        self.flush()

    def _fail(self, violation: ProtocolViolation) -> None:
        """Send the reason and stop reading (RFC 6455 §7.1.7).

        Send pending data first, because it may answer the peer's earlier messages.  From a
        source without an end this is what it returns at once.
        """
        self._peer_closed = True
        self._parser = None
        if not self.closing:
            self._out.append(*self._take())
            self._end_with(frames.close_frame(violation.code, violation.reason), violation.code)
        self.flush()

    def _deliver(self, message: str | bytes) -> None:
        if self.on_message is None or self.closing:
            return
        try:
            self.on_message(message)
        except Exception:
            log.exception("message_not_handled")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")
