"""Programs that a test starts, reads from and ends; every read is bounded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

#: The time a process may take to end after SIGKILL.
KILL_SECONDS = 30.0


def run(*command: str | Path, **options: Any) -> str:
    """Run a short program that must succeed, and return its output."""
    options = {"timeout": 60, "stdout": subprocess.PIPE, "text": True} | options
    return str(subprocess.run(command, check=True, **options).stdout)


def kill(process: BaseProcess) -> None:
    """Kill a process, as in a crash, and wait until it is gone."""
    process.kill()
    process.join(KILL_SECONDS)
    assert process.exitcode is not None, f"{process} does not end"


@contextmanager
def program(
    command: Sequence[str | Path], seconds: float = 60.0, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start a program in a session of its own, and end it with the block.

    ``options`` are passed to Popen. After ``seconds`` the whole session is killed, so that
    a pending read ends and the test fails.
    """
    options = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True} | options
    process: subprocess.Popen[str] = subprocess.Popen(command, **options)
    late = threading.Event()

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def give_up() -> None:
        late.set()
        end()

    limit = threading.Timer(seconds, give_up)
    limit.start()
    try:
        yield process
        assert not late.is_set(), f"{command} took more than {seconds:g} s"
    except Exception as error:
        if late.is_set():
            error.add_note(f"{command} was killed after {seconds:g} s")
        raise
    finally:
        limit.cancel()
        if process.poll() is None:
            end()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait(KILL_SECONDS)
