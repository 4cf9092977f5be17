"""What a child of the supervisor knows of the others."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PARENT = """
import subprocess, sys
others = [subprocess.Popen(["sleep", "60"]) for _ in range({others})]
try:
    subprocess.run([sys.executable, "-c", "from mist import process; print(process.collectors())"])
finally:
    for other in others:
        other.kill()
        other.wait()
"""


@pytest.mark.parametrize(("others", "collectors"), [(0, 1), (2, 1), (5, 4)])
def test_how_many_collectors_there_are(others: int, collectors: int) -> None:
    """The children of the same parent, but for the broker and the sampler; and always oneself."""
    shown = subprocess.run(
        [sys.executable, "-c", _PARENT.format(others=others)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(shown.stdout) == collectors
