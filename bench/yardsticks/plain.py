"""Yardstick a: a plain gevent-websocket server that calls ``ws.send`` for each client.

This is the obvious first version, as tutorials show it: a list of clients, and a loop
over it for each message.  It gets its lines for free (no bus, no collector, no
authentication), so the comparison is in its favour.
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
    """The server and its clients."""

    def __init__(self) -> None:
        self.clients: list[Any] = []
        self._server = WSGIServer(
            ("127.0.0.1", 0),
            self.application,
            handler_class=WebSocketHandler,
            log=None,  # a request log would only cost time
            backlog=2048,
        )
        self._server.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.address[1])

    def application(
        self, environ: dict[str, Any], _start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Keep the client until it disconnects."""
        socket = environ["wsgi.websocket"]
        self.clients.append(socket)
        try:
            while socket.receive() is not None:
                pass
        except WebSocketError:
            pass  # the bench disconnects its clients without a close frame
        self.clients.remove(socket)
        return []

    def burst(self, first: int, count: int) -> float:
        """Send lines after the ``first`` ones as fast as possible; return CPU seconds."""
        texts = [lines.message(number + 1).decode() for number in range(first, first + count)]
        begin = time.process_time()
        for text in texts:
            self._broadcast(text)
        return time.process_time() - begin

    def drip(self, first: int, count: int, rate: float) -> float:
        """Send ``rate`` lines a second; return CPU seconds."""
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
        """Wait until ``clients`` clients are connected."""
        while len(self.clients) < clients:
            gevent.sleep(0.01)

    def address(self) -> int:
        """Return the port, as the answer to a request."""
        return self.port


def main(pipe: Connection[Any, Any]) -> None:
    """Handle requests of the bench until the pipe is closed, while the hub keeps running."""
    plain = Plain()
    pool = gevent.get_hub().threadpool  # a pipe's recv() would block the hub
    while (asked := pool.apply(_receive, (pipe,))) is not None:
        name, *arguments = asked
        pipe.send(getattr(plain, name)(*arguments))


def _receive(pipe: Connection[Any, Any]) -> tuple[Any, ...] | None:
    """Return the next request, or None at the end; blocks, so call it in a thread."""
    try:
        asked: tuple[Any, ...] = pipe.recv()
    except EOFError:
        return None
    return asked
