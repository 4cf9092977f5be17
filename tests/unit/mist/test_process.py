"""Tests of how a child of the supervisor ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mist.errors import Exit

_CHILD = """
from mist import paths, process, settings
process.run("it.main:main", process.Assignment("metrics", 0, 1, False), settings.load({}), None)
"""


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("def main(*_): pass", Exit.OK, ""),
        ("import nowhere", Exit.SOFTWARE, "it.main:main cannot be loaded: No module named"),
        ("def main(*_): import nowhere", Exit.SOFTWARE, "cannot be loaded: No module named"),
        ("def main(", Exit.SOFTWARE, "cannot be loaded: '(' was never closed"),
        ("def main(*_): raise RuntimeError('a bug')", Exit.FAILURE, "RuntimeError: a bug"),
    ],
)
def test_how_a_child_ends(tmp_path: Path, text: str, status: Exit, words: str) -> None:
    """A module that cannot be loaded is not a crash, because a retry would not help."""
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "main.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (status is Exit.FAILURE)


def test_the_file_limit_is_raised() -> None:
    """Children inherit it."""
    program = (
        "import resource, subprocess, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "from mist import process\n"
        "process.raise_file_limit()\n"
        "print(hard, subprocess.check_output(['sh', '-c', 'ulimit -n'], text=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    hard, inherited = done.stdout.split()
    assert inherited == hard
