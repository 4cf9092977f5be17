"""A WSGI application whose workers start, or fail to start, according to a plan."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mist.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def next_step(plan: Path) -> str:
    """Remove and return the plan's first line; without one, the worker serves."""
    with plan.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        step, *rest = file.read().split("\n")
        file.seek(0)
        file.truncate()
        file.write("\n".join(rest))
    return step


def start(step: str) -> None:
    """Follow the plan; each step is named after how the worker ends."""
    if step == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif step == "exits":
        os._exit(7)
    elif step == "hangs":
        time.sleep(1000)
    elif step == "bug":
        raise RuntimeError("a bug in the start")
    elif step == "settings":
        raise SettingsError("server.bind", "a wrong value")
    elif step == "store":
        raise StoreError("the store is away")
    elif step.startswith("/"):
        while not Path(step).exists():
            time.sleep(0.01)


def app(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer with this worker's process id."""
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


start(next_step(Path(os.environ["BOOT_PLAN"])))
