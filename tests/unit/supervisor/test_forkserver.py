"""Tests of the fork server in this process, with the test as its supervisor."""

from __future__ import annotations

import errno
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from mist import heartbeat, process
from mist.errors import Exit
from mist.heartbeat import Heartbeats
from supervisor import forkserver
from supervisor.forkserver import ANSWER, MAX_DESCRIPTORS, READY, Descriptor, Request, main

COMM = Path("/proc/self/comm")


class Supervisor:
    """The supervisor's ends of the channel, of the pipe and of the heartbeats."""

    def __init__(self, stack: ExitStack) -> None:
        self.channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(self.channel)
        self.channel.settimeout(20)
        self.alive, self.until = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, self.alive)
        stack.callback(os.close, self.until)
        self.beats = Heartbeats()
        stack.callback(self.beats.close)
        self.words = [self.beats.take() for _ in range(2)]

    def serve(self, supervise: Callable[[], None]) -> None:
        """Run the fork server in this thread, and ``supervise`` in another one, then hang up."""

        def supervise_and_hang_up() -> None:
            try:
                assert self.channel.recv(64) == READY
                supervise()
            finally:
                self.channel.close()

        with ThreadPoolExecutor(1) as pool:
            supervising = pool.submit(supervise_and_hang_up)
            words = os.dup(self.beats.descriptor)
            try:
                main(self._theirs.detach(), self.alive, words, self.words[0])
            finally:
                os.close(words)
            supervising.result(20)

    def start(self, function: object, *arguments: object, passed: tuple[int, ...] = ()) -> int:
        """Request a worker; return its pid, or a negative errno."""
        call = pickle.dumps((function, arguments))
        request = pickle.dumps(tuple(Request(7, self.words[1], call)))
        socket.send_fds(self.channel, [request], list(passed))
        number, result = ANSWER.unpack(self.channel.recv(64))
        assert number == 7
        return int(result)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor, which is the parent of all workers; the process is restored at the end."""
    for name, value in vars(heartbeat._Own).items():
        if not name.startswith("_"):
            monkeypatch.setattr(heartbeat._Own, name, value)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    comm = COMM.read_text().strip()
    process.adopt_orphans()
    with ExitStack() as stack:
        yield Supervisor(stack)
    process.adopt_orphans(False)
    COMM.write_text(comm)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def exit_code(pid: int) -> int:
    """Wait for the end of a worker; it is killed after 20 seconds."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], 20)[0]:
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(descriptor)


def test_a_worker_is_a_child_of_the_supervisor(supervisor: Supervisor) -> None:
    """The supervisor sees how its worker ends, and has the descriptor that it was given."""

    def supervise() -> None:
        reading, writing = os.pipe()
        pid = supervisor.start(write, Descriptor(0), passed=(writing,))
        os.close(writing)
        assert exit_code(pid) == 0
        assert os.read(reading, 64) == b"from %d" % pid
        assert select.select([reading], [], [], 20)[0], "the fork server has closed its copy"
        assert os.read(reading, 64) == b""
        os.close(reading)

    supervisor.serve(supervise)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert COMM.read_text().strip() == "mist fork serve"


def write(descriptor: Descriptor) -> None:
    """Write the pid to a descriptor that was sent along."""
    os.write(descriptor.detach(), b"from %d" % os.getpid())


def test_the_worker_and_the_server_beat(supervisor: Supervisor) -> None:
    """Each has a word of its own."""
    begun = [supervisor.beats.last(word) for word in supervisor.words]

    def supervise() -> None:
        assert exit_code(supervisor.start(heartbeat.beat)) == 0

    supervisor.serve(supervise)
    ended = [supervisor.beats.last(word) for word in supervisor.words]
    assert all(after > before for before, after in zip(begun, ended, strict=True))


def test_a_worker_ends_with_the_supervisor(supervisor: Supervisor) -> None:
    """A worker ends once the pipe that only the supervisor holds open has ended."""
    reading, writing = os.pipe()
    supervisor.alive = reading

    def supervise() -> None:
        pid = supervisor.start(wait_without, writing)
        os.close(writing)
        assert exit_code(pid) == Exit.TEMPORARY

    try:
        supervisor.serve(supervise)
    finally:
        os.close(reading)


def wait_without(descriptor: int) -> None:
    """Close the copy of the supervisor's end, and wait for the end of the process."""
    os.close(descriptor)
    threading.Event().wait(20)


def test_too_many_descriptors_are_refused(supervisor: Supervisor) -> None:
    """A request of which the kernel drops a part is refused, and the next one is served."""

    def supervise() -> None:
        with open(os.devnull) as file:
            passed = (file.fileno(),) * (MAX_DESCRIPTORS + 1)
            assert supervisor.start(os.getpid, passed=passed) == -errno.EMFILE
        assert exit_code(supervisor.start(os.getpid)) == 0

    supervisor.serve(supervise)


def test_a_fork_that_fails_is_answered(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has the error number."""

    def refuse() -> int:
        raise OSError(errno.ENOMEM, "no memory")

    def supervise() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", refuse)
            assert supervisor.start(os.getpid) == -errno.ENOMEM
        assert exit_code(supervisor.start(os.getpid)) == 0

    supervisor.serve(supervise)


def test_a_second_fork_that_fails_is_answered(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process between has no worker, and the answer has the error number."""
    real, parent = os.fork, os.getpid()

    def refuse_below() -> int:
        if os.getpid() != parent:
            raise OSError(errno.EAGAIN, "too many processes")
        return real()

    def supervise() -> None:
        monkeypatch.setattr(os, "fork", refuse_below)
        assert supervisor.start(os.getpid) == -errno.EAGAIN

    supervisor.serve(supervise)


class Ended(BaseException):
    """The end of the process."""


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ((os.getpid, ()), 0),
        ((sys.exit, ()), 0),
        ((sys.exit, (5,)), 5),
        ((sys.exit, ("a text",)), 1),
        ((int, ("no number",)), 1),
    ],
)
def test_the_status_of_a_worker(
    monkeypatch: pytest.MonkeyPatch, call: tuple[object, tuple[object, ...]], status: int
) -> None:
    """A function that returns has succeeded, and SystemExit has its own status."""
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        raise Ended

    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(process, "end_with", ends.append)
    monkeypatch.setattr(forkserver, "_received", [])
    one, other = socket.socketpair()
    with one, other, pytest.raises(Ended):
        forkserver._work(Request(1, 0, pickle.dumps(call)), [8, 9], one, 42)
    assert (statuses, ends) == ([status], [42])
    assert one.fileno() == -1, "the fork server's channel is closed"
    assert [Descriptor(place).detach() for place in range(2)] == [8, 9]
