"""Serve the requests of a connection until it closes or becomes a WebSocket.

The application runs before the upgrade, so a refusal is an ordinary response with a
status and a body.  The application finds four keys in its environ:

``mist.websocket_problem``
        None, or the status and message with which to refuse a request that is not an
        acceptable handshake.
    ``mist.accept``
        A function that completes the handshake and returns the ``Connection``.  Whatever the
        application returns after calling it is not sent.
    ``mist.client``
        The socket of the client, for a response that ends early when the client leaves.
    ``mist.send_head``
        A function that sends the head of a streamed response before its first byte.
"""

from __future__ import annotations

import _socket
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gevent
import structlog
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler
from gunicorn.workers.ggevent import PyWSGIHandler

from api.server.request_head import HeadReader, HeadTooLarge, check_request_line
from api.server.transfer import RequestBody, send_all
from api.websocket import handshake
from api.websocket.connection import Connection
from mist import close_codes

if TYPE_CHECKING:
    from api.server.http_server import HttpServer
    from mist.settings import ServerSettings

log = structlog.get_logger(__name__)

_FIRST_ERROR: Final = 400

# gevent's own 8 KiB are less than a text of ``reader.query_bytes`` may take in a URL, where
# each of its bytes becomes three.  It is also the limit for a chunk's extension.
_REQUEST_LINE_BYTES: Final = 32_768
pywsgi.MAX_REQUEST_LINE = _REQUEST_LINE_BYTES  # type: ignore[attr-defined]  # not in the stubs


class HttpHandler(PyWSGIHandler, WebSocketHandler):  # type: ignore[misc]  # the libraries are untyped
    """Serve the requests of one TCP connection until it ends or becomes a WebSocket."""

    server: HttpServer
    connection: Connection | None = None
    rfile: Any  # a HeadReader while the headers are parsed
    wsgi_input: Any
    _served = False  # the connection has had a request before
    _deadline = 0.0  # of the present request

    def handle_one_request(self) -> Any:
        """Serve the next request; a refusal is sent here, to a client that may be gone."""
        result = super().handle_one_request()
        if not isinstance(result, tuple):
            return result
        status, refused = result
        if status == "414":  # the base class answers without a reason
            reason = f"the request line is longer than {_REQUEST_LINE_BYTES} bytes; shorten it"
            status, refused = refusal("414 URI Too Long", reason)
        with suppress(OSError):  # the base class would wait without a limit, and fail
            self._sendall(refused)
        return status, b""

    def read_requestline(self) -> str:
        """Wait for the next request with a time limit, which the base class does not have."""
        if self.server.closed:  # the connection was accepted just before a shutdown
            return ""
        self.server.idle.add(self)
        limits = self._limits
        wait = limits.keepalive_seconds if self._served else limits.request_seconds
        try:
            error = TimeoutError(f"no request in {wait:g} seconds")
            with self._waiting(), gevent.Timeout(wait, error):
                self.rfile.peek(1)
        finally:
            self.server.idle.discard(self)
        self._served = True
        self._deadline = time.monotonic() + limits.request_seconds
        line = str(self._before_deadline(super().read_requestline))
        if line.strip("\r\n"):
            return line
        # RFC 9112 §2.2: an empty line before a request is ignored.
        return str(self._before_deadline(super().read_requestline))

    def read_request(self, raw_requestline: str) -> bool:
        """Read the headers within a time limit that a slow sender cannot extend."""
        check_request_line(raw_requestline)
        version = raw_requestline.rstrip().rpartition(" ")[2]
        body = self.rfile
        self.rfile = HeadReader(body, self._limits.max_header_bytes, version)
        try:
            return bool(self._before_deadline(super().read_request, raw_requestline))
        finally:
            self.rfile = body

    def get_environ(self) -> dict[str, Any]:
        """Return the request's environ, with a body that has to arrive in time."""
        environ: dict[str, Any] = super().get_environ()
        body = self.wsgi_input
        # For an upgrade request, too: the base class would give it the bare socket.
        self.wsgi_input = environ["wsgi.input"] = RequestBody(
            self.rfile,
            self.content_length,
            body.socket,
            chunked=body.chunked_input,
            deadline=self._deadline,
            broken=self._close_afterwards,
            waiting=self._waiting,
        )
        return environ

    def _close_afterwards(self) -> None:
        self.close_connection = True

    def _sendall(self, data: bytes) -> None:
        """Send a part of a response to a client that has to take it."""
        stall_seconds = self.server.settings.streams.stall_seconds
        with self._waiting():
            send_all(self.socket, data, stall_seconds, partial(self.server.note_progress, self))
        self.response_length += len(data)

    @property
    def _limits(self) -> ServerSettings:
        return self.server.settings.server

    def _before_deadline(self, read: Callable[..., Any], *arguments: Any) -> Any:
        seconds = self._limits.request_seconds
        left = max(0.0, self._deadline - time.monotonic())
        error = TimeoutError(f"no complete request in {seconds:g} seconds")
        with self._waiting(), gevent.Timeout(left, error):
            return read(*arguments)

    def _waiting(self) -> AbstractContextManager[None]:
        """Wait for the client; while the worker is full, it may lose its place meanwhile."""
        return self.server.waiting_for(self)

    def hang_up(self) -> None:
        """Stop waiting for the next request."""
        try:
            # Only the reading side: a response that is being written still goes out.
            self.socket.shutdown(_socket.SHUT_RD)
        except OSError as error:
            log.debug("hang_up", error=str(error))

    def drop(self) -> None:
        """End the connection, because its client keeps it waiting and others need its place."""
        with suppress(OSError):
            # The socket below gevent's, whose waits would end with an unusual error: now it
            # looks as if the client had left.
            self.socket._sock.shutdown(_socket.SHUT_RDWR)

    def run_application(self) -> None:
        """Run the application before any upgrade, unlike the base class, which upgrades first."""
        self.connection = None
        self.environ["mist.websocket_problem"] = handshake.problem(self.environ)
        self.environ["mist.accept"] = self._accept
        self.environ["mist.client"] = self.socket
        self.environ["mist.send_head"] = partial(self.write, b"")
        try:
            super(WebSocketHandler, self).run_application()
        finally:
            # The function refers to this handler, whose environ would keep both alive.
            self.environ.pop("mist.accept", None)
            self.environ.pop("mist.client", None)
            self.environ.pop("mist.send_head", None)
            self._tell_if_stopping()

    def _accept(self) -> Connection:
        """Complete the handshake and take the TCP connection over from this handler."""
        if self.environ["mist.websocket_problem"] is not None or self.connection is not None:
            raise RuntimeError("the application accepted a handshake that it should refuse")
        answer = handshake.response(self.environ["HTTP_SEC_WEBSOCKET_KEY"])
        try:
            self.socket.sendall(answer)
        except OSError as error:
            # The new connection notices the broken socket itself.
            log.debug("handshake_not_sent", error=str(error))
        self._note_answer(len(answer))
        # A client may send frames without waiting for the response.
        early = self._read_early()
        # detach() transfers ownership, so that closing gevent's socket leaves the descriptor open.
        sock = _socket.socket(fileno=self.socket.detach())
        self.rfile.close()
        self.connection = Connection(sock, self.server.registry, early)
        return self.connection

    def _note_answer(self, length: int) -> None:
        """Tell the base classes, and gunicorn's access log, that the request was answered."""
        self.status = b"101 Switching Protocols"
        self.code = 101
        self.response_headers: list[tuple[bytes, bytes]] = []
        self.response_length = length
        self.headers_sent = True
        self.close_connection = True

    def _read_early(self) -> bytes:
        """Return what the client sent after its request, from the reader's buffer."""
        # Non-blocking, because peek() reads from the socket if the buffer is empty.
        self.socket.setblocking(False)
        try:
            return bytes(self.rfile.peek())
        except OSError:
            return b""

    def _tell_if_stopping(self) -> None:
        # A connection accepted during the shutdown missed the registry's finish_all().
        if self.connection is not None and self.server.registry.stopping is not None:
            self.connection.finish(*self.server.registry.stopping)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        """Start a response (PEP 3333); on an open WebSocket an error becomes a close frame."""
        if self.connection is not None:
            if int(status[:3]) >= _FIRST_ERROR:  # the application failed after the upgrade
                self.connection.close(close_codes.INTERNAL_ERROR, "internal error")
            return _discard
        if status.startswith("426"):  # RFC 9110 §15.5.22 requires Upgrade
            given = {name.lower() for name, _ in headers}
            missing = [pair for pair in handshake.UPGRADE_HEADERS if pair[0].lower() not in given]
            headers = [*headers, *missing]
        write: Callable[[bytes], Any] = super().start_response(status, headers, exc_info)
        return write

    def process_result(self) -> None:
        """Send the application's response, unless it accepted a WebSocket."""
        if self.connection is None:
            super().process_result()

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """Log an error of the application and report it to the client."""
        if self.connection is not None:
            self.connection.close(close_codes.INTERNAL_ERROR, "internal error")
        super().handle_error(t, v, tb)

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        """Answer an invalid HTTP request with a reason; the base class prints a traceback."""
        reason = str(ex) or type(ex).__name__
        # Not an error of ours, so no traceback.
        self.server.refusals.note(self.client_address, reason)
        if isinstance(ex, TimeoutError):
            return refusal("408 Request Timeout", reason)
        if isinstance(ex, HeadTooLarge):
            return refusal("431 Request Header Fields Too Large", reason)
        return refusal("400 Bad Request", f"the request is not valid HTTP/1.1: {reason}")


def refusal(status: str, message: str) -> tuple[str, bytes]:
    """Return the status and the whole response with which the server itself refuses."""
    body = json.dumps({"success": False, "message": message, "data": None}).encode()
    head = (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return status, head.encode("ascii") + body


def _discard(_data: bytes) -> None:
    """Discard a WSGI write: the connection is a WebSocket now."""
