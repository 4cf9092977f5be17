"""The README's first five minutes, run as a reader would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.support.service.engine import IMAGE, PrivateEngine
from tests.support.service.readme import Reader, tour
from tests.support.service.service import Service
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)

#: The parts of a shell and of Debian's packages of priority "required" that the tour uses.
BASE = {"cat", "cd", "export", "mkdir", "printf"}


class LocalCommand:
    """A shell script in a session of its own, with its output in a file."""

    def __init__(self, script: str, file: Path, environment: dict[str, str]) -> None:
        self._file = file
        with file.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=file.parent,
                env=environment,
                # A terminal's input stays open; wsdump ends when its input does not.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.poll = self._process.poll

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=30)

    @property
    def output(self) -> str:
        """Return everything that the script has printed so far."""
        return self._file.read_text("utf-8", "replace")

    def wait(self, seconds: float) -> int:
        """Wait for the script to end and return its exit status."""
        return self._process.wait(seconds)

    def wait_for(self, pattern: str, seconds: float = 30.0) -> None:
        """Wait until the output matches; fail if the script ends first."""
        wait_until(
            lambda: re.search(pattern, self.output) or self.poll() is not None, pattern, seconds
        )
        assert re.search(pattern, self.output), self.output

    def interrupt(self) -> None:
        """Send SIGINT to the process group, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)


class LocalShell:
    """A shell on this machine, next to a service of the tests."""

    def __init__(self, directory: Path, service: Service) -> None:
        self._output = directory / "output"
        self._environment = {**service.environment, "HOME": str(directory)}

    def start(self, script: str, *, follow: bool) -> LocalCommand:
        """Start ``script`` in the directory."""
        return LocalCommand(script, self._output, self._environment)


@pytest.fixture
def make_up(own_engine: PrivateEngine) -> Iterator[Service]:
    """Run ``make up`` with an engine that answers and this environment as the one it creates."""
    own_engine.client.tag(IMAGE, "busybox", "1")
    service = Service(own_engine.host)
    # Newer than its dependencies, so that make does not install into the
    # environment in which the tests are running.
    (VENV / ".installed").touch()
    bind = f"BIND=127.0.0.1:{service.port}"
    service.start(command=["make", "-C", str(ROOT), "up", f"VENV={VENV}", bind])
    try:
        yield service
    finally:
        service.destroy()


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_the_first_five_minutes(make_up: Service, tmp_path: Path) -> None:
    """Every command of the section works, in order."""
    reader = Reader(LocalShell(tmp_path, make_up))
    for command in tour():
        line = command.replace("127.0.0.1:8420", f"127.0.0.1:{make_up.port}")
        reader.run(line.replace("$PWD/.venv", str(VENV)))


def test_the_tour_needs_nothing_that_a_reader_lacks() -> None:
    """The tour uses only the base system, the README's packages, the engine and the wheel."""
    first = re.search(r"`apt-get install ([^`]+)`", (ROOT / "README.md").read_text("utf-8"))
    assert first is not None
    told = {*first[1].split(), "docker", *(path.name for path in (VENV / "bin").iterdir())}
    # At the start of a line, or after a separator of commands or the start of a substitution.
    command = re.compile(r"(?:^|&& |\| |\$\()([a-z][a-z-]*)(?= )", re.MULTILINE)
    used = set(command.findall("\n".join(tour())))
    assert {"curl", "docker", "git", "mist", "cat"} <= used
    assert used - told - BASE == set()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the README and in docs/ points to an existing file."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
