"""Find and read the cgroup of a container on this host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from workers.containers.figures import Reading
from workers.containers.layouts import Files, Layout, Version1, Version2


class NotLocal(Exception):
    """The container's processes or cgroup are not on this host, or may not be read."""


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
    """Return the files of the version that counts processor time; NotLocal if neither does."""
    if "cpuacct" in found:
        return Version1(found, memory)
    if "" in found:
        return Version2(found[""], memory)
    raise NotLocal("its process is not in a cgroup of its own here")
