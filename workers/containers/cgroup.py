"""Read a container's counters from the files of its cgroup, of version 1 or 2.

The files stay open: a read of an open one (pread(2) from its beginning) takes half as long
as opening it again, and with hundreds of containers that is most of the work.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import psutil

from workers.containers.figures import Reading, without_cache

_READ_BYTES: Final = 16_384
# Of a file that is made line by line, the kernel returns a page at a time (seq_file.c).
_PAGE_BYTES: Final = 3_072

_USAGE_USEC: Final = re.compile(rb"^usage_usec (\d+)", re.MULTILINE)
_INACTIVE_V1: Final = re.compile(rb"^total_inactive_file (\d+)", re.MULTILINE)
_INACTIVE_V2: Final = re.compile(rb"^inactive_file (\d+)", re.MULTILINE)
_BLOCK_V1: Final = re.compile(rb"^\d+:\d+ (Read|Write) (\d+)", re.MULTILINE)
_BLOCK_V2: Final = re.compile(rb"\b([rw])bytes=(\d+)")


class NotLocal(Exception):
    """The container's processes or cgroup are not on this host, or may not be read."""


class Layout(Protocol):
    """The files of one version of cgroups."""

    def read(self) -> Reading:
        """Return the counters, without the network's; raise OSError if the cgroup is gone."""

    def close(self) -> None:
        """Close the files."""


class Files:
    """Open files, each known by a name; one that does not exist reads as empty."""

    def __init__(self, paths: Mapping[str, Path], needed: str) -> None:
        self._open: dict[str, int] = {}
        try:
            for name, path in paths.items():
                try:
                    self._open[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    # The kernel may have been built without this controller.
                    if name in needed.split():
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
            needed="cpu usage stat limit",
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
            without_cache(int(read("usage")), number(_INACTIVE_V1, read("stat"))),
            # Without a limit the file has the largest number of pages.
            min(int(read("limit")), self._memory),
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
        self._files = Files(paths, needed="cpu usage stat limit")
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
            without_cache(int(read("usage")), number(_INACTIVE_V2, read("stat"))),
            self._memory if limit == b"max" else min(int(limit), self._memory),
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


def network(text: bytes) -> tuple[int, int]:
    """Return the bytes received and sent according to ``net/dev``, without the loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, figures = line.partition(b":")
        columns = figures.split()
        if name.strip() != b"lo" and len(columns) > 8:
            received += int(columns[0])
            sent += int(columns[8])
    return received, sent


def folders(container: str, cgroup: str, mounts: str) -> dict[str, Path]:
    """Return the container's folder for each controller of version 1, and for version 2 as "".

    ``cgroup`` is the content of its process's /proc/PID/cgroup, ``mounts`` that of
    /proc/self/mountinfo (cgroups(7), proc(5)).  A process may be in a cgroup that the
    container has made for itself, such as ``init.scope``; the container's own is above it.
    """
    found: dict[str, Path] = {}
    for line in cgroup.splitlines():
        _, names, path = line.split(":", 2)
        end = re.match(rf".*{re.escape(container)}[^/]*", path)
        if end is None:
            continue  # of another host's process, or of a controller without a cgroup for it
        for name in names.split(","):
            mount = _mount(name, mounts)
            if mount is not None:
                root, point = mount
                own = end[0].removeprefix(root) if root != "/" else end[0]
                found[name] = Path(point) / own.lstrip("/")
    return found


def _mount(controller: str, mounts: str) -> tuple[str, str] | None:
    """Return the root and the mount point of a controller's hierarchy."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not controller:
            if kind[0] == "cgroup2":
                return fields[3], fields[4]
        elif kind[0] == "cgroup" and controller in kind[-1].split(","):
            return fields[3], fields[4]
    return None


class CgroupMeter:
    """The counters of a running container of this host; raise NotLocal if it is not one.

    ``pid`` is its first process.  With ``host_network`` it has no network of its own, and
    the engine counts nothing for it either.
    """

    def __init__(self, container: str, pid: int, *, host_network: bool) -> None:
        process = Path("/proc") / str(pid)
        self._network: Files | None = None
        try:
            cgroup = (process / "cgroup").read_text("utf-8", "replace")
            mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
            found = folders(container, cgroup, mounts)
            self._files = layout(found, psutil.virtual_memory().total)
            if not host_network:
                with suppress(FileNotFoundError):  # it has just ended
                    self._network = Files({"dev": process / "net" / "dev"}, needed="dev")
        except (OSError, ValueError) as error:
            raise NotLocal(str(error)) from None

    def read(self) -> Reading | None:
        """Return the counters; None if the container has ended."""
        try:
            reading = self._files.read()
            text = self._network.read("dev") if self._network else b""
        except (OSError, ValueError):
            return None  # the files of a removed cgroup fail with ENODEV
        received, sent = network(text)
        return reading._replace(network_rx=received, network_tx=sent)

    def close(self) -> None:
        """Close the files, which keep the container's network alive."""
        self._files.close()
        if self._network:
            self._network.close()


def layout(found: Mapping[str, Path], memory: int) -> Layout:
    """Return the files of the version that counts memory; raise NotLocal if neither does."""
    if "memory" in found:
        return Version1(found, memory)
    if "" in found:
        return Version2(found[""], memory)
    raise NotLocal("its process is not in a cgroup of its own here")
