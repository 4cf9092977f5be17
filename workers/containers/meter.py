"""The counters of a running container, from wherever they can be read."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import structlog

from mist.messages import Figures
from mist.settings import Settings
from workers.containers.cgroup import CgroupMeter, NotLocal
from workers.containers.engine_stats import EngineMeter
from workers.containers.figures import Reading, figures
from workers.references import Inspection

log = structlog.get_logger(__name__)


class Run(NamedTuple):
    """One run of a container: its processes, as the engine names them."""

    container: str
    pid: int
    """The first process on the engine's host; 0 while the container does not run."""
    started: str
    host_network: bool

    @classmethod
    def of(cls, inspection: Inspection) -> Run:
        """Return the run that an inspection describes."""
        state = inspection["State"]
        # The engine reports a container that waits for its restart as running, too.
        runs = state["Running"] and not state["Restarting"]
        mode = (inspection.get("HostConfig") or {}).get("NetworkMode", "")
        return cls(
            inspection["Id"], state["Pid"] if runs else 0, state["StartedAt"], mode == "host"
        )


class Meter(Protocol):
    """A source of a container's counters."""

    def read(self) -> Reading | None:
        """Return the counters; None if the container has ended."""

    def close(self) -> None:
        """Release the source."""


class Gauge:
    """What a container uses from one look to the next."""

    def __init__(self, settings: Settings, run: Run) -> None:
        self.run = run
        self._meter = _open(settings, run)
        self._before = self._meter.read()
        self.ended = self._before is None
        """The run is over; only the engine knows what came after it."""

    def look(self) -> Figures | None:
        """Return what the container has used since the last look; None if it has ended."""
        now = self._meter.read()
        before, self._before = self._before, now
        # Counters that went back are those of another run.
        self.ended = now is None or before is None or now.cpu < before.cpu
        return None if self.ended or before is None or now is None else figures(before, now)

    def close(self) -> None:
        """Release the source."""
        self._meter.close()


def _open(settings: Settings, run: Run) -> Meter:
    try:
        return CgroupMeter(run.container, run.pid, host_network=run.host_network)
    except NotLocal as error:
        log.debug("cgroup_not_readable", container=run.container[:12], reason=str(error))
        return EngineMeter(settings, run.container)
