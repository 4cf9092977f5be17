"""Tests of workers from the fork server, with real processes."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from supervisor.forkserver import ForkServer, Worker
from tests.support.wait import wait_until


@pytest.fixture
def fork_server() -> Iterator[ForkServer]:
    """A fork server that ends with the test."""
    made = ForkServer()
    yield made
    made.close()


def ended(worker: Worker) -> int | None:
    """Wait for a worker's end and return its exit code."""
    poller = select.poll()
    poller.register(worker.sentinel, select.POLLIN)
    assert poller.poll(60_000), "it does not end"
    return worker.exit_code()


def test_worker_ends_and_says_how(fork_server: ForkServer) -> None:
    """A worker's descriptors are released when it is closed, and not before."""
    closed: list[str] = []
    worker = fork_server.start("one", os._exit, (7,), lambda: closed.append("one"))
    assert ended(worker) == 7
    assert closed == []
    worker.close()
    assert closed == ["one"]


def test_worker_whose_fork_server_was_killed_is_killed(fork_server: ForkServer) -> None:
    """Killing the fork server kills its workers; the next worker gets a new fork server."""
    worker = fork_server.start("one", signal.pause, ())
    with open(f"/proc/{worker.pid}/stat") as file:
        parent = int(file.read().rsplit(")", 1)[1].split()[1])
    os.kill(parent, signal.SIGKILL)
    assert ended(worker) == -signal.SIGKILL
    worker.close()
    again = wait_until(partial(_started, fork_server), "a new fork server")
    assert again is not None
    assert ended(again) == 0
    again.close()


def _started(fork_server: ForkServer) -> Worker | None:
    """Return a worker, or None while the kernel has not yet reported the server's end."""
    try:
        return fork_server.start("two", os._exit, (0,))
    except (OSError, EOFError):
        return None
