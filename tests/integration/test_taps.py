"""The programs in ``docs/taps.md``, run as printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import pytest

from mist.messages import MetricsSample
from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import Service, free_port
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "taps.md").read_text("utf-8")

Start = Callable[..., "subprocess.Popen[str]"]


def printed(language: str, containing: str) -> str:
    """Return the only block of the page in that language that contains these words."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return found


PROGRAMS: Final = {
    "tap.py": printed("python", '"!BBBxHxxIQQQ"'),
    "replay.py": printed("python", "DEALER"),
    "keygen.py": printed("python", "create_certificates"),
    "remote.py": printed("python", "curve_serverkey"),
    "tap.mjs": printed("javascript", "zeromq"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with every program of the page, where Node finds its packages."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Run ``start(service, "python", "tap.py", …)``. The program is ended after the test."""
    with ExitStack() as stack:

        def start_one(service: Service, language: str, *arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable if language == "python" else language, *arguments]
            return stack.enter_context(
                program(command, cwd=folder, env=service.environment, stdout=subprocess.PIPE)
            )

        yield start_one


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_the_example_has_ten_lines() -> None:
    """As the page claims, the example has at most ten lines of code."""
    assert len([text for text in PROGRAMS["tap.py"].splitlines() if text]) <= 10


@pytest.mark.parametrize("tap_program", [("python", "tap.py"), ("node", "tap.mjs")])
def test_tap_is_demand_and_gets_the_log(
    engine: PrivateEngine,
    service: Service,
    container: str,
    start: Start,
    tap_program: tuple[str, str],
) -> None:
    """The tap starts the collector, reads status, history and live lines, and ends the demand."""
    if tap_program[0] == "node":
        require_node()
    number = service.add_app(container, container)
    engine.run(container, "echo first; sleep 1000")
    wait_until(lambda: engine.lines(container) == ["first"], "the first line")
    tap = start(service, *tap_program, f"container/{number}/")
    topic = f"container/{number}/log"
    assert line(tap).startswith(f'{topic} 1 {{"type":"status"')
    assert line(tap).startswith(f'{topic} 2 {{"type":"log"')
    assert [row["process"] for row in service.running(f"container/{number}")] == [
        f"container/{number}"
    ]
    engine.say(container, "echo live")
    assert '"line":"live"' in line(tap)
    tap.kill()
    wait_until(lambda: not service.running(f"container/{number}"), "the collector's end")


def require_node() -> None:
    """Require Node and its ZeroMQ package in CI; skip the test elsewhere if they are missing."""
    if shutil.which("node") and (ROOT / "node_modules" / "zeromq").exists():
        return
    reason = "node or its package zeromq is missing (`npm ci`)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_replay_holds_what_was_before(service: Service, start: Start) -> None:
    """The replay has the newest samples, oldest first."""
    service.mist("top", "--once")  # which waits for a sample
    out, _ = start(service, "python", "replay.py", "metrics/system").communicate(timeout=60)
    assert out
    times = [msgspec.json.decode(text, type=MetricsSample).timestamp for text in out.splitlines()]
    assert times == sorted(set(times))


def test_remote_tap_needs_a_key_on_the_list(
    engine: PrivateEngine, make_service: MakeService, start: Start, folder: Path
) -> None:
    """Key generation, the allow-list and the client work as printed."""
    keys = folder / "keys"
    keys.mkdir()
    address = f"127.0.0.1:{free_port()}"
    service = make_service(engine, {"bus.tap_bind": address, "bus.tap_keys": keys})
    server_key = service.paths.home / "tap" / "server.key"
    for name in ("stranger", "dashboard"):
        assert start(service, "python", "keygen.py", name).wait(60) == 0

    def remote(name: str) -> subprocess.Popen[str]:
        key = f"{name}.key_secret"
        return start(service, "python", "remote.py", address, "metrics/", key, str(server_key))

    stranger = remote("stranger")
    shutil.copy(folder / "dashboard.key", keys)
    guest = remote("dashboard")
    samples = [msgspec.json.decode(line(guest), type=MetricsSample) for _ in range(3)]
    assert len({sample.timestamp for sample in samples}) == 3
    # The client with the unlisted key came first and had as much time.
    stranger.kill()
    assert stranger.communicate(timeout=30)[0] == ""
