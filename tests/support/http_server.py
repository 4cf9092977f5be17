"""The worker's HTTP server within the test's process, and raw clients for it.

Nothing is patched: the server and its clients use gevent's own sockets, and the server
runs whenever a client waits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import gevent.socket
from gevent.pool import Pool

from api.server.accept_balance import AcceptShare
from api.server.handler import HttpHandler
from api.server.http_server import HttpServer
from api.server.keepalive import ConnectionRegistry
from mist.settings import ServerSettings, Settings, StreamSettings
from tests.support import wire_app
from tests.support.raw_socket import RawClient

SECONDS: Final = 10.0

GET: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST: Final = b"POST /body HTTP/1.1\r\nHost: x\r\n"
UPGRADE: Final = (
    b"GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n\r\n"
)


class Log:
    """The access log: the status and length of each response."""

    def __init__(self) -> None:
        self.responses: list[tuple[str, int]] = []

    def write(self, _text: str) -> None:
        """Discard a message of gevent."""

    def access(self, response: Any, _headers: Any, _environ: Any, _time: timedelta) -> None:
        """Note a response, as gunicorn's logger does."""
        self.responses.append((response.status, response.sent))


class Client(RawClient):
    """A client on gevent's loop; ``address`` is where it connects from."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        source = (address, 0)
        super().__init__(
            gevent.socket.create_connection(("127.0.0.1", port), SECONDS, source_address=source)
        )

    def rest(self) -> bytes:
        """Return everything until the server ends the connection, which must not be reset."""
        data = b""
        while more := self.sock.recv(65_536):
            data += more
        return data

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


class Serving:
    """A server on a port of its own; ``places`` is the number of connections it accepts."""

    def __init__(
        self,
        application: Callable[..., Any] = wire_app.app,
        places: int = 20,
        server: dict[str, Any] | None = None,
        **streams: Any,
    ) -> None:
        self.log = Log()
        self.settings = Settings(
            server=ServerSettings(**(server or {})), streams=StreamSettings(**streams)
        )
        self.registry = ConnectionRegistry(self.settings.streams)
        listener = gevent.socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.port: int = listener.getsockname()[1]
        self.server = HttpServer(
            listener,
            application=application,
            spawn=Pool(places),
            log=self.log,
            handler_class=HttpHandler,
            environ={"SERVER_NAME": "mist", "wsgi.multithread": True},
        )
        self.share = AcceptShare(0)
        self.server.serve_with(self.settings, self.registry, self.share)
        self.server.start()
        self.clients: list[Client] = []

    def client(self, data: bytes = b"", address: str = "127.0.0.1") -> Client:
        """Connect a client, and send its first bytes."""
        client = Client(self.port, address)
        self.clients.append(client)
        client.send(data)
        return client

    def close(self) -> None:
        """End the server and all of its connections."""
        for client in self.clients:
            client.close()
        self.registry.abort_all()
        self.server.stop(timeout=1)
        self.share.withdraw()


MakeServing = Callable[..., Serving]
