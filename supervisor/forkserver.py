"""The fork server: a small program that has loaded the workers' modules and forks workers.

A forked worker costs a few milliseconds and few private pages.  A fresh interpreter
costs a quarter of a second and 26 MB.

Workers are not children of the fork server.  It forks twice, and the kernel gives the
orphan to the supervisor, which is the subreaper of all of them (prctl(2)).  So the
supervisor sees by itself how each worker ends, and a fork server that dies or hangs
takes nothing with it.  ``supervisor/workers.py`` is the supervisor's end.
"""

from __future__ import annotations

import errno
import importlib
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from mist import heartbeat, process
from mist.descriptors import receive_descriptors

# The modules that the fork server loads once for all children.  The modules of deployments
# are left out: docker-py and SQLAlchemy would double the memory whose page tables each
# fork copies, and their load time hardly matters next to a build.
PRELOAD: Final = (
    "mist.process",
    "bus.broker.main",
    "workers.container.main",
    "workers.containers.main",
    "workers.metrics.main",
    "workers.reader.main",
)

REQUEST_BYTES: Final = 131_072
"""The largest request; a packet must fit into the socket's buffer (``net.core.wmem_default``)."""
MAX_DESCRIPTORS: Final = 8

ANSWER: Final = struct.Struct("=qq")
"""The number of the request, and the worker's pid or a negative errno."""
READY: Final = ANSWER.pack(0, 0)
"""The first packet: the modules are loaded."""

_PID: Final = struct.Struct("=q")


class Request(NamedTuple):
    """One worker to start."""

    number: int
    word: int
    """The number of its heartbeat."""
    call: bytes
    """The function and its arguments, pickled; only the worker unpickles them."""


class Descriptor(NamedTuple):
    """A descriptor in a pickled argument, sent along with the request."""

    place: int

    def detach(self) -> int:
        """Return the descriptor in the worker, which owns it."""
        return _received[self.place]


_received: list[int] = []


def main(requests: int, alive: int, words: int, word: int) -> None:
    """Serve until the supervisor closes its end of ``requests``.

    ``alive`` is a pipe that only the supervisor holds open; ``words`` is the memory of the
    heartbeats.
    """
    for descriptor in (requests, alive, words):
        os.set_inheritable(descriptor, False)  # the programs of a deployment do not need them
    # The terminal's ^C and hangup go to the whole process group; the supervisor handles them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.name("fork server")
    heartbeat.attach(words)
    heartbeat.use(word)
    for module in PRELOAD:
        # A broken module is reported by the worker that needs it.
        with suppress(ImportError, SyntaxError):
            importlib.import_module(module)
    with socket.socket(fileno=requests) as channel, mmap.mmap(-1, _PID.size) as note:
        channel.send(READY)
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        while True:
            heartbeat.beat()
            if not poller.poll(int(heartbeat.BEAT_SECONDS * 1000)):
                continue
            data, descriptors, truncated = receive_descriptors(
                channel, REQUEST_BYTES, MAX_DESCRIPTORS
            )
            if not data:
                return
            request = Request(*pickle.loads(data))  # noqa: S301 - from the supervisor
            if truncated:
                result = -errno.EMFILE
            else:
                result = _fork(request, descriptors, (channel, alive), note)
            for descriptor in descriptors:
                os.close(descriptor)
            channel.send(ANSWER.pack(request.number, result))


def _fork(
    request: Request, descriptors: list[int], ends: tuple[socket.socket, int], note: mmap.mmap
) -> int:
    """Start a worker; return its pid, or a negative errno."""
    note[:] = _PID.pack(-errno.ECHILD)
    try:
        between = os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)
    if between == 0:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or errno.EAGAIN)
        if pid == 0:
            _work(request, descriptors, *ends)
        note[:] = _PID.pack(pid)
        os._exit(0)
    # Once it has ended, the worker is a child of the supervisor, which may wait for it.
    os.waitpid(between, 0)
    (pid,) = _PID.unpack(note[:])
    return int(pid)


def _work(request: Request, descriptors: list[int], channel: socket.socket, alive: int) -> NoReturn:
    """Be the worker, and exit with its status."""
    status: object = 1
    try:
        channel.close()  # its end tells the supervisor that the fork server has ended
        heartbeat.use(request.word)
        process.end_with(alive)
        _received[:] = descriptors
        function, arguments = pickle.loads(request.call)  # noqa: S301 - from the supervisor
        function(*arguments)
        status = 0
    except SystemExit as leaving:
        status = 0 if leaving.code is None else leaving.code
    except BaseException:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit(), which would return into the fork server's loop.
    os._exit(status if isinstance(status, int) else 1)
