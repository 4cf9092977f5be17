"""Control groups of a machine's own.

systemd-nspawn uses fixed names below the group that it is started in, so two
machines started in one group would share one tree.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.wait import wait_until


class Cgroups:
    """A scope if systemd is running; otherwise a group in each hierarchy, below the caller's."""

    def __init__(self, name: str) -> None:
        self._scope = f"{name}.scope" if Path("/run/systemd/system").is_dir() else ""
        self._directories = [] if self._scope else [each / name for each in _own_groups()]

    def make(self) -> None:
        """Make the groups; skip hierarchies that are not writable."""
        for directory in list(self._directories):
            try:
                directory.mkdir(exist_ok=True)
                _copy_cpuset(directory)
            except OSError:
                self._directories.remove(directory)

    @property
    def prefix(self) -> list[str]:
        """The command prefix that runs a command in the scope."""
        if not self._scope:
            return []
        options = ["--scope", "--quiet", "--collect", "--slice=machine", "--property=Delegate=yes"]
        return ["systemd-run", *options, f"--unit={self._scope}", "--"]

    def enter(self) -> None:
        """Move the calling process into the groups."""
        for directory in self._directories:
            (directory / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        """Remove the groups once their last process has ended."""
        if self._scope:
            stop = ["systemctl", "stop", "--quiet", self._scope]
            subprocess.run(stop, check=False, capture_output=True, timeout=60)
        wait_until(self._removed, "the machine's processes to end")

    def _removed(self) -> bool:
        for directory in self._directories:
            with contextlib.suppress(OSError):
                for below in sorted(directory.rglob("*/"), reverse=True):
                    below.rmdir()
                directory.rmdir()
        return not any(directory.exists() for directory in self._directories)


def _own_groups() -> Iterator[Path]:
    """Yield this process's group in each mounted hierarchy (cgroups(7), proc_pid_mountinfo(5))."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        groups[controllers] = path
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        for controllers, path in groups.items():
            version = "cgroup" if controllers else "cgroup2"
            if kind == version and set(controllers.split(",")) <= {"", *options.split(",")}:
                yield Path(os.path.normpath(f"{point}/{os.path.relpath(path, root)}"))


def _copy_cpuset(directory: Path) -> None:
    """Initialise a cpuset group, because it cannot take a process before (cpuset(7))."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = directory / name
        if file.exists() and not file.read_text().strip():
            file.write_text((directory.parent / name).read_text())
