"""A fresh Debian 12 with a real systemd and a network, but without Mist.

It shares only the kernel with the host: it has its own processes, mounts, network, control
groups and, if one is installed, Docker Engine.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final, NamedTuple, Self

from tests.support.machine import host
from tests.support.machine.base import base_system
from tests.support.wait import wait_until

ROOT: Final = Path(__file__).parents[3]
_BOOT_SECONDS: Final = 120.0
_LINES_SHOWN: Final = 60


class Result(NamedTuple):
    """A command's exit status and its output on both streams."""

    status: int
    output: str


class Machine:
    """A machine, booted in the ``with`` block; ``root`` is its file system as seen by the host."""

    def __init__(self) -> None:
        self._environment = host.environment()
        self._units = itertools.count(1)

    def __enter__(self) -> Self:
        """Make and boot the machine: some seconds, plus the base system the first time."""
        keeper = [sys.executable, "-m", "tests.support.machine.keeper", str(base_system())]
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._keeper = subprocess.Popen(
            keeper,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        try:
            assert self._keeper.stdout is not None
            self._directory = Path(self._keeper.stdout.readline().decode().strip() or "/nowhere")
            self.root = self._directory / "root"
            self._wait_until_booted(other_than="")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Power the machine off without a shutdown, and remove everything of it."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        try:
            status = self._keeper.wait(120)
            assert status == 0, self._said()
        finally:
            self._errors.close()

    # ---------------------------------------------------------------- commands

    def run(self, script: str, seconds: float = 60.0, *, check: bool = True) -> Result:
        """Run ``script`` in a shell, as root in /root, and wait for its end.

        Raise AssertionError with the output if it takes longer than
        ``seconds``, or if it fails and ``check`` is set.
        """
        with self.start(script) as command:
            status = command.wait(seconds)
            assert not check or status == 0, f"{script}: status {status}\n{command.tail}"
            return Result(status, command.output)

    def start(self, script: str, *, terminal: bool = False) -> Command:
        """Start ``script`` in a shell; with ``terminal``, in a terminal of its own."""
        unit = f"command-{next(self._units)}.scope"
        shell = ["bash", "-c", script]
        if terminal:
            shell = ["script", "--quiet", "--return", "--flush", "--command", script, "/dev/null"]
        # A scope of its own, like a login's, lets its processes be counted and ended.
        scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit}", "--"]
        return Command(
            self, unit, [*scope, "env", "--unset=INVOCATION_ID", "--chdir=/root", *shell]
        )

    def popen(self, command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start ``command`` in the machine's namespaces, with a pipe as standard input."""
        return subprocess.Popen(
            ["nsenter", "--target", self._leader(), "--all", "--", *command],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    # ------------------------------------------------------------- the machine

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file or a folder to the absolute path ``target`` on the machine's disk."""
        command = ["cp", "-a", "--no-target-directory", str(source), f"{self.root}{target}"]
        subprocess.run(command, check=True, timeout=60)

    def reboot(self) -> None:
        """Reboot with ``systemctl reboot``, and wait until the machine has booted."""
        before = self._leader()
        self.run("systemctl reboot", check=False)
        self._wait_until_booted(other_than=before)

    def _wait_until_booted(self, other_than: str) -> None:
        wait_until(
            lambda: self._leader() not in {"", other_than} or self._keeper.poll() is not None,
            "the machine to boot",
            _BOOT_SECONDS,
        )
        assert self._keeper.poll() is None, self._said()

    def _leader(self) -> str:
        try:
            return (self._directory / "leader").read_text("utf-8")
        except FileNotFoundError:
            return ""

    def _said(self) -> str:
        """Return the keeper's standard error."""
        self._errors.seek(0)
        return f"the machine's keeper has ended:\n{self._errors.read().decode()}"


class Command:
    """A command in a machine; its processes end with the ``with`` block."""

    def __init__(self, machine: Machine, unit: str, command: list[str]) -> None:
        self._machine = machine
        self._unit = unit
        # Opened for appending, because both sides share the file position.
        self._output: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - see __exit__
        self._process = machine.popen(command, self._output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._machine.run(f"systemctl kill --signal=KILL {self._unit}", check=False)
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._output.close()

    @property
    def output(self) -> str:
        """Return the command's output so far, on both streams."""
        size = self._output.seek(0, 2)
        self._output.seek(0)
        return self._output.read(size).decode("utf-8", "replace")

    @property
    def tail(self) -> str:
        """Return the last lines of the output."""
        return "\n".join(self.output.splitlines()[-_LINES_SHOWN:])

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.poll()

    def press(self, keys: str) -> None:
        """Type ``keys`` into the terminal."""
        assert self._process.stdin is not None
        self._process.stdin.write(keys.encode())
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """Type ^C: the terminal sends SIGINT to its foreground process group."""
        self.press("\x03")

    def wait(self, seconds: float) -> int:
        """Wait for the command's end; return its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            message = f"a command does not end in {seconds:g} s:\n{self.tail}"
            raise AssertionError(message) from None

    def wait_for(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Wait until the output matches ``pattern``; AssertionError if the command ends first."""

        def matched_or_ended() -> tuple[re.Match[str] | None] | None:
            # Polled before the output is read, so that the last output is not missed.
            ended = self.poll() is not None
            found = re.search(pattern, self.output)
            return (found,) if found or ended else None

        try:
            (found,) = wait_until(matched_or_ended, pattern, seconds) or (None,)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail}") from None
        assert found, f"ended without {pattern}: status {self.poll()}\n{self.tail}"
        return found

    @property
    def processes(self) -> str:
        """Return the command's processes as systemd lists them."""
        unit = self._unit
        listed = f"systemctl --quiet is-active {unit} && systemd-cgls --full --unit {unit}"
        return self._machine.run(listed, check=False).output
