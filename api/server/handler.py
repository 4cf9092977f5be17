"""From an HTTP request to an answer or a WebSocket connection.

The application runs before the upgrade, so a refusal is an ordinary answer with
a status and a body.  It finds two names in its environ:

``mist.websocket_problem``
    None, or the status and the sentence with which to refuse what is no
    acceptable handshake.
``mist.accept``
    A function that does the handshake and returns the ``Connection``.  What the
    application returns after that is not sent.
"""

from __future__ import annotations

import _socket
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gevent
import structlog
from geventwebsocket.handler import WebSocketHandler
from gunicorn.workers.ggevent import PyWSGIHandler, PyWSGIServer

from api.websocket import handshake
from api.websocket.connection import Connection
from mist import close_codes

if TYPE_CHECKING:
    from api.server.accept_balance import AcceptShare
    from api.server.keepalive import ConnectionRegistry
    from mist.settings import Settings

log = structlog.get_logger(__name__)

_FIRST_ERROR: Final = 400

#: A worker that has this many connections more than another lets the others
#: accept first, for so many seconds.
_LEAD: Final = 8
_PAUSE_SECONDS: Final = 0.002


class HttpServer(PyWSGIServer):  # type: ignore[misc]  # the library is untyped
    """The HTTP server of a gunicorn worker; ``serve_with`` is called before it starts."""

    registry: ConnectionRegistry
    settings: Settings
    share: AcceptShare

    def serve_with(
        self, settings: Settings, registry: ConnectionRegistry, share: AcceptShare
    ) -> None:
        """Hand in what the server and its handlers need beyond gunicorn's own."""
        self.settings = settings
        self.registry = registry
        self.share = share
        self.idle: set[HttpHandler] = set()
        self._has_waited = False

    def publish_load(self) -> int:
        """Tell the other workers how many connections there are here, and return it."""
        connections = len(self.registry.connections) + len(self.pool)
        self.share.publish(connections)
        return connections

    def _do_read(self) -> None:
        """Accept, but when ahead of the other workers only after a pause.

        One is accepted after each pause even so: the others may be unable to.
        """
        connections = self.publish_load()
        if self._has_waited or self.share.lead(connections) <= _LEAD:
            self._has_waited = False
            super()._do_read()
            return
        self._has_waited = True
        self.stop_accepting()
        self._timer = self.loop.timer(_PAUSE_SECONDS)
        self._timer.start(self._start_accepting_if_started)

    def stop_accepting_requests(self) -> None:
        """Close the listener, and hang up on those who keep a connection without a request."""
        self.close()
        for handler in list(self.idle):
            handler.hang_up()


class HttpHandler(PyWSGIHandler, WebSocketHandler):  # type: ignore[misc]  # the libraries are untyped
    """Serves the requests of one TCP connection, until it ends or becomes a WebSocket."""

    server: HttpServer
    connection: Connection | None = None

    def read_requestline(self) -> str:
        """Wait for the next request, but not for ever: the base class has no limit."""
        if self.server.closed:
            return ""
        self.server.idle.add(self)
        try:
            return str(self._in_time("keepalive_seconds", super().read_requestline))
        finally:
            self.server.idle.discard(self)

    def read_request(self, raw_requestline: str) -> bool:
        """Read the headers, within a time that a slow sender cannot stretch."""
        complete = self._in_time("request_seconds", super().read_request, raw_requestline)
        self._check_headers()
        return bool(complete)

    def _check_headers(self) -> None:
        """Refuse headers that a reverse proxy may understand in another way than we do.

        The parser of the base class drops what follows a malformed line, also a
        Content-Length, and would take the body for the next request.
        """
        if self.headers.defects:
            raise ValueError("a header line without a name or a colon")
        lengths = self.headers.get_all("content-length", [])
        encodings = self.headers.get_all("transfer-encoding", [])
        if len(lengths) > 1 or len(encodings) > 1:
            raise ValueError("more than one header says how long the body is")
        if encodings and encodings[0].strip().lower() != "chunked":
            raise ValueError("the only transfer coding is chunked")

    def _in_time(self, setting: str, read: Callable[..., Any], *arguments: Any) -> Any:
        seconds = getattr(self.server.settings.server, setting)
        with gevent.Timeout(seconds, TimeoutError(f"no complete request in {seconds:g} seconds")):
            return read(*arguments)

    def hang_up(self) -> None:
        """End the wait for a next request."""
        try:
            self.socket.shutdown(_socket.SHUT_RD)
        except OSError as error:
            log.debug("hang_up", error=str(error))

    def run_application(self) -> None:
        """Have the application answer or accept; unlike the base class, before any upgrade."""
        self.connection = None
        self.environ["mist.websocket_problem"] = handshake.problem(self.environ)
        self.environ["mist.accept"] = self._accept
        try:
            super(WebSocketHandler, self).run_application()
        finally:
            # The environ must not keep this handler alive: that would be a cycle.
            self.environ.pop("mist.accept", None)
            self._tell_if_stopping()

    def _accept(self) -> Connection:
        """Do the handshake, and take the TCP connection over from this handler."""
        if self.environ["mist.websocket_problem"] is not None or self.connection is not None:
            raise RuntimeError("the application accepts a handshake that it has to refuse")
        answer = handshake.response(self.environ["HTTP_SEC_WEBSOCKET_KEY"])
        try:
            self.socket.sendall(answer)
        except OSError as error:
            # The connection itself finds out, as it would a moment later.
            log.debug("handshake_not_sent", error=str(error))
        self._note_answer(len(answer))
        early = self._read_early()
        sock = _socket.socket(fileno=self.socket.detach())
        self.rfile.close()
        self.connection = Connection(sock, self.server.registry, early)
        return self.connection

    def _note_answer(self, length: int) -> None:
        """Tell the base classes, and gunicorn's access log, that the request is answered."""
        self.status = b"101 Switching Protocols"
        self.code = 101
        self.response_headers: list[tuple[bytes, bytes]] = []
        self.response_length = length
        self.headers_sent = True
        self.close_connection = True

    def _read_early(self) -> bytes:
        """What the client sent right behind its request; it is in the reader's buffer."""
        self.socket.setblocking(False)
        try:
            return bytes(self.rfile.peek())
        except OSError:
            return b""

    def _tell_if_stopping(self) -> None:
        if self.connection is not None and self.server.registry.stopping is not None:
            self.connection.finish(*self.server.registry.stopping)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        """As WSGI has it; on an open WebSocket an error becomes a close frame."""
        if self.connection is not None:
            if int(status[:3]) >= _FIRST_ERROR:
                self.connection.close(close_codes.INTERNAL_ERROR, "internal error")
            return _discard
        if status.startswith("426"):
            given = {name.lower() for name, _ in headers}
            missing = [pair for pair in handshake.UPGRADE_HEADERS if pair[0].lower() not in given]
            headers = [*headers, *missing]
        write: Callable[[bytes], Any] = super().start_response(status, headers, exc_info)
        return write

    def process_result(self) -> None:
        """Send what the application returns, unless it accepted a WebSocket."""
        if self.connection is None:
            super().process_result()

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """Log an error of the application and tell the client that there was one."""
        if self.connection is not None:
            self.connection.close(close_codes.INTERNAL_ERROR, "internal error")
        super().handle_error(t, v, tb)

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        """Answer what is no HTTP request with a reason; the base class prints tracebacks."""
        reason = str(ex) or type(ex).__name__
        log.info("request_refused", peer=self.client_address, reason=reason)
        if isinstance(ex, TimeoutError):
            return _refusal("408 Request Timeout", reason)
        return _refusal("400 Bad Request", "the request is not valid HTTP/1.1")


def _refusal(status: str, message: str) -> tuple[str, bytes]:
    body = json.dumps({"success": False, "message": message, "data": None}).encode()
    head = (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return status, head.encode("ascii") + body


def _discard(_data: bytes) -> None:
    """What WSGI's write does once the connection is a WebSocket: nothing."""
