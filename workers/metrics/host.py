"""Read the host's processor, memory and disk usage from the kernel."""

from __future__ import annotations

from contextlib import suppress

import psutil

from mist.errors import SettingsError
from mist.messages import Cpu, Space


class Host:
    """The host's figures; ``disk_path`` is any path on the file system to report.

    Raise SettingsError if the path cannot be read.
    """

    def __init__(self, disk_path: str) -> None:
        self._disk_path = disk_path
        try:
            self._disk = self._read_disk()
        except OSError as error:
            problem = f"{disk_path!r} cannot be read: {error.strerror}"
            raise SettingsError("metrics.disk_path", problem) from None
        psutil.cpu_percent()  # measures since the previous call, so the first result is void

    def cpu(self) -> Cpu:
        """Return the usage of all cores since the last call; waiting for I/O does not count."""
        usage = min(100.0, max(0.0, psutil.cpu_percent()))
        return Cpu(usage, psutil.cpu_count() or 1)

    def memory(self) -> Space:
        """Return the memory usage, without caches that the kernel can reclaim."""
        memory = psutil.virtual_memory()
        return space(memory.total - memory.available, memory.total)

    def disk(self) -> Space:
        """Return the usage of the file system, or the last known one if it cannot be read."""
        with suppress(OSError):  # for instance during a remount
            self._disk = self._read_disk()
        return self._disk

    def _read_disk(self) -> Space:
        usage = psutil.disk_usage(self._disk_path)
        return space(usage.used, usage.total)


def space(used: int, total: int) -> Space:
    """Return a Space; ``percent`` is ``used / total`` in percent with two decimals.

    psutil's own percentage for disks leaves the blocks reserved for root out of the total,
    so it does not agree with the byte counts next to it.
    """
    return Space(used, total, round(100 * used / total, 2) if total else 0.0)
