"""The control socket, which reports the processes with their pid, state, age and cause.

A request is one frame, ``hello`` or ``status``.  The answer is one JSON object.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

import msgspec
import zmq

import mist
from bus.subscriber import unanswered
from mist import clock
from mist.errors import BusError
from mist.health import Health
from mist.paths import Paths
from mist.process import for_this_user_alone
from mist.status import ServiceStatus, StatusRow
from supervisor.child import Child
from supervisor.states import State
from supervisor.watch import MISSED_SECONDS, Watch

# A request is one word.  libzmq disconnects a peer that sends more (ZMQ_MAXMSGSIZE).
_REQUEST_BYTES: Final = 256

Context = zmq.Context[zmq.Socket[bytes]]


class Hello(msgspec.Struct, frozen=True):
    """The answer to ``hello``."""

    version: str
    pid: int


class ControlProblem(msgspec.Struct, frozen=True):
    """The answer to any other request."""

    error: str


class Control:
    """The supervisor's end of the control socket."""

    def __init__(self, context: Context, paths: Paths, status: Callable[[], ServiceStatus]) -> None:
        self._status = status
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.maxmsgsize = _REQUEST_BYTES
        endpoint = paths.endpoint("control")
        try:
            # libzmq creates the socket's file, so only the umask can restrict it from the start.
            with for_this_user_alone():
                self.socket.bind(endpoint)
            Path(endpoint.removeprefix("ipc://")).chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            raise BusError(f"cannot listen on {endpoint}: {error}") from None

    def answer(self) -> None:
        """Answer all requests that have arrived."""
        while int(self.socket.get(zmq.EVENTS)) & int(zmq.POLLIN):
            *envelope, request = self.socket.recv_multipart()
            # A ROUTER never blocks; it drops what the client does not take (zmq_socket(3)).
            self.socket.send_multipart([*envelope, msgspec.json.encode(self._reply(request))])

    def _reply(self, request: bytes) -> ServiceStatus | Hello | ControlProblem:
        if request == b"status":
            return self._status()
        if request == b"hello":
            return Hello(mist.__version__, os.getpid())
        return ControlProblem("unknown request; the supervisor answers hello and status")


def rows(children: Iterable[Child], now: float, watch: Watch) -> list[StatusRow]:
    """Return the rows for ``children``; ``now`` is the time of the children's clock."""
    return [_row(child, now, watch) for child in children]


def _row(child: Child, now: float, watch: Watch) -> StatusRow:
    silence = watch.silence(child)
    why = child.why
    if silence > MISSED_SECONDS:
        why = f"has not responded for {silence:.0f} s; {why}"
    return StatusRow(
        child.spec.name,
        child.pid,
        str(child.state),
        # Children count monotonic seconds; the age converts them to wall-clock time.
        clock.rfc3339(time.time_ns() - int((now - child.since) * 1e9)),
        child.restarts,
        why,
        round(silence, 3) if child.watched else None,
    )


def health_of(children: Collection[Child], now: float, watch: Watch) -> Health:
    """Return the report on the children for the web tier."""
    hung: dict[str, str] = {}
    troubles: dict[str, str] = {}
    for child in children:
        if (silence := watch.silence(child)) > MISSED_SECONDS:
            hung[child.spec.name] = f"has not responded for {silence:.0f} s"
        elif child.state is State.HUNG:
            hung[child.spec.name] = f"is {child.why}"
        elif child.state in {State.BACKOFF, State.FAILED, State.KILLING}:
            troubles[child.spec.name] = child.why
    return Health(now, hung, troubles, *_figures(children))


def _figures(children: Collection[Child]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return the number of children by kind and state, and of their restarts by kind."""
    processes: dict[str, dict[str, int]] = {}
    restarts: dict[str, int] = {}
    for child in children:
        kind = child.spec.kind or child.spec.name
        states = processes.setdefault(kind, {})
        states[str(child.state)] = states.get(str(child.state), 0) + 1
        restarts[kind] = restarts.get(kind, 0) + child.restarts
    return processes, restarts


def ask_status(context: Context, paths: Paths, timeout: float = 3.0) -> ServiceStatus:
    """Return the status of the supervisor of ``paths``.

    Raise BusError if no supervisor answers within ``timeout`` seconds.
    """
    endpoint = paths.endpoint("control")
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.sndtimeo = socket.rcvtimeo = int(timeout * 1000)
        socket.connect(endpoint)
        try:
            socket.send(b"status")
            return msgspec.json.decode(socket.recv(), type=ServiceStatus)
        except (zmq.Again, msgspec.DecodeError):
            text = (
                f"no supervisor answers on {endpoint}; start it with `mist up`, "
                "or set MIST_RUNTIME to the directory in which it runs"
            )
            raise unanswered(paths, "control", text) from None
