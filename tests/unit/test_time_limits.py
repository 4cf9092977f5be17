"""Tests of time limits: a hanging test fails alone if possible, otherwise it ends the run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_TESTS: Final = """
import threading
import pytest

@pytest.fixture
def endless():
    yield
    threading.Event().wait()

def test_waits():
    threading.Event().wait()

def test_ends(endless):
    pass

def test_fails_and_ends(endless):
    assert False

def test_swallows():
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass

def test_last():
    pass
"""


def _tested(folder: Path, *names: str) -> tuple[int, str]:
    """Return the exit status and output of a run of these tests with limits of one second."""
    (folder / "test_hang.py").write_text(_TESTS, "utf-8")
    limits = ("timeout=1", "teardown_timeout=1", "timeout_grace=1")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", f"--rootdir={ROOT}"]
    command += ["-c", f"{ROOT}/pyproject.toml", *(f"-o{limit}" for limit in limits)]
    command += [f"{folder}/test_hang.py::test_{name}" for name in names]
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=False,
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("waits", "1 failed, 1 passed"),
        ("ends", "2 passed, 1 error"),
        ("fails_and_ends", "1 failed, 1 passed, 1 error"),
    ],
)
def test_the_run_goes_on(tmp_path: Path, name: str, outcomes: str) -> None:
    """The run continues after a hanging test and after a hanging fixture."""
    status, output = _tested(tmp_path, name, "last")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert re.search(rf"=+ {outcomes} in", output), output
    assert "Timeout (>1.0s)" in output


def test_the_run_ends_and_says_where(tmp_path: Path) -> None:
    """A test that swallows every exception ends the run, which reports where."""
    status, output = _tested(tmp_path, "swallows", "last")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert re.search(r'test_hang.py", line \d+ in test_swallows', output), output
    assert "passed" not in output
