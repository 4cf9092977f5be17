"""A minimal WSGI application that uses the worker's whole WebSocket interface."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import gevent

from api.live.ring import Parts
from api.websocket.connection import Connection
from api.websocket.frames import text_frame

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class Numbers:
    """A source of ``count`` numbered text frames of about ``size`` bytes; 0 means endless."""

    def __init__(self, count: int, size: int) -> None:
        self.next = 0
        self.count = count
        self.fill = "x" * size

    def take(self) -> list[bytes]:
        """Return the next frames."""
        last = min(self.next + 32, self.count) if self.count else self.next + 32
        numbers = range(self.next, last)
        self.next = last
        return [text_frame(f"{number} {self.fill}".encode()) for number in numbers]


class Echo:
    """A source of the client's messages; each is sent back before the next one is read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frames: list[bytes] = []
        connection.source = self
        connection.on_message = self._answer

    def take(self) -> list[bytes]:
        """Return the messages that were not sent back yet."""
        frames, self._frames = self._frames, []
        return frames

    def _answer(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._frames.append(text_frame(message.encode()))
        else:
            # An echo differs only in the opcode, which is in the first byte.
            self._frames.append(b"\x82" + text_frame(message)[1:])
        self._connection.flush()


class Failing:
    """A source with a defect."""

    def take(self) -> list[bytes]:
        """Raise an error."""
        raise ValueError("a bug in a source")


def answer(start_response: StartResponse, status: str, message: str) -> list[bytes]:
    """Answer with Mist's envelope."""
    body = json.dumps({"success": False, "message": message, "data": None}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Treat everything under ``/ws/`` as a WebSocket, and the rest as plain HTTP."""
    path = environ["PATH_INFO"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if not path.startswith("/ws/"):
        return http(path, query, environ, start_response)
    if path == "/ws/forbidden":
        return answer(start_response, "401 Unauthorized", "log in first")
    problem = environ["mist.websocket_problem"]
    if problem is not None:
        return answer(start_response, *problem)
    websocket(path, query, environ["mist.accept"]())
    start_response("200 OK", [])
    return [b"this must never be on the wire"]


def http(
    path: str, query: dict[str, str], environ: WSGIEnvironment, start_response: StartResponse
) -> list[bytes]:
    """Answer a request, by default with the worker's process id."""
    if path == "/slow":
        write = start_response("200 OK", [("Content-Length", "10")])
        write(b"begun ")
        gevent.sleep(float(query["seconds"]))
        return [b"done"]
    if path == "/body":
        return answer(start_response, "200 OK", str(len(environ["wsgi.input"].read())))
    if path == "/large":
        return answer(start_response, "200 OK", "x" * 8_000_000)
    if path == "/memory":
        return answer(start_response, "200 OK", memory())
    return answer(start_response, "200 OK", str(os.getpid()))


def memory() -> str:
    """Return the worker's share of memory in KiB."""
    with open("/proc/self/smaps_rollup") as file:
        fields = dict(line.split(":") for line in file.read().splitlines()[1:])
    return fields["Pss"].split()[0]


def websocket(path: str, query: dict[str, str], connection: Connection) -> None:
    """Serve an open connection; ``/ws/idle`` gets no frames."""
    count, size = int(query.get("count", 0)), int(query.get("size", 10))
    if path == "/ws/numbers":
        connection.source = Numbers(count, size)
        connection.flush()
        if count:
            connection.finish(int(query.get("code", 1000)), query.get("reason", ""))
    elif path == "/ws/close":
        connection.close(int(query["code"]), query.get("reason", ""))
    elif path == "/ws/echo":
        Echo(connection)
    elif path == "/ws/pid":
        connection.source = Parts(text_frame(str(os.getpid()).encode()))
        connection.flush()
    elif path == "/ws/failing-source":
        connection.source = Failing()
        connection.flush()
    elif path == "/ws/failing":
        raise ValueError("a bug after the handshake")
