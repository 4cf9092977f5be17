"""The HTTP server of a worker: which connections it accepts, and when."""

from __future__ import annotations

import _socket
from collections import Counter
from contextlib import suppress
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
        connections = self.publish_load()
        if self._has_waited or self.share.lead(connections) <= _LEAD:
            self._has_waited = False
            super()._do_read()
            return
        self._has_waited = True
        # gevent's loop would report the waiting connection again at once.
        self.stop_accepting()
        self._timer = self.loop.timer(_PAUSE_SECONDS)
        self._timer.start(self._start_accepting_if_started)

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
