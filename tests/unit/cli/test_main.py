"""Tests of the ``mist`` command: the table of subcommands, the help, and errors."""

from __future__ import annotations

import errno
import importlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import click
import pytest

from cli import terminal
from cli.main import COMMANDS, LazyGroup, main
from mist.errors import BusError, Exit, StoreError
from tests.support.service.programs import run

_HELP = """
import sys
from cli.main import main
try:
    main(["--help"])
finally:
    print([name for name in sys.modules if name.startswith("cli.") and name != "cli.main"])
"""

_STREAMS = """
import subprocess
import sys
from cli.main import main
try:
    main(["--version"])
finally:
    assert [each.fileno() for each in (sys.stdin, sys.stdout, sys.stderr)] == [0, 1, 2]
    subprocess.run(["sh", "-c", "exec 3<&0 4>&1 5>&2"], check=True)
"""


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    "arguments", [("user", "passwd", "\udcff@x"), ("logs", "\udcffweb"), ("\udcff",)]
)
def test_arguments_that_are_not_utf8(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments that are not UTF-8 are refused in one line that shows the bytes."""
    assert _run(*arguments) == Exit.USAGE
    assert "is not UTF-8" in capsys.readouterr().err


def _failing(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("fail", callback=fail)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_name_has_its_module(name: str) -> None:
    """Every subcommand has a module with a command and a help text."""
    found = importlib.import_module(f"cli.{name}").command
    assert isinstance(found, click.Command)
    assert found.help


def test_the_help_loads_no_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    """The help imports no subcommand, so that it is fast."""
    printed = run(sys.executable, "-c", _HELP)
    assert printed.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"  {name} " in printed


@pytest.mark.parametrize("arguments", [["nope"], ["user", "nope"], ["user", "add"], ["--nope"]])
def test_a_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error exits with 2 and prints the usage on standard error."""
    assert _run(*arguments) == 2
    assert "Usage: mist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(BusError("no broker"), 69), (StoreError("no space"), 69), (PermissionError(13, "denied"), 1)],
)
def test_an_error_is_one_line_and_a_status(
    error: Exception,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error is printed as one line, without a traceback, and sets the exit status."""
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: _failing(error))
    assert _run("up") == status
    assert capsys.readouterr().err == f"mist: {error}\n"


def test_a_service_manager_is_told_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The service manager is told the error if the command is a service."""
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: _failing(BusError("away")))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert _run("supervisor") == Exit.UNAVAILABLE
        assert manager.recv(1000) == b"STOPPING=1\nSTATUS=away"
    assert capsys.readouterr().err == "mist: away\n"


def test_a_module_that_is_missing_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing module is reported as an incomplete installation, without a traceback."""
    monkeypatch.setitem(sys.modules, "cli.status", None)
    assert _run("status") == Exit.SOFTWARE
    said = capsys.readouterr().err
    assert said.startswith("mist: ")
    assert "cli.status" in said
    assert "reinstall Mist" in said


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert _run("--version") == 0
    assert "mist, version 0.1.0" in capsys.readouterr().out


def test_an_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command ends with the same status, and says nothing."""
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: _failing(KeyboardInterrupt()))
    assert _run("status") == Exit.INTERRUPTED
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(
    ("why", "status"), [(KeyboardInterrupt, Exit.INTERRUPTED), (EOFError, Exit.FAILURE)]
)
@pytest.mark.parametrize("ask", [terminal.confirmed, click.prompt])
def test_an_interrupt_of_a_question(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[str], object],
    why: type[BaseException],
    status: int,
) -> None:
    """The end of standard input is not one; it answers a question of yes or no."""

    def answer(*_: object, **__: object) -> str:
        raise why

    @click.command()
    def asking() -> None:
        assert not ask("Remove it?")
        raise SystemExit(Exit.FAILURE)

    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: asking)
    assert _run("status") == status


def test_an_error_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status tells of it, even if standard error is on a full disk."""
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: _failing(BusError("away")))
    monkeypatch.setattr(click, "echo", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    assert _run("status") == Exit.UNAVAILABLE


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(closed: str) -> None:
    """A command finds /dev/null in their places, and so does a program that it starts."""
    run("sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, _STREAMS)
