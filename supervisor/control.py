"""The control socket: who runs, with which pid, since when and why.

One request is one frame, ``hello`` or ``status``; the answer is one JSON object.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
import zmq

import mist
from bus.subscriber import unanswered
from mist import clock
from mist.errors import BusError
from mist.paths import Paths
from mist.process import for_this_user_alone
from supervisor.child import Child

#: A request is a word; who sends more is cut off.
_REQUEST_BYTES: Final = 256

Context = zmq.Context[zmq.Socket[bytes]]


class Row(msgspec.Struct, frozen=True):
    """One line of ``mist status``; ``since`` is RFC 3339, ``pid`` None without a process."""

    process: str
    pid: int | None
    state: str
    since: str
    restarts: int
    why: str


class Status(msgspec.Struct, frozen=True):
    """The whole answer to ``status``."""

    version: str
    pid: int
    state: str
    since: str
    processes: list[Row]


class Hello(msgspec.Struct, frozen=True):
    """The answer to ``hello``."""

    version: str
    pid: int


class ControlProblem(msgspec.Struct, frozen=True):
    """The answer to anything else."""

    error: str


class Control:
    """The supervisor's end."""

    def __init__(self, context: Context, paths: Paths, status: Callable[[], Status]) -> None:
        self._status = status
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.maxmsgsize = _REQUEST_BYTES
        endpoint = paths.endpoint("control")
        try:
            with for_this_user_alone():
                self.socket.bind(endpoint)
            Path(endpoint.removeprefix("ipc://")).chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            raise BusError(f"cannot listen on {endpoint}: {error}") from None

    def answer(self) -> None:
        """Answer what has arrived; an answer that its asker does not take is dropped."""
        while self.socket.poll(0, zmq.POLLIN):
            *envelope, request = self.socket.recv_multipart()
            self.socket.send_multipart([*envelope, msgspec.json.encode(self._reply(request))])

    def _reply(self, request: bytes) -> Status | Hello | ControlProblem:
        if request == b"status":
            return self._status()
        if request == b"hello":
            return Hello(mist.__version__, os.getpid())
        return ControlProblem("the supervisor knows hello and status")


def rows(children: Iterable[Child], now: float) -> list[Row]:
    """The table's children, ``now`` being the time of the children's clock."""
    return [
        Row(
            child.spec.name,
            child.pid,
            str(child.state),
            clock.rfc3339(time.time_ns() - int((now - child.since) * 1e9)),
            child.restarts,
            child.why,
        )
        for child in children
    ]


def ask_status(context: Context, paths: Paths, timeout: float = 3.0) -> Status:
    """The status of the supervisor of ``paths``; BusError if none answers in ``timeout`` s."""
    endpoint = paths.endpoint("control")
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.sndtimeo = socket.rcvtimeo = int(timeout * 1000)
        socket.connect(endpoint)
        try:
            socket.send(b"status")
            return msgspec.json.decode(socket.recv(), type=Status)
        except (zmq.Again, msgspec.DecodeError):
            text = (
                f"no supervisor answers on {endpoint}; start it with `mist up`, "
                "or set MIST_RUNTIME to where it runs"
            )
            raise unanswered(paths, "control", text) from None
