"""Try every way from the web tier to the engine; runs in a machine.

Standard input is ``{"sockets": […], "paths": […], "pids": […]}``: what belongs to
the engine and to the supervisor. Every attempt that succeeds is printed with its
result, and so is every writable file and folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def connect(path: str) -> str:
    """Connect to a socket of the engine."""
    name = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(name)
    return "connected"


def rename(path: str) -> str:
    """Replace a path; undone if it succeeds."""
    Path(path).rename(f"{path}.taken")
    Path(f"{path}.taken").rename(path)
    return "renamed"


def unlock(path: str) -> str:
    """Change a mode."""
    Path(path).chmod(0o777)
    return "changed"


def enter(folder: str) -> str:
    """List a folder that holds the containers' data."""
    return f"{len(list(Path(folder).iterdir()))} entries"


def stop(pid: int) -> str:
    """Send a signal to a privileged process."""
    os.kill(pid, signal.SIGCONT)
    return "signalled"


def trace(pid: int) -> str:
    """Attach to a privileged process (ptrace(2), PTRACE_ATTACH)."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.ptrace(16, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"


def peek(pid: int) -> str:
    """Read a process's environment."""
    Path(f"/proc/{pid}/environ").read_bytes()
    return "read"


def join(group: str) -> str:
    """Join the engine's group."""
    os.setgid(grp.getgrnam(group).gr_gid)
    return "joined"


def become(user: int) -> str:
    """Take another user's identity."""
    os.setuid(user)
    return "became"


def run(command: str) -> str:
    """Run a privileged or setuid program."""
    done = subprocess.run(
        ["sh", "-c", command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    if done.returncode != 0:
        raise OSError(done.stderr)
    return done.stdout[:100]


DATA = ("/var/lib/docker", "/var/lib/containerd", "/run/containerd", "/proc/1/root/var/lib/docker")
COMMANDS = (
    "docker ps",
    "docker run --rm -v /:/host busybox:1 sh -c 'echo in'",
    "ctr --address /run/containerd/containerd.sock containers list",
    "sudo -n id",
    "su -c id",
    "runuser -u mist -- id",
    "setpriv --reuid=mist --regid=mist --clear-groups id",
    "setpriv --groups=docker id",
    "nsenter --target 1 --mount id",
    "mount -t tmpfs none /mnt",
    "chroot / id",
    "systemctl restart docker",
    "systemd-run --pipe --wait id",
)


def writable() -> Iterator[str]:
    """Yield what this user may write, except what is world-writable."""
    for top in ("/boot", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/usr", "/var"):
        for folder, _, files in os.walk(top):
            for path in (folder, *(f"{folder}/{file}" for file in files)):
                with contextlib.suppress(OSError):
                    mode = os.lstat(path).st_mode
                    ours = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
                    if ours and os.access(path, os.W_OK) and not mode & stat.S_IWOTH:
                        yield path


def main() -> None:
    """Make every attempt."""
    targets = json.load(sys.stdin)
    attempts: list[tuple[Callable[..., str], Any]] = []
    attempts += [(connect, path) for path in targets["sockets"]]
    attempts += [(act, path) for path in targets["paths"] for act in (rename, unlock)]
    attempts += [(act, pid) for pid in targets["pids"] for act in (stop, trace, peek)]
    attempts += [(enter, path) for path in DATA]
    attempts += [(join, "docker"), (join, "root"), (become, 0), *((run, each) for each in COMMANDS)]
    for act, argument in attempts:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            print(f"{act.__name__} {argument}: {act(argument)}", flush=True)
    for path in writable():
        print(f"writable {path}")
    print(f"{len(attempts)} attempts")


main()
