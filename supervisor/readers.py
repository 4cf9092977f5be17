"""Start a reader for each request of the web tier for older lines, within bounds.

A request names an application of the store, or a container, and a range of its log, or
asks for a description of the application's container.  It comes as one datagram with one
end of a pair of stream sockets (``mist/read_request.py``), so the supervisor never waits
for the web tier.  The only other request of the web tier is for the table of processes
(``mist/status.py``).
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from mist.descriptors import receive_descriptors, send_descriptors
from mist.errors import BusError, StoreError
from mist.process import for_this_user_alone
from mist.read_request import ReadRequest, refusal
from mist.settings import Settings
from mist.status import STATUS_REQUEST, ServiceStatus
from supervisor import specs
from supervisor.child import Child
from supervisor.states import State
from supervisor.supervisor import Supervisor

log = structlog.get_logger(__name__)

# Larger than any request; a longer datagram is truncated, and then refused as invalid.
_REQUEST_BYTES: Final = 65_536

# The requests to handle before the loop does its other work.
_ROUND: Final = 16

# The time beyond ``reader.seconds`` after which a reader that does not end is stopped.
_MARGIN_SECONDS: Final = 5.0


class Readers:
    """The socket for requests, and the readers that answer them."""

    def __init__(
        self,
        settings: Settings,
        path: Path,
        containers: Callable[[Collection[int]], dict[int, str]],
        status: Callable[[], ServiceStatus],
    ) -> None:
        self.assigned: tuple[ReadRequest, socket.socket] | tuple[()] = ()
        """The request and the connection of the reader that is being started."""
        self._settings = settings
        self._path = path
        self._containers = containers
        self._status = status
        self._numbers = itertools.count(1)
        self._users: dict[int, str] = {}  # by the number of the reader
        self._socket = _bound(path)

    def fileno(self) -> int:
        """Return a descriptor that is readable when a request has arrived."""
        return self._socket.fileno()

    def take(self, supervisor: Supervisor) -> None:
        """Answer each request that has arrived, or start a reader for it."""
        for data, connection in itertools.islice(self._arrived(), _ROUND):
            with connection:
                if data == STATUS_REQUEST:
                    _send_status(self._status(), connection)
                    continue
                answer = self._handle(data, connection, supervisor)
                if answer:
                    # An empty socket has room for it; any other is not a request's.
                    with suppress(OSError):
                        connection.send(answer, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def tick(self, supervisor: Supervisor) -> None:
        """Stop readers whose time is over."""
        now = time.monotonic()
        for child in _running(supervisor):
            if now >= self._over(child):
                supervisor.dismiss(child, "time is over")

    def due(self, supervisor: Supervisor) -> float | None:
        """Return the time at which ``tick`` has to be called next; None for never."""
        return min((self._over(child) for child in _running(supervisor)), default=None)

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _arrived(self) -> Iterator[tuple[bytes, socket.socket]]:
        with suppress(BlockingIOError):
            while True:
                data, descriptors, _ = receive_descriptors(self._socket, _REQUEST_BYTES, 1)
                for connection in map(_stream_socket, descriptors):
                    if connection is not None:
                        yield data, connection

    def _handle(self, data: bytes, connection: socket.socket, supervisor: Supervisor) -> bytes:
        """Start a reader; if there is none, return the refusal."""
        try:
            request = self._checked(msgspec.json.decode(data, type=ReadRequest))
        except (msgspec.MsgspecError, StoreError) as error:
            log.warning("read_request_refused", reason=str(error))
            return refusal(500, "The supervisor does not accept the request; see its log")
        if request.container is None:
            return refusal(404, "Application not found")
        if supervisor.stopping:
            return refusal(503, "The service is stopping")
        problem = self._bound_reached(request.user, supervisor)
        if problem:
            return refusal(429, problem, self._settings.reader.retry_seconds)
        return self._start(request, connection, supervisor)

    def _checked(self, request: ReadRequest) -> ReadRequest:
        """Return the request with the container's name, if the application exists."""
        if (request.app_id is None) == (request.container is None):
            raise msgspec.ValidationError("exactly one of app_id and container is needed")
        if len(request.q.encode(errors="replace")) > self._settings.reader.query_bytes:
            raise msgspec.ValidationError("q is too long")
        if request.app_id is None:
            return request
        container = self._containers([request.app_id]).get(request.app_id)
        return msgspec.structs.replace(request, container=container)

    def _bound_reached(self, user: str, supervisor: Supervisor) -> str:
        limits = self._settings.reader
        running = Counter(
            self._users.get(child.spec.target)
            for child in supervisor.children.values()
            if child.spec.kind == "reader" and child.active
        )
        if running[user] >= limits.max_per_user:
            return (
                f"You are already reading {running[user]} logs (reader.max_per_user); "
                "end one of them or wait"
            )
        if running.total() >= limits.max_running:
            return f"{running.total()} logs are being read already (reader.max_running); wait"
        return ""

    def _start(
        self, request: ReadRequest, connection: socket.socket, supervisor: Supervisor
    ) -> bytes:
        number = next(self._numbers)
        self._users = {
            child.spec.target: self._users[child.spec.target] for child in _running(supervisor)
        } | {number: request.user}
        self.assigned = (request, connection)
        try:
            child = supervisor.add(
                specs.reader(self._settings, number), f"reads {request.container}"
            )
        finally:
            self.assigned = ()
        if child.active:
            return b""
        why = child.why
        supervisor.dismiss(child, why)
        return refusal(503, f"The log cannot be read: the reader {why}")

    def _over(self, child: Child) -> float:
        return child.since + self._settings.reader.seconds + _MARGIN_SECONDS


def _running(supervisor: Supervisor) -> list[Child]:
    return [
        child
        for child in supervisor.children.values()
        if child.spec.kind == "reader" and child.state is State.RUNNING
    ]


def _send_status(status: ServiceStatus, connection: socket.socket) -> None:
    """Send the table in memory of its own, which has room for it whatever its length."""
    # No memory or no descriptors: the web tier sees the connection end without an answer.
    with suppress(OSError), open(os.memfd_create("status"), "wb") as memory:
        memory.write(msgspec.json.encode(status))
        memory.flush()
        send_descriptors(connection, b"\n", [memory.fileno()])


def _stream_socket(descriptor: int) -> socket.socket | None:
    """Return the socket, or close a descriptor that is not a connected Unix stream socket."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    if (found.family, found.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
        return found
    found.close()
    return None


def _bound(path: Path) -> socket.socket:
    """Return the socket.  Only this user and the group of the web tier can write to it."""
    listener = socket.socket(
        socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    )
    try:
        path.unlink(missing_ok=True)
        with for_this_user_alone():
            listener.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise BusError(f"cannot listen on {path}: {error.strerror}") from None
    return listener
