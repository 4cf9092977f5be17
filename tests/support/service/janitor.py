"""Clean up after a test run that was killed.

``scratch`` makes a directory that belongs to the run. A separate process outlives the run and
waits for its end. It then ends every process that still works in such a directory, and
removes the directory. This covers SIGKILL, a test that hung, and ^C in ``tox``, which gives
a run little time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

#: A process forked while the others are killed is found in the next round.
_ROUNDS: Final = 5
_SECONDS: Final = 10.0

_janitor: subprocess.Popen[str] | None = None


def scratch(prefix: str) -> Path:
    """Make a directory that is removed, with its processes, at the end of this process."""
    # Always below /tmp, whatever TMPDIR is: a Unix socket's path has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    pipe = _started().stdin
    assert pipe is not None
    print(directory, file=pipe, flush=True)
    return directory


def clean(directory: Path) -> None:
    """End every process that works in ``directory``, and remove it with its mounts."""
    for _ in range(_ROUNDS):
        if not (found := list(processes(directory))):
            break
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=_SECONDS)
    _remove_traces(directory)
    for mount in mounts_below(directory):
        subprocess.run(
            ["umount", "--lazy", mount], check=False, capture_output=True, timeout=_SECONDS
        )
    shutil.rmtree(directory, ignore_errors=True)


def processes(directory: Path) -> Iterator[psutil.Process]:
    """Yield the daemons of ``directory``, the services with their home in it, and descendants.

    The command line of a daemon or a shim names the directory. A process inside a
    container does not name it, but is a child of its shim.
    """
    # With a slash, because another directory's name may start with this one.
    below = f"{directory}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(below in argument for argument in process.cmdline()) or process.environ().get(
                "MIST_HOME", ""
            ).startswith(below):
                yield process
                yield from process.children(recursive=True)


def mounts_below(directory: Path) -> list[str]:
    """Return the mount points below ``directory``, the innermost first (proc(5), mountinfo)."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    return sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True)


def _remove_traces(directory: Path) -> None:
    """Remove what an engine keeps outside its directory for killed containers."""
    # The path of a shim's socket is fixed: /run/containerd/s/HASH.
    for address in directory.glob("containerd/state/io.containerd.runtime.v2.task/moby/*/address"):
        with contextlib.suppress(OSError):
            Path(address.read_text("utf-8").removeprefix("unix://")).unlink(missing_ok=True)
    for container in directory.glob("data/containers/*"):
        for pattern in (f"docker/{container.name}", f"*/docker/{container.name}"):
            for cgroup in Path("/sys/fs/cgroup").glob(pattern):
                with contextlib.suppress(OSError):
                    cgroup.rmdir()


def _started() -> subprocess.Popen[str]:
    global _janitor  # noqa: PLW0603 - one for the whole run
    if _janitor is None:
        _janitor = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a terminal's ^C is for the run only
        )
        atexit.register(_janitor.communicate, timeout=60)
    return _janitor


def _main() -> None:
    """Wait for the end of the run, which closes the pipe, and clean up after it."""
    directories = [Path(line.rstrip("\n")) for line in sys.stdin]
    for directory in directories:
        if directory.exists():
            clean(directory)


if __name__ == "__main__":
    _main()
