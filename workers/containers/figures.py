"""The arithmetic of ``docker stats``, without I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from mist.messages import Figures

NEVER: Final = "0001-01-01T00:00:00"
"""The beginning of the engine's time for what has not happened."""


class Reading(NamedTuple):
    """A container's counters at one moment; times are in nanoseconds."""

    at: int
    cpu: int
    """Processor time of all its processes since its start."""
    memory_used: int
    memory_limit: int
    network_rx: int
    network_tx: int
    block_read: int
    block_write: int
    pids: int


def figures(before: Reading, now: Reading) -> Figures | None:
    """Return what a container uses between two readings; None if no time has passed."""
    elapsed = now.at - before.at
    if elapsed <= 0:
        return None
    # The counter begins at 0 again when the container is restarted.
    spent = max(0, now.cpu - before.cpu)
    share = now.memory_used / now.memory_limit if now.memory_limit else 0.0
    return Figures(
        round(100 * spent / elapsed, 2),
        now.memory_used,
        now.memory_limit,
        round(100 * share, 2),
        *now[4:],
    )


def without_cache(usage: int, inactive_file: int) -> int:
    """Return the memory in use without the page cache that the kernel can reclaim at once."""
    # calculateMemUsageUnixNoCache of docker/cli: the two are read one after the other.
    return usage - inactive_file if inactive_file < usage else usage
