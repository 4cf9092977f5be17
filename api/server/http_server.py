"""The HTTP server of a worker: which connections it accepts, and when."""

from __future__ import annotations

import _socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import gevent
from gunicorn.workers.ggevent import PyWSGIServer

from api.server.handler import HttpHandler, refusal
from api.server.refusals import RefusalLog
from mist.networks import is_trusted, network_of

if TYPE_CHECKING:
    from api.server.accept_balance import AcceptShare
    from api.server.keepalive import ConnectionRegistry
    from mist.settings import Settings

# A worker that is ahead of another by this many connections lets the others accept
# first, for this many seconds.
_LEAD: Final = 8
_PAUSE_SECONDS: Final = 0.002

# While all places are taken, this share of them may be freed, this often in seconds.
_DROPPED_SHARE: Final = 10
_FULL_SECONDS: Final = 0.05

# How long a refused client's request is awaited, and how much of it is read.
_REFUSAL_SECONDS: Final = 0.2
_REFUSAL_BYTES: Final = 65_536


class HttpServer(PyWSGIServer):  # type: ignore[misc]  # the library is untyped
    """The HTTP server of a gunicorn worker; call ``serve_with`` before starting it."""

    registry: ConnectionRegistry
    settings: Settings
    share: AcceptShare

    def serve_with(
        self, settings: Settings, registry: ConnectionRegistry, share: AcceptShare
    ) -> None:
        """Set what the server and its handlers need in addition to gunicorn's own arguments."""
        self.settings = settings
        self.registry = registry
        self.share = share
        self.refusals = RefusalLog()
        self.idle: set[HttpHandler] = set()
        # Handlers that wait for their clients, and since when; the longest wait comes first.
        self._waiting: dict[HttpHandler, float] = {}
        self._places: Counter[str] = Counter()
        self._has_waited = False

    def publish_load(self) -> int:
        """Publish the number of connections to the other workers, and return it."""
        connections = len(self.registry.connections) + len(self.pool)
        self.share.publish(connections)
        return connections

    def _do_read(self) -> None:
        """Accept a connection, after a pause if this worker is ahead of the others.

        After each pause accept one anyway, because the others may be unable to.
        """
        if self.full():
            self._drop_waiting()
            self._pause_accepting(_FULL_SECONDS)
            return
        connections = self.publish_load()
        if self._has_waited or self.share.lead(connections) <= _LEAD:
            self._has_waited = False
            super()._do_read()
            if self.full():  # it accepts several; without a free place it would only wait
                self._pause_accepting(_FULL_SECONDS)
            return
        self._has_waited = True
        self._pause_accepting(_PAUSE_SECONDS)

    def _pause_accepting(self, seconds: float) -> None:
        # gevent's loop would report the waiting connection again at once.
        self.stop_accepting()
        self._timer = self.loop.timer(seconds)
        self._timer.start(self._start_accepting_if_started)

    @contextmanager
    def waiting_for(self, handler: HttpHandler) -> Iterator[None]:
        """Count the handler as one that waits for its client."""
        self._waiting[handler] = time.monotonic()
        try:
            yield
        finally:
            self._waiting.pop(handler, None)

    def note_progress(self, handler: HttpHandler) -> None:
        """Let the wait of a handler begin anew, unless it has been dropped."""
        if self._waiting.pop(handler, None) is not None:
            self._waiting[handler] = time.monotonic()

    def _drop_waiting(self) -> None:
        """Free places of clients that keep the worker waiting, the longest wait first."""
        latest = time.monotonic() - self.settings.server.full_patience_seconds
        some = list(islice(self._waiting.items(), max(1, self.pool.size // _DROPPED_SHARE)))
        for handler, since in some:
            if since < latest:
                del self._waiting[handler]  # not to be dropped again while it ends
                handler.drop()

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection, or refuse it if its network has too many in this worker."""
        # The client of a Unix socket has no address.
        client = str(address[0]) if isinstance(address, tuple) else ""
        if is_trusted(client, self.settings.server.forwarded_allow_ips):
            super().handle(sock, address)  # a proxy's connections are those of many clients
            return
        network = network_of(client)
        if self._places[network] >= self.settings.server.connections_per_address:
            self._refuse(sock, address)
            return
        self._places[network] += 1
        try:
            super().handle(sock, address)
        finally:
            self._places[network] -= 1
            if not self._places[network]:
                del self._places[network]  # there is no limit to the number of networks

    def _refuse(self, sock: Any, address: Any) -> None:
        limit = self.settings.server.connections_per_address
        message = f"Your network has {limit} connections; close some of them"
        self.refusals.note(address, "too many connections (server.connections_per_address)")
        with suppress(OSError):
            # Closing with unread data would reset the connection, and the answer be lost.
            with gevent.Timeout(_REFUSAL_SECONDS, TimeoutError()), suppress(TimeoutError):
                sock.recv(_REFUSAL_BYTES)
            sock.sendall(refusal("429 Too Many Requests", message)[1])  # fits into the socket
            sock.shutdown(_socket.SHUT_WR)

    def stop_accepting_requests(self) -> None:
        """Close the listener, and end keep-alive connections that have no request in progress."""
        self.close()
        for handler in list(self.idle):
            handler.hang_up()
