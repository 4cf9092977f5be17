"""Faults to inject into a process of the service or the engine, and the processes to choose."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final, NamedTuple

import psutil

from tests.support.service.engine import PrivateEngine
from tests.support.service.units import Units

#: The processes of the engine; their faults are not ours, and the test restarts them.
ENGINE: Final = ("dockerd", "containerd")
#: The processes of the service that carry a stream; the runner has a table of its own.
OURS: Final = (
    "supervisor",
    "fork server",
    "broker",
    "collector",
    "sampler",
    "gunicorn master",
    "gunicorn worker",
)
#: Processes that fail together.
PAIRS: Final = ("broker + collector", "fork server + gunicorn worker", "supervisor + broker")
#: Names in the supervisor's table.
_TABLE: Final = {
    "fork server": "fork-server",
    "broker": "broker",
    "sampler": "metrics",
    "collector": "container/",
}


class Fault(NamedTuple):
    """A signal, and how long a stopped process stays stopped; None means for ever."""

    name: str
    number: signal.Signals
    seconds: float | None = None


KILL: Final = Fault("SIGKILL", signal.SIGKILL)
TERM: Final = Fault("SIGTERM", signal.SIGTERM)
BLINK: Final = Fault("SIGSTOP 3 s", signal.SIGSTOP, 3.0)
PAUSE: Final = Fault("SIGSTOP 40 s", signal.SIGSTOP, 40.0)
HANG: Final = Fault("SIGSTOP", signal.SIGSTOP, None)
ALL: Final = (KILL, TERM, BLINK, PAUSE, HANG)


def find(service: Units, engine: PrivateEngine, process: str) -> list[psutil.Process]:
    """Return the processes of this name; several for a pair."""
    if " + " in process:
        return [one for name in process.split(" + ") for one in find(service, engine, name)]
    match process:
        case "supervisor":
            pid = service.unit("supervisor").pid
        case "gunicorn master":
            pid = service.unit("gunicorn").pid
        case "gunicorn worker":
            return service.web_workers()[:1]
        case "dockerd":
            pid = engine.pid
        case "containerd":
            pid = engine.containerd_pid
        case _:
            pid = int(service.running(_TABLE[process])[0]["pid"])
    return [psutil.Process(pid)]


def inject(fault: Fault, targets: list[psutil.Process], engine: PrivateEngine | None) -> None:
    """Send the signal; wake what is stopped for a time; restart the engine if it has ended."""
    for target in targets:
        os.kill(target.pid, fault.number)
    if fault.seconds is not None:
        time.sleep(fault.seconds)
        wake(targets)
    if engine is not None:
        gone, _ = psutil.wait_procs(targets, timeout=0 if fault.seconds else 30)
        if gone:
            engine.start()


def wake(targets: list[psutil.Process]) -> None:
    """Continue what is still there."""
    for target in targets:
        # psutil checks that the pid still belongs to the same process.
        with contextlib.suppress(psutil.NoSuchProcess):
            target.resume()
