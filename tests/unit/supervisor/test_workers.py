"""Tests of the fork server and its workers, with real processes."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import psutil
import pytest

from mist import process
from mist.heartbeat import Heartbeats, beat
from supervisor import adoption
from supervisor.workers import ForkServer, Runner, Watched, Worker
from tests.support.wait import wait_until


@pytest.fixture
def beats() -> Iterator[Heartbeats]:
    """The words of all workers."""
    made = Heartbeats()
    yield made
    made.close()


@pytest.fixture
def forks(beats: Heartbeats) -> Iterator[ForkServer]:
    """A fork server that is not started yet; it ends with the test."""
    process.adopt_orphans()
    made = ForkServer(beats)
    yield made
    made.close()
    process.adopt_orphans(False)


@pytest.fixture
def server(forks: ForkServer) -> Iterator[Watched]:
    """The process of the fork server."""
    started = forks.start_server()
    yield started
    started.send_signal(signal.SIGKILL)
    ended(started)
    started.close()


def ended(one: Watched) -> int | None:
    """Wait for the end of a process and return its exit code."""
    poller = select.poll()
    poller.register(one.sentinel, select.POLLIN)
    assert poller.poll(60_000), "it does not end"
    return one.exit_code()


def killed(worker: Worker) -> None:
    """End a worker and check how it ended."""
    worker.send_signal(signal.SIGKILL)
    assert ended(worker) == -signal.SIGKILL
    worker.close()


def say_hello(pipe: Connection) -> None:
    """Send the worker's pid through a pipe that the supervisor has passed on."""
    pipe.send(os.getpid())


def beat_and_pause() -> None:
    """Beat once with an allowance, then do nothing."""
    beat(1000.0)
    signal.pause()


def start_programs() -> None:
    """Start a program, and one that leaves group, session and parent behind."""
    process.adopt_orphans()
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    subprocess.run(["sh", "-c", "setsid sleep 1001 & exit 0"], check=True)
    signal.pause()


@pytest.mark.usefixtures("server")
def test_worker_ends_and_says_how(forks: ForkServer) -> None:
    """A worker's descriptors are released when it is closed, and not before."""
    closed: list[str] = []
    worker = forks.start(os._exit, (7,), lambda: closed.append("one"))
    assert ended(worker) == 7
    assert closed == []
    worker.close()
    assert closed == ["one"]


@pytest.mark.usefixtures("server")
def test_worker_is_a_child_of_this_process_and_gets_descriptors(forks: ForkServer) -> None:
    """The kernel gives the worker to its subreaper; a pipe in the arguments works in it."""
    ours, theirs = Pipe()
    worker = forks.start(say_hello, (theirs,))
    theirs.close()
    assert ours.recv() == worker.pid
    assert ended(worker) == 0
    worker.close()


@pytest.mark.usefixtures("server")
def test_worker_reports_by_its_heartbeat(forks: ForkServer) -> None:
    """A worker starts with a beat, and may announce that the next one comes later."""
    began = time.monotonic()
    worker = forks.start(beat_and_pause, ())
    wait_until(lambda: worker.last_beat() > began + 900, "the announcement")
    killed(worker)


def test_killed_fork_server_takes_no_worker_along(forks: ForkServer, server: Watched) -> None:
    """Workers outlive the fork server, and their exit codes are not lost with it."""
    worker = forks.start(signal.pause, ())
    server.send_signal(signal.SIGKILL)
    assert ended(server) == -signal.SIGKILL
    with pytest.raises(OSError, match="the fork server"):
        forks.start(os._exit, (0,))
    other = forks.start_server()
    another = forks.start(os._exit, (3,))
    assert ended(another) == 3
    another.close()
    killed(worker)
    other.send_signal(signal.SIGKILL)
    ended(other)
    other.close()


def test_stopped_fork_server_delays_nothing_for_long(forks: ForkServer, server: Watched) -> None:
    """A request to a stopped fork server fails; the worker that it starts later is not kept."""
    killed(forks.start(signal.pause, ()))  # it has loaded its modules
    before = set(adoption.children(os.getpid()))
    server.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(OSError, match="does not respond") as failed:
        forks.start(signal.pause, ())
    assert failed.value.errno == errno.EAGAIN
    with pytest.raises(OSError, match="does not respond"):
        forks.start(signal.pause, ())  # not asked again
    assert time.monotonic() - began < 2.5
    stood = server.last_beat()
    server.send_signal(signal.SIGCONT)
    wait_until(lambda: server.last_beat() != stood, "its loop to turn")
    worker = forks.start(signal.pause, ())
    (late,) = set(adoption.children(os.getpid())) - before - {worker.pid}
    assert os.waitstatus_to_exitcode(os.waitpid(late, 0)[1]) == -signal.SIGKILL
    killed(worker)


def test_workers_end_with_this_process(forks: ForkServer, server: Watched) -> None:
    """Closing the pipe that only this process holds open ends workers and fork server."""
    worker = forks.start(signal.pause, ())
    os.close(forks._until)
    assert ended(worker) is not None
    forks._until = os.dup(forks._alive)
    forks._disconnect()
    assert ended(server) == 0
    worker.close()


@pytest.mark.usefixtures("server")
def test_without_descriptors_a_worker_is_refused_and_none_is_left(forks: ForkServer) -> None:
    """At the limit of open files, a start fails with the reason, and the next one works."""
    killed(forks.start(signal.pause, ()))
    before = set(adoption.children(os.getpid()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            forks.start(signal.pause, ())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(adoption.children(os.getpid())) == before
    killed(forks.start(signal.pause, ()))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("stopped", [True, False])
def test_killed_runner_takes_everything_along(forks: ForkServer, stopped: bool) -> None:
    """Programs of a runner end with it, even those that have left their group and parent."""
    runner = forks.start(start_programs, (), kind=Runner)

    def both() -> list[psutil.Process]:
        below = psutil.Process(runner.pid).children(recursive=True)
        asleep = [each for each in below if each.name() == "sleep"]
        return asleep if len(asleep) == 2 else []

    programs = wait_until(both, "its programs")
    assert programs
    if stopped:
        runner.send_signal(signal.SIGSTOP)
    killed(runner)
    for program in programs:  # adopted by this process, and killed before the runner
        assert os.waitstatus_to_exitcode(os.waitpid(program.pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.usefixtures("server")
def test_crashed_runner_leaves_orphans_that_are_swept(forks: ForkServer) -> None:
    """What a runner that died by itself has started is adopted, killed and reaped."""
    strays = adoption.Strays()
    runner = forks.start(start_programs, (), kind=Runner)
    wait_until(
        lambda: len([1 for p in adoption.descendants(runner.pid) if "sleep" in _name(p)]) == 2,
        "its programs",
    )
    programs = adoption.descendants(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    assert ended(runner) == -signal.SIGKILL

    def swept() -> bool:
        strays.sweep({runner.pid})
        return not any(psutil.pid_exists(pid) for pid in programs)

    wait_until(swept, "the end of its programs")
    runner.close()


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return ""


def test_fork_server_is_started_as_a_program_of_its_own(server: Watched) -> None:
    """Its command names it, so that an operator finds it in ``ps``."""
    command = psutil.Process(server.pid).cmdline()
    assert command[0] == sys.executable
    assert "supervisor.forkserver" in command[2]
