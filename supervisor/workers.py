"""The supervisor's end of the fork server, and the workers that it starts."""

from __future__ import annotations

import errno
import io
import itertools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import context, reduction
from typing import Final

from mist.descriptors import send_descriptors
from mist.heartbeat import Heartbeats
from supervisor import adoption
from supervisor.forkserver import ANSWER, MAX_DESCRIPTORS, Descriptor, Request
from supervisor.programs import Handle

# How long a request waits for its answer.  A fork takes milliseconds; the supervisor's
# loop stands still meanwhile, so a fork server that is stopped must not delay it for long.
_ANSWER_SECONDS: Final = 1.5

# How long the first request waits until a new fork server has loaded its modules.
_LOAD_SECONDS: Final = 5.0

# A fork server that has missed two beats is not asked.
_SILENT_SECONDS: Final = 2.5

_PROGRAM: Final = (
    "import sys; from supervisor.forkserver import main; main(*map(int, sys.argv[1:]))"
)


class Watched(Handle):
    """A process with a heartbeat, and a child of this one."""

    def __init__(self, pid: int, beats: Heartbeats, word: int, closed: Callable[[], None]) -> None:
        super().__init__(pid)
        self._beats, self._word, self._closed = beats, word, closed
        self._code: int | None = None

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the process has ended."""
        return self.descriptor

    def last_beat(self) -> float:
        """Return the time of the last heartbeat."""
        return self._beats.last(self._word)

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def close(self) -> None:
        """Release the descriptors of a process that has ended."""
        super().close()
        self._beats.release(self._word)
        self._closed()


class Server(Watched):
    """The process of the fork server."""

    def __init__(self, pid: int, beats: Heartbeats, word: int, closed: Callable[[], None]) -> None:
        super().__init__(pid, beats, word, closed)
        self._hang_up = closed

    def send_signal(self, number: int) -> None:
        """Send a signal; instead of SIGTERM, which the fork server blocks, hang up."""
        if number == signal.SIGTERM:
            self._hang_up()
        else:
            super().send_signal(number)


class Worker(Watched):
    """A worker that the fork server has forked."""


class Runner(Worker):
    """A worker that starts programs, which end with it."""

    def send_signal(self, number: int) -> None:
        """Send a signal; SIGKILL also goes to everything that the worker has started."""
        if number == signal.SIGKILL and self._code is None and self.descriptor >= 0:
            adoption.kill_descendants(self.pid)
        super().send_signal(number)


class ForkServer:
    """The fork server of this process; ``start_server`` starts it, also after its end."""

    def __init__(self, beats: Heartbeats) -> None:
        self._beats = beats
        # The write end stays open in this process alone: its end ends the workers.
        self._alive, self._until = os.pipe2(os.O_CLOEXEC)
        self._channel: socket.socket | None = None
        self._ready = False
        self._server: Server | None = None
        self._silent_at: float | None = None
        """The last beat of a fork server that left a request without an answer."""
        self._numbers = itertools.count(1)

    def start_server(self) -> Server:
        """Start the fork server, or raise OSError."""
        self._disconnect()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        word = self._beats.take()
        with theirs:
            try:
                passed = (theirs.fileno(), self._alive, self._beats.descriptor)
                command = [sys.executable, "-c", _PROGRAM, *map(str, (*passed, word))]
                with _held_back(signal.SIGTERM):
                    started = subprocess.Popen(  # noqa: S603 - our own program
                        command, pass_fds=passed, stdin=subprocess.DEVNULL
                    )
                server = Server(started.pid, self._beats, word, self._disconnect)
            except BaseException:
                ours.close()  # which also ends a program that has no handle
                self._beats.release(word)
                raise
        # This module waits for the process, and not subprocess at the next Popen.
        started.returncode = 0
        self._channel, self._ready, self._server = ours, False, server
        return server

    def start(
        self,
        target: Callable[..., None],
        arguments: tuple[object, ...],
        closed: Callable[[], None] = lambda: None,
        kind: type[Worker] = Worker,
    ) -> Worker:
        """Start one worker, or raise OSError.

        Call ``closed`` when the worker has ended and its descriptors are released.
        """
        channel = self._connected()
        word = self._beats.take()
        try:
            call, descriptors = _pickled((target, arguments))
            request = Request(next(self._numbers), word, call)
            self._send(channel, pickle.dumps(tuple(request)), descriptors)
            pid = self._answer(channel, request.number)
            return _handle(kind, pid, self._beats, word, closed)
        except BaseException:
            self._beats.release(word)
            raise

    def close(self) -> None:
        """Let the fork server and all remaining workers end."""
        self._disconnect()
        os.close(self._until)
        os.close(self._alive)

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = self._server = None

    def _connected(self) -> socket.socket:
        """Return the channel to a fork server that has loaded its modules."""
        if self._channel is None:
            raise OSError(errno.EAGAIN, "the fork server is not running")
        if not self._ready:
            self._receive(self._channel, _LOAD_SECONDS)
            self._ready = True
        # Known to be silent, so that the supervisor's loop need not wait for an answer again.
        elif self._server is not None:
            beat = self._server.last_beat()
            if beat == self._silent_at or time.monotonic() - beat > _SILENT_SECONDS:
                raise _silent()
        return self._channel

    def _send(self, channel: socket.socket, data: bytes, descriptors: list[int]) -> None:
        try:
            send_descriptors(channel, data, descriptors)
        except (BrokenPipeError, ConnectionResetError):
            self._disconnect()
            raise _ended() from None
        except BlockingIOError:
            raise _silent() from None

    def _answer(self, channel: socket.socket, wanted: int) -> int:
        """Return the pid of the worker that was requested."""
        while True:
            number, result = self._receive(channel, _ANSWER_SECONDS)
            if number == wanted:
                break
            # Requested before, by a caller that has given up.
            if result > 0:
                os.kill(result, signal.SIGKILL)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def _receive(self, channel: socket.socket, seconds: float) -> tuple[int, int]:
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        if not poller.poll(int(seconds * 1000)):
            self._silent_at = None if self._server is None else self._server.last_beat()
            raise _silent()
        packet = b""
        with suppress(ConnectionResetError):  # it has ended with a request unread
            packet = channel.recv(ANSWER.size)
        if not packet:
            self._disconnect()
            raise _ended()
        number, result = ANSWER.unpack(packet)
        return number, result


def _ended() -> OSError:
    return OSError(errno.EAGAIN, "the fork server has ended and is restarted")


def _silent() -> OSError:
    return OSError(errno.EAGAIN, "the fork server does not respond")


def _handle(
    kind: type[Worker], pid: int, beats: Heartbeats, word: int, closed: Callable[[], None]
) -> Worker:
    """Return the handle of a new worker; without a descriptor for it, end it."""
    try:
        return kind(pid, beats, word, closed)
    except OSError:
        # The pid is valid, because this process has not waited for its child.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _pickled(call: object) -> tuple[bytes, list[int]]:
    """Return the call as bytes, and the descriptors that its arguments contain."""
    descriptors: list[int] = []

    class Collecting:
        """Stands for the process being started, as multiprocessing's reducers expect it."""

        @staticmethod
        def duplicate_for_child(descriptor: int) -> int:
            descriptors.append(descriptor)
            return len(descriptors) - 1

        DupFd = Descriptor

    buffer = io.BytesIO()
    context.set_spawning_popen(Collecting)  # type: ignore[arg-type] # all that reducers use
    try:
        reduction.dump(call, buffer)
    finally:
        context.set_spawning_popen(None)
    assert len(descriptors) <= MAX_DESCRIPTORS
    return buffer.getvalue(), descriptors


@contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Block a signal for the processes started in this context, which inherit the mask."""
    # A SIGTERM to the whole process group or control group must not end the fork server,
    # nor a worker before it has its handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
