"""The gunicorn worker: serve HTTP and WebSockets, and shut down without cutting clients off.

A shutdown takes at most ``server.graceful_timeout`` seconds.  The listener closes at
once, requests in progress are answered, and each WebSocket receives its pending data
and a close frame: 1012 if gunicorn reloads, because clients may reconnect at once, and
1001 otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gunicorn.arbiter import Arbiter
from gunicorn.http.wsgi import base_environ
from gunicorn.workers.ggevent import VERSION, GeventPyWSGIWorker

import mist.settings
from api.server.accept_balance import AcceptShare
from api.server.handler import HttpHandler
from api.server.http_server import HttpServer
from api.server.keepalive import ConnectionRegistry
from api.server.worker_status import WorkerStatus
from mist import close_codes
from mist.errors import SettingsError
from mist.settings import load_settings

# How often a worker reports to the master that it is alive, in seconds.
_HEARTBEAT_SECONDS: Final = 1.0

# Shares of the shutdown time: until pending data must be sent, and until the closing
# handshakes must be done.  The master kills the worker at the end of all of it.
_SENDING: Final = 0.6
_CLOSING: Final = 0.85

# The time for closing handshakes in a quick shutdown (SIGQUIT, SIGINT), in seconds.
_QUICK_SECONDS: Final = 1.0

# How often a shutdown checks for remaining connections, in seconds.
_LOOK_SECONDS: Final = 0.05


class MistWorker(GeventPyWSGIWorker):  # type: ignore[misc]  # the library is untyped
    """gunicorn's gevent worker with this project's handler and shutdown."""

    server_class = HttpServer
    wsgi_handler = HttpHandler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.status = WorkerStatus()
        # Fields that the master uses.
        self.forked_at = time.monotonic()
        self.generation = 0
        self.dismissed = False
        self.hung = False
        self._told = Event()
        self._quick = False
        self._share = AcceptShare(self.age)

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Reject a configuration that cannot work; gunicorn calls this in the master."""
        if cfg.is_ssl:
            problem = "not supported; terminate TLS in a reverse proxy"
            raise SettingsError("certfile and keyfile", problem)

    def init_process(self) -> None:
        """Load the application and serve; report a failure to start to the master."""
        try:
            super().init_process()
        except Exception as error:
            if self.status.serves:
                raise  # a crash, which gunicorn logs
            self.status.note_failure(error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def init_signals(self) -> None:
        """Handle stop signals in the event loop, where a greenlet can act on them."""
        super().init_signals()
        gevent.signal_handler(signal.SIGTERM, self._stop)
        for number in (signal.SIGQUIT, signal.SIGINT):  # gunicorn's signals for a quick shutdown
            gevent.signal_handler(number, self._stop_quickly)

    def _stop(self) -> None:
        self.alive = False
        self._told.set()

    def _stop_quickly(self) -> None:
        self._quick = True
        self._stop()

    def run(self) -> None:
        """Serve until told to stop or until the master is gone."""
        settings = load_settings()
        registry = ConnectionRegistry(settings.streams)
        servers = [self._serve(listener, settings, registry) for listener in self.sockets]
        # Without the registry no dead client would be noticed: stop if its greenlet fails.
        gevent.spawn(registry.run).link_exception(lambda _: self._stop())
        self.status.note_serving()
        # A new parent process means that the master was killed.
        while self.alive and self.ppid == os.getppid():
            self.notify()
            for server in servers:
                server.publish_load()
                server.refusals.flush()
            self._told.wait(_HEARTBEAT_SECONDS)
        self._shut_down(servers, registry, settings.server.graceful_timeout)

    def notify(self) -> None:
        """Tell the master that this worker is alive; ``run`` itself checks for the master."""
        self.tmp.notify()

    def _serve(
        self, listener: Any, settings: mist.settings.Settings, registry: ConnectionRegistry
    ) -> HttpServer:
        listener.setblocking(True)
        environ = base_environ(self.cfg)
        # As gunicorn's own gevent worker does.
        environ.update({"wsgi.multithread": True, "SERVER_SOFTWARE": VERSION})
        server = self.server_class(
            listener,
            application=self.wsgi,
            spawn=Pool(self.worker_connections),
            log=self.log,
            handler_class=self.wsgi_handler,
            environ=environ,
        )
        server.serve_with(settings, registry, self._share)
        server.start()
        return server

    def _shut_down(
        self, servers: list[HttpServer], registry: ConnectionRegistry, seconds: float
    ) -> None:
        started = time.monotonic()
        # First: the others must not wait for a worker that no longer accepts.
        self._share.withdraw()
        for server in servers:
            server.stop_accepting_requests()
        registry.finish_all(*self._farewell())  # pending data first, then the close frame
        self._wait(servers, registry, started + seconds * _SENDING, lambda: self._quick)
        registry.close_all()  # time is up: skip what is still pending
        if self._quick:
            seconds = min(seconds, _QUICK_SECONDS)
        self._wait(servers, registry, started + seconds * _CLOSING)
        registry.abort_all()
        for server in servers:
            server.pool.kill(block=False)
            server.refusals.flush(early=True)

    def _farewell(self) -> tuple[int, str]:
        if self.status.replaced:
            return close_codes.SERVICE_RESTART, "server reloads"
        return close_codes.GOING_AWAY, "server stops"

    def _wait(
        self,
        servers: list[HttpServer],
        registry: ConnectionRegistry,
        deadline: float,
        hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until no connection is left, the deadline has passed, or ``hurry`` returns True."""
        while time.monotonic() < deadline and not hurry():
            if not registry.connections and not any(len(server.pool) for server in servers):
                return
            self.notify()
            gevent.sleep(_LOOK_SECONDS)
