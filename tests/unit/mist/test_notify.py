"""Tests of what systemd is told, with a real datagram socket."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.notify import Notifier


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A socket like a service manager's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5.0)
        yield receiver


def test_messages_on_a_socket_with_a_path(manager: socket.socket, tmp_path: Path) -> None:
    """Each message arrives as a datagram of its own."""
    manager.bind(str(tmp_path / "n"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "60000000"}
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("3 of 3 processes run")
    notifier.watchdog()
    notifier.watchdog()  # not due again for half a minute
    notifier.stopping()
    words = [manager.recv(100) for _ in range(4)]
    assert words == [b"READY=1", b"STATUS=3 of 3 processes run", b"WATCHDOG=1", b"STOPPING=1"]


def test_giving_up_is_one_message(manager: socket.socket, tmp_path: Path) -> None:
    """Giving up sends one bounded line; the sender learns whether it was delivered."""
    assert not Notifier({}).giving_up("a bug")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")}).giving_up("a bug")
    manager.bind(str(tmp_path / "n"))
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")}).giving_up("a\nbug " + "x" * 10_000)
    message = manager.recv(100_000)
    assert message.startswith(b"STOPPING=1\nSTATUS=a bug xxx")
    assert len(message) < 5_000


def test_abstract_socket(manager: socket.socket) -> None:
    """An @ stands for the abstract namespace."""
    name = f"mist-{uuid.uuid4()}"
    manager.bind(f"\0{name}")
    Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.recv(100) == b"READY=1"


def test_same_status_is_told_once(manager: socket.socket, tmp_path: Path) -> None:
    """A repeated status is sent once."""
    manager.bind(str(tmp_path / "n"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
    for text in ("one", "one", "two"):
        notifier.status(text)
    assert [manager.recv(100), manager.recv(100)] == [b"STATUS=one", b"STATUS=two"]


@pytest.mark.parametrize("name", ["", "/nonexistent/socket", "no-path"])
def test_no_manager_is_no_error(name: str) -> None:
    """A missing service manager is not an error."""
    Notifier({"NOTIFY_SOCKET": name}).ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_at_half_of_the_time(environ: dict[str, str], seconds: float | None) -> None:
    """The watchdog is fed at half its time (sd_watchdog_enabled(3)) if it is for this process."""
    assert Notifier(environ).watchdog_seconds == seconds
