"""The README's first five minutes, as a reader has them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.harness.engine import IMAGE, PrivateEngine, wait_until
from tests.integration.harness.service import Service

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)

#: Commands that go on until ^C, and what each of them has to show before it.
FOLLOWERS: Final = {
    "mist logs hello": r"hello \d+",
    "mist logs site": "at your service",
    "wsdump": r'"line":"hello \d+"',
    "mist top": r"containers running|GiB",
    "mist tap": r'"docker":\{',
}
#: And what some of those that end by themselves have to say.
SAYS: Final = {
    "mist app add hello": "id 1",
    "mist status": "container/1",
    "curl": '"success":true',
    "mist doctor": "ok",
}


def _commands() -> list[str]:
    """Every line of the section's shell blocks, in order."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("## The first five minutes\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


class Reader:
    """Somebody at a shell: the directory, assignments and exports stay for what follows."""

    def __init__(self, directory: Path, service: Service) -> None:
        self._directory = directory
        self._environment = {**service.environment, "HOME": str(directory)}
        self._before: list[str] = []

    def run(self, command: str) -> None:
        """Do what the line says; AssertionError with the output if it fails."""
        if re.match(r"mkdir .* && cd |(export )?[A-Z]+=", command):
            self._before.append(command)
            return
        pattern = next((FOLLOWERS[each] for each in FOLLOWERS if command.startswith(each)), None)
        if pattern is not None:
            self._follow(command, pattern)
            return
        done = subprocess.run(self._shell(command), **self._options(), check=False, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        told = next((SAYS[each] for each in SAYS if command.startswith(each)), "")
        assert told in done.stdout, f"{command}\n{done.stdout}"

    def _follow(self, command: str, pattern: str) -> None:
        """Run it until it shows the pattern, then interrupt it as ^C does."""
        output = self._directory / "followed"
        with output.open("w") as file:
            # A terminal's input stays open; wsdump ends when it does not.
            options = self._options() | {"stdout": file, "stdin": subprocess.PIPE}
            process = subprocess.Popen(self._shell(command), **options, start_new_session=True)
        try:
            wait_until(
                lambda: re.search(pattern, output.read_text("utf-8")) or process.poll() is not None,
                f"{pattern} from {command}",
            )
            shown = output.read_text("utf-8")
            assert re.search(pattern, shown), f"{command}\n{shown}"
            # Without a terminal `mist top` shows one sample and ends by itself, in its own time.
            by_itself = {0} if command == "mist top" else set()
            assert process.poll() in {None, *by_itself}, f"{command}\n{shown}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=30)
        assert "Traceback" not in output.read_text("utf-8")

    def _shell(self, command: str) -> list[str]:
        return ["bash", "-c", "\n".join([*self._before, command])]

    def _options(self) -> dict[str, Any]:
        return {
            "cwd": self._directory,
            "env": self._environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }


@pytest.fixture
def make_up(own_engine: PrivateEngine) -> Iterator[Service]:
    """``make up`` on an engine that answers, with this environment as the one it makes."""
    own_engine.client.tag(IMAGE, "busybox", "1")
    service = Service(own_engine.host)
    # Newer than what it depends on, so that make does not install into the
    # environment that the tests are running in.
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
    """Each command of the section works, in order."""
    reader = Reader(tmp_path, make_up)
    for command in _commands():
        line = command.replace("127.0.0.1:8420", f"127.0.0.1:{make_up.port}")
        line = line.replace("the one-time password", make_up.password)
        reader.run(line.replace("$PWD/.venv", str(VENV)))


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of the README and of docs/ names a file that is there."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
