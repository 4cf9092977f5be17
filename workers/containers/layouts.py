"""The files of a cgroup, of version 1 or 2, and the counters in them.

The files stay open: a read of an open one (pread(2) from its beginning) takes half as long
as opening it again, and with hundreds of containers that is most of the work.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from workers.containers.figures import Reading, without_cache

_READ_BYTES: Final = 16_384
# Of a file that is made line by line, the kernel returns a page at a time (seq_file.c).
_PAGE_BYTES: Final = 3_072

_USAGE_USEC: Final = re.compile(rb"^usage_usec (\d+)", re.MULTILINE)
_INACTIVE_V1: Final = re.compile(rb"^total_inactive_file (\d+)", re.MULTILINE)
_INACTIVE_V2: Final = re.compile(rb"^inactive_file (\d+)", re.MULTILINE)
_BLOCK_V1: Final = re.compile(rb"^\d+:\d+ (Read|Write) (\d+)", re.MULTILINE)
_BLOCK_V2: Final = re.compile(rb"\b([rw])bytes=(\d+)")


class Layout(Protocol):
    """The files of one version of cgroups."""

    def read(self) -> Reading:
        """Return the counters, without the network's; raise OSError if the cgroup is gone."""

    def close(self) -> None:
        """Close the files."""


class Files:
    """Open files, each known by a name; one that does not exist reads as empty.

    The file named ``needed`` has to exist.
    """

    def __init__(self, paths: Mapping[str, Path], needed: str) -> None:
        self._open: dict[str, int] = {}
        try:
            for name, path in paths.items():
                try:
                    self._open[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    # The kernel may have been built without this controller.
                    if name == needed:
                        raise
        except OSError:
            self.close()
            raise

    def read(self, name: str) -> bytes:
        """Return the present content of a file."""
        descriptor = self._open.get(name)
        if descriptor is None:
            return b""
        part = whole = os.pread(descriptor, _READ_BYTES, 0)
        while len(part) >= _PAGE_BYTES:
            part = os.pread(descriptor, _READ_BYTES, len(whole))
            whole += part
        return whole

    def close(self) -> None:
        """Close all files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


class Version1:
    """The files of cgroups 1; ``folders`` has one for each controller."""

    def __init__(self, folders: Mapping[str, Path], memory: int) -> None:
        none = Path("/nonexistent")
        block = folders.get("blkio", none)
        recursive = block / "blkio.throttle.io_service_bytes_recursive"
        self._memory = memory
        self._files = Files(
            {
                "cpu": folders.get("cpuacct", none) / "cpuacct.usage",
                "usage": folders.get("memory", none) / "memory.usage_in_bytes",
                "stat": folders.get("memory", none) / "memory.stat",
                "limit": folders.get("memory", none) / "memory.limit_in_bytes",
                "pids": folders.get("pids", none) / "pids.current",
                "block": recursive
                if recursive.exists()
                else block / "blkio.throttle.io_service_bytes",
            },
            needed="cpu",
        )
        self.close = self._files.close

    def read(self) -> Reading:
        """Return the counters, without the network's; raise OSError if the cgroup is gone."""
        read = self._files.read
        now, cpu = time.monotonic_ns(), int(read("cpu"))
        block = sums(_BLOCK_V1, read("block"))
        return Reading(
            now,
            cpu,
            without_cache(int(read("usage") or 0), number(_INACTIVE_V1, read("stat"))),
            # Without a limit the file has the largest number of pages.
            min(int(read("limit") or 0), self._memory),
            0,
            0,
            block.get(b"Read", 0),
            block.get(b"Write", 0),
            int(read("pids") or 0),
        )


class Version2:
    """The files of cgroups 2, all in one folder."""

    def __init__(self, folder: Path, memory: int) -> None:
        self._memory = memory
        names = {
            "cpu": "cpu.stat",
            "usage": "memory.current",
            "stat": "memory.stat",
            "limit": "memory.max",
            "pids": "pids.current",
            "block": "io.stat",
        }
        paths = {name: folder / file for name, file in names.items()}
        self._files = Files(paths, needed="cpu")
        self.close = self._files.close

    def read(self) -> Reading:
        """Return the counters, without the network's; raise OSError if the cgroup is gone."""
        read = self._files.read
        now, cpu = time.monotonic_ns(), 1_000 * number(_USAGE_USEC, read("cpu"))
        block = sums(_BLOCK_V2, read("block"))
        limit = read("limit").strip()
        return Reading(
            now,
            cpu,
            without_cache(int(read("usage") or 0), number(_INACTIVE_V2, read("stat"))),
            self._memory if limit == b"max" else min(int(limit or 0), self._memory),
            0,
            0,
            block.get(b"r", 0),
            block.get(b"w", 0),
            int(read("pids") or 0),
        )


def number(pattern: re.Pattern[bytes], text: bytes) -> int:
    """Return the number that the pattern finds, or 0."""
    found = pattern.search(text)
    return int(found[1]) if found else 0


def sums(pattern: re.Pattern[bytes], text: bytes) -> dict[bytes, int]:
    """Return the sum over all devices for each direction."""
    found: dict[bytes, int] = {}
    for direction, amount in pattern.findall(text):
        found[direction] = found.get(direction, 0) + int(amount)
    return found
