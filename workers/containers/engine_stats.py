"""Read a container's counters from the engine (``GET /containers/ID/stats``).

For containers whose cgroups this process cannot read, above all those of another host.
"""

from __future__ import annotations

from typing import Any

from mist import clock
from mist.errors import EngineError
from mist.settings import Settings
from workers import engine
from workers.containers.figures import NEVER, Reading, without_cache


class EngineMeter:
    """The counters of a running container, as the engine tells them."""

    def __init__(self, settings: Settings, container: str) -> None:
        self._settings = settings
        self._path = f"/containers/{container}/stats"

    def read(self) -> Reading | None:
        """Return the counters; None if the container has ended, EngineError without an answer."""
        try:
            # One sample at once, instead of two that are a second apart.
            query = {"stream": "false", "one-shot": "true"}
            answer = engine.get_json(self._settings, self._path, **query)
        except engine.EngineRefused as error:
            if error.status in {404, 409}:
                return None
            raise
        try:
            return reading_of(answer)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EngineError(f"the engine's answer to {self._path} is not understood") from None

    def close(self) -> None:
        """Do nothing, because no connection stays open."""


def reading_of(answer: Any) -> Reading | None:
    """Return the counters in the engine's answer; None for a container that does not run."""
    if str(answer["read"]).startswith(NEVER):
        return None
    # Empty on a kernel that does not count memory.
    memory = answer.get("memory_stats") or {}
    block = (answer.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    networks = (answer.get("networks") or {}).values()
    details = memory.get("stats") or {}
    # The names in cgroups 1 and 2.
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Reading(
        clock.nanoseconds(clock.normalize(answer["read"])),
        int(answer["cpu_stats"]["cpu_usage"]["total_usage"]),
        without_cache(int(memory.get("usage", 0)), int(inactive)),
        int(memory.get("limit", 0)),
        sum(int(each["rx_bytes"]) for each in networks),
        sum(int(each["tx_bytes"]) for each in networks),
        sum(int(each["value"]) for each in block if each["op"].lower() == "read"),
        sum(int(each["value"]) for each in block if each["op"].lower() == "write"),
        int((answer.get("pids_stats") or {}).get("current", 0)),
    )
