"""Yardstick a: a plain gevent-websocket server that calls ``ws.send`` for each client.

This is what one writes first, and what tutorials show: a list of clients, and a
loop over it for each message.  It gets its lines for nothing (no bus, no
collector, no authentication), so the comparison is in its favour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import WebSocketHandler

from bench import lines


class Plain:
    """The server, its clients, and how it sends."""

    def __init__(self) -> None:
        self.clients: list[Any] = []
        self._server = WSGIServer(
            ("127.0.0.1", 0),
            self.application,
            handler_class=WebSocketHandler,
            log=None,
            backlog=2048,
        )
        self._server.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.address[1])

    def application(
        self, environ: dict[str, Any], _start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Keep the client until it goes."""
        socket = environ["wsgi.websocket"]
        self.clients.append(socket)
        try:
            while socket.receive() is not None:
                pass
        except WebSocketError:
            pass  # The client went without a close frame: that is how the bench ends them.
        self.clients.remove(socket)
        return []

    def burst(self, first: int, count: int) -> float:
        """Send lines as fast as possible, after the ``first`` ones; the CPU seconds it took."""
        texts = [lines.message(number + 1).decode() for number in range(first, first + count)]
        begin = time.process_time()
        for text in texts:
            self._broadcast(text)
        return time.process_time() - begin

    def drip(self, first: int, count: int, rate: float) -> float:
        """Send ``rate`` lines a second; the CPU seconds that it took."""
        texts = [lines.message(number + 1).decode() for number in range(first, first + count)]
        begin, due = time.process_time(), time.monotonic()
        for text in texts:
            self._broadcast(text)
            due += 1 / rate
            gevent.sleep(max(0.0, due - time.monotonic()))
        return time.process_time() - begin

    def _broadcast(self, text: str) -> None:
        for client in self.clients:
            client.send(text)

    def wait_for(self, clients: int) -> None:
        """Wait until that many clients are in the list."""
        while len(self.clients) < clients:
            gevent.sleep(0.01)

    def address(self) -> int:
        """The port, as an answer."""
        return self.port


def main(pipe: Connection[Any, Any]) -> None:
    """Serve requests of the bench until the pipe is closed; the hub runs meanwhile."""
    plain = Plain()
    pool = gevent.get_hub().threadpool
    while (asked := pool.apply(_receive, (pipe,))) is not None:
        name, *arguments = asked
        pipe.send(getattr(plain, name)(*arguments))


def _receive(pipe: Connection[Any, Any]) -> tuple[Any, ...] | None:
    """The next request, or None at the end; runs in a thread, for it blocks."""
    try:
        asked: tuple[Any, ...] = pipe.recv()
    except EOFError:
        return None
    return asked
