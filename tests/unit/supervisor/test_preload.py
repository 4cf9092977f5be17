"""What the fork server loads, and so every collector."""

from __future__ import annotations

import subprocess
import sys

from supervisor.forkserver import PRELOAD


def test_a_collector_does_not_load_the_store() -> None:
    """The database library takes several times the memory of everything else in it."""
    program = (
        f"import sys, {', '.join(PRELOAD)}\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'sqlalchemy', 'sqlite3'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
