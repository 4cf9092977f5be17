"""What the kernel says of the host: processor, memory and disk."""

from __future__ import annotations

from contextlib import suppress

import psutil

from mist.errors import SettingsError
from mist.messages import Cpu, Space


class Host:
    """Reads the host's figures; ``disk_path`` is any path on the file system to report.

    Raises SettingsError if there is no such path.
    """

    def __init__(self, disk_path: str) -> None:
        self._disk_path = disk_path
        try:
            self._disk = self._read_disk()
        except OSError as error:
            problem = f"{disk_path!r} cannot be read: {error.strerror}"
            raise SettingsError("metrics.disk_path", problem) from None
        psutil.cpu_percent()  # the usage is that since the call before; this one is the first

    def cpu(self) -> Cpu:
        """The usage since the last call, all cores together; waiting for a disk is no usage."""
        usage = min(100.0, max(0.0, psutil.cpu_percent()))
        return Cpu(usage, psutil.cpu_count() or 1)

    def memory(self) -> Space:
        """What programs cannot have without swapping is used; caches are not."""
        memory = psutil.virtual_memory()
        return space(memory.total - memory.available, memory.total)

    def disk(self) -> Space:
        """The file system of ``disk_path``; as it was before while it cannot be read."""
        with suppress(OSError):  # a remount in progress: the last figure is the best there is
            self._disk = self._read_disk()
        return self._disk

    def _read_disk(self) -> Space:
        usage = psutil.disk_usage(self._disk_path)
        return space(usage.used, usage.total)


def space(used: int, total: int) -> Space:
    """``percent`` is ``used / total`` as the contract has it, to a hundredth.

    psutil's own figure for disks leaves the part reserved for root out of the
    total, so that it does not agree with the bytes beside it.
    """
    return Space(used, total, round(100 * used / total, 2) if total else 0.0)
