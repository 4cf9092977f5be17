"""The README's commands, and a reader who types them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Protocol, Self

README: Final = Path(__file__).parents[3] / "README.md"

#: Commands that run until ^C, and the output to wait for before ^C.
_FOLLOWERS: Final = {
    "mist logs hello": r"hello \d+",
    "mist logs site": "at your service",
    "wsdump": r'"line":"hello \d+"',
    "mist top": r"containers running|GiB",
    "mist tap": r'"docker":\{',
}
#: The expected output of some commands that end by themselves.
_SAYS: Final = {
    "mist app add hello": "id 1",
    "mist status": "container/1",
    "curl": '"success":true',
    "mist doctor": "ok",
}


class Command(Protocol):
    """A running command, ended at the end of the ``with`` block."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def output(self) -> str:
        """Return the command's output so far, on both streams."""

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""

    def wait(self, seconds: float) -> int:
        """Wait for the command's end and return its exit status."""

    def wait_for(self, pattern: str, seconds: float = 30.0) -> object:
        """Wait until the output matches; raise AssertionError if it does not."""

    def interrupt(self) -> None:
        """Interrupt the command as ^C does."""


class Shell(Protocol):
    """A shell that starts scripts in the reader's directory."""

    def start(self, script: str, *, follow: bool) -> Command:
        """Start a script; ``follow`` means that it runs until ^C."""


def tour() -> list[str]:
    """Return every line of the shell blocks of "The first five minutes", in order."""
    section = README.read_text("utf-8").partition("## The first five minutes\n")[2]
    blocks = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


class Reader:
    """A reader at a shell; directory, assignments and exports persist between lines."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._before: list[str] = []

    def run(self, command: str) -> None:
        """Run a line; raise AssertionError with the output if it fails."""
        if re.match(r"mkdir .* && cd |(export )?[A-Z]+=", command):
            self._before.append(command)
            return
        script = "\n".join([*self._before, command])
        pattern = next((_FOLLOWERS[each] for each in _FOLLOWERS if command.startswith(each)), None)
        if pattern is not None:
            self._follow(command, script, pattern)
            return
        with self._shell.start(script, follow=False) as running:
            status = running.wait(120)
            assert status == 0, f"{command}\n{running.output}"
            told = next((_SAYS[each] for each in _SAYS if command.startswith(each)), "")
            assert told in running.output, f"{command}\n{running.output}"

    def _follow(self, command: str, script: str, pattern: str) -> None:
        """Run a command until it prints the pattern, then interrupt it."""
        with self._shell.start(script, follow=True) as running:
            running.wait_for(pattern)
            # Without a terminal `mist top` prints one sample and exits, which takes a while.
            by_itself = {0} if command == "mist top" else set()
            assert running.poll() in {None, *by_itself}, f"{command}\n{running.output}"
            running.interrupt()
            running.wait(30)
            assert "Traceback" not in running.output, f"{command}\n{running.output}"
