"""The group of local taps: it connects to the bus, and reads neither the secret nor the store."""

from __future__ import annotations

import multiprocessing
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import zmq

from bus.broker.main import main as broker_main
from bus.subscriber import ask_replay
from mist.errors import BusError
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from supervisor import directories
from tests.support.service.programs import kill

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

# Users and groups without names, as the units' would be.
SERVICE, SHARED, WEB, TAPS, ADMIRER = 54_001, 54_002, 54_003, 54_004, 54_005

# fork, because these users may not read the checkout.
FORK = multiprocessing.get_context("fork")


def as_user(user: int, group: int, more: list[int], act: Callable[[], object]) -> object:
    """Return what ``act`` returns in a process of another user, or its exception."""
    mine, theirs = FORK.Pipe()

    def run() -> None:
        become(user, group, more)
        try:
            theirs.send(act())
        except Exception as error:
            theirs.send(error)

    child = FORK.Process(target=run)
    child.start()
    try:
        assert mine.poll(20), "no answer"
        return mine.recv()
    finally:
        kill(child)


def become(user: int, group: int, more: list[int]) -> None:
    """Become another user for good."""
    os.setgroups(more)
    os.setgid(group)
    os.setuid(user)
    os.umask(0o077)


@pytest.fixture
def paths() -> Iterator[Paths]:
    """The directories of an installed service, as systemd-tmpfiles makes them, and a broker."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mist-", dir="/tmp")))
        root.chmod(0o755)
        paths = Paths(root / "home", root / "run")
        for directory, group, mode in (
            (paths.home, SHARED, 0o750),
            (paths.home / "store", SHARED, 0o2770),
            (paths.runtime, TAPS, 0o2750),
        ):
            directory.mkdir()
            os.chown(directory, SERVICE, group)
            directory.chmod(mode)
        for file in (paths.secret, paths.database):
            file.write_text("secret")
            os.chown(file, SERVICE, SHARED)
            file.chmod(0o640)
        mine, theirs = FORK.Pipe()
        broker = FORK.Process(target=_serve, args=(paths, theirs))
        broker.start()
        stack.callback(kill, broker)
        assert mine.poll(20), "the broker does not start"
        yield paths


def _serve(paths: Paths, pipe: Connection) -> None:
    become(SERVICE, SHARED, [])
    directories.prepare(paths)
    broker_main(Assignment("broker", 0, time.time_ns(), False), Settings(), paths, pipe)


def ask(paths: Paths) -> bool:
    """Return True if the broker answers this user."""
    with zmq.Context() as context:
        try:
            ask_replay(context, paths, b"metrics/system", timeout=1.0)
        except BusError:
            return False
        return True


def readable(paths: Paths) -> list[str]:
    """Return the names of the files and sockets that this user may use."""
    every = [paths.secret, paths.database, paths.runtime / "ingest"]
    every += [paths.runtime / "events", paths.runtime / "replay"]
    return [each.name for each in every if os.access(each, os.R_OK | os.W_OK)]


def test_the_group_of_taps(paths: Paths) -> None:
    """A member uses ``events`` and ``replay``, and nothing else of the service."""
    assert as_user(ADMIRER, ADMIRER, [TAPS], lambda: ask(paths)) is True
    assert as_user(ADMIRER, ADMIRER, [TAPS], lambda: readable(paths)) == ["events", "replay"]
    assert isinstance(as_user(ADMIRER, ADMIRER, [TAPS], paths.secret.read_text), PermissionError)


def test_other_users(paths: Paths) -> None:
    """A user outside of the group does not reach the bus."""
    assert as_user(ADMIRER, ADMIRER, [], lambda: ask(paths)) is False
    assert as_user(ADMIRER, ADMIRER, [], lambda: readable(paths)) == []


def test_the_web_tier(paths: Paths) -> None:
    """The web tier's user reads the secret as before, and connects as a member of both groups."""
    assert as_user(WEB, SHARED, [SHARED, TAPS], lambda: ask(paths)) is True
    assert as_user(WEB, SHARED, [SHARED, TAPS], paths.secret.read_text) == "secret"


def test_a_start_keeps_the_groups_directory(paths: Paths) -> None:
    """The supervisor's user is not in the group, and must not clear the set-group-ID bit."""
    found = paths.runtime.stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (TAPS, 0o2750)
    assert (paths.runtime / "events").stat().st_gid == TAPS
