"""A soak: ``python -m tests.faults.soak MINUTES`` prints what the service holds, minute by minute.

Five containers write numbered lines. Viewers stay for the whole time; others come and go.
Every half minute a random process of the service is killed. Memory, descriptors and
processes are those of the whole service; at the end every viewer that stayed is judged as in
the matrix.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from typing import Final, NamedTuple

import psutil

from tests.faults import faults
from tests.faults.conftest import SETTINGS
from tests.faults.test_matrix import finished_log, script
from tests.faults.verdict import judge, worst
from tests.support import isolation
from tests.support.service.engine import PrivateEngine
from tests.support.service.resuming import Viewer
from tests.support.service.units import Units
from tests.support.wait import wait_until

_CONTAINERS: Final = 5
#: Lines per second of each container.
_RATE: Final = 100
#: Viewers that stay with each container, and those that come and go.
_STAYING, _PASSING = 2, 3
_FAULT_SECONDS: Final = 30.0
_VICTIMS: Final = ("fork server", "broker", "collector", "sampler", "gunicorn worker", "supervisor")


class Holdings(NamedTuple):
    """What the service's processes hold together."""

    processes: int
    memory: float
    """Private memory and the share of what is shared (PSS), in MiB."""
    descriptors: int

    @classmethod
    def of(cls, service: Units) -> Holdings:
        """Measure all processes of the service."""
        found, memory, descriptors = 0, 0, 0
        for process in service.processes():
            with contextlib.suppress(psutil.Error):
                memory += process.memory_full_info().pss
                descriptors += process.num_fds()
                found += 1
        return cls(found, memory / 2**20, descriptors)


def main(minutes: float) -> None:
    """Run the soak, print a row per minute, and fail if a viewer lost or repeated a line."""
    isolation.isolate()
    engine = PrivateEngine()
    service = Units(engine.host, SETTINGS, workers=2)
    try:
        engine.start()
        engine.load_image()
        service.start()
        _soak(engine, service, minutes * 60)
    finally:
        service.destroy()
        engine.destroy()


def _soak(engine: PrivateEngine, service: Units, seconds: float) -> None:
    cookie, chance = service.login(), random.Random(1)
    names = [f"soak-{number}" for number in range(_CONTAINERS)]
    apps = [service.add_app(name, name) for name in names]
    urls = [service.ws_url("container/logs", appId=app) for app in apps]
    for name in names:
        # Each step takes a little longer than its sleep, so fewer lines fill the time.
        engine.run(name, script(_RATE, 0.9 * seconds))
    staying = {
        name: [Viewer(url, cookie) for _ in range(_STAYING)]
        for name, url in zip(names, urls, strict=True)
    }
    begun = time.monotonic()
    kills: dict[str, int] = dict.fromkeys(_VICTIMS, 0)
    print("minute | processes | memory (MiB) | descriptors")
    next_row = begun + 60  # everything has started by then
    while time.monotonic() < begun + seconds:
        passing = [Viewer(chance.choice(urls), cookie) for _ in range(_PASSING)]
        victim = chance.choice(_VICTIMS)
        faults.inject(faults.KILL, faults.find(service, engine, victim)[:1], None)
        kills[victim] += 1
        time.sleep(_FAULT_SECONDS)
        for viewer in passing:
            viewer.close()
        if time.monotonic() >= next_row:
            found = Holdings.of(service)
            minute = (time.monotonic() - begun) / 60
            print(f"{minute:6.1f} | {found.processes} | {found.memory:.0f} | {found.descriptors}")
            sys.stdout.flush()
            next_row += 60
    print("killed:", ", ".join(f"{name} {count}" for name, count in kills.items()))
    verdicts = []
    for name, viewers in staying.items():
        # On a busy machine each step of the writer takes longer.
        log = finished_log(engine, name, seconds)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all(v.last == log[-1] for v in viewers), "the end", 60)  # noqa: B023
        for viewer in viewers:
            viewer.close()
            verdicts.append(judge(log, list(viewer.arrivals), begun))
    print(f"{len(verdicts)} viewers of {_CONTAINERS} logs, the worst: {worst(verdicts)}")
    assert (worst(verdicts).lost, worst(verdicts).repeated) == (0, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]))
