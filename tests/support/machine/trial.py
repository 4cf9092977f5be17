"""A user who tries Mist in two terminals: ``make up`` in one, commands in the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.support.machine.machine import Command, Machine
from tests.support.machine.visitor import Visitor
from tests.support.service.readme import README

#: Lists what should not exist when Mist is not running.
LEFT: Final = "find /run/mist -type s; ss --no-header --listening --tcp --numeric 'sport = :8420'"


class Trial:
    """A trial in ``folder`` with the sources.

    After the first ``make up``, ``password`` replaces the one-time password that it printed.
    """

    def __init__(self, machine: Machine, folder: str = "mist") -> None:
        self._machine = machine
        self._folder = folder
        self._visitor = Visitor(machine)
        self._terminal: Command | None = None
        self.password = ""

    def clone(self, sources: Path) -> None:
        """Install what the README lists, and clone the repository."""
        named = re.search(r"`apt-get install ([a-z ]+)`", README.read_text("utf-8"))
        assert named, "the README does not say what to install"
        self._machine.run(f"apt-get update -q && apt-get install -qy {named[1]}", 180)
        self._machine.copy_in(sources, "/root/origin")
        self._machine.run(f"git clone --quiet /root/origin {self._folder}")

    def make_up(self, seconds: float = 60.0) -> str:
        """Run ``make up``; return its output once the service is ready."""
        self._terminal = self._machine.start(f"cd {self._folder} && make up", terminal=True)
        self._visitor.wait_ready(seconds, self._terminal)
        printed = re.search(r"one-time password: (\S+)", self._terminal.output)
        if printed:
            self.password = self._visitor.choose_password(printed[1])
        return self._terminal.output

    def interrupt(self) -> str:
        """Type ^C and wait for the end; return the whole output.

        Raise AssertionError if a process, a socket or the port is left.
        """
        assert self._terminal is not None
        with self._terminal as terminal:
            terminal.interrupt()
            terminal.wait(60)
            left = terminal.processes + self._machine.run(LEFT).output
            assert not left, f"left behind:\n{left}"
            self._terminal = None
            return terminal.output

    def close(self) -> None:
        """Close the first terminal, whatever is running in it."""
        if self._terminal is not None:
            self._terminal.__exit__()

    def start(self, script: str, *, follow: bool) -> Command:
        """Start ``script`` in the second terminal, in the clone."""
        return self._machine.start(f"cd {self._folder}\n{script}", terminal=follow)
