"""The base system that every machine copies: a standard Debian with systemd."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.machine.host import RELEASE, MachineMissing, mirror

#: The place of base systems and running machines; not /tmp, which may be in memory.
STATE: Final = Path(os.environ.get("MIST_MACHINES", "/var/tmp/mist-machines"))
#: Change the number whenever the base system is made differently.
_RECIPE: Final = 1
_PACKAGES: Final = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps"
_SECONDS: Final = 900

# systemd-nspawn mounts the version 1 hierarchies read-only, but a Docker Engine writes to them.
_WRITABLE_CGROUPS: Final = """\
[Unit]
Description=Control groups that a Docker Engine can write
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=-/bin/sh -c 'for each in /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$each"; done'
StandardError=null
"""


def base_system() -> Path:
    """Return the base system's folder; make it first if it is missing (about 40 s)."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = STATE / f"base-{RELEASE}-{_RECIPE}"
    with _locked(STATE / "base.lock"):
        if not made.exists():
            unfinished = STATE / "unfinished"
            try:
                _remove(unfinished)
                _debootstrap(unfinished)
                _configure(unfinished)
                unfinished.rename(made)
            finally:
                _remove(unfinished)
    return made


def _debootstrap(root: Path) -> None:
    log = STATE / "debootstrap.log"
    command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", RELEASE]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(root), mirror()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            status = process.wait(_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if status != 0:
        last = log.read_text("utf-8", "replace").splitlines()[-5:]
        raise MachineMissing(f"debootstrap failed, see {log}:\n" + "\n".join(last))


def _configure(root: Path) -> None:
    units = root / "etc/systemd/system"
    _write(units / "writable-cgroups.service", _WRITABLE_CGROUPS)
    _enable(units, "sysinit.target.wants/writable-cgroups.service", "/etc/systemd/system")
    _enable(units, "multi-user.target.wants/systemd-networkd.service")
    # A machine has booted when it reaches its network target.
    _enable(units, "network-online.target.wants/systemd-networkd-wait-online.service")
    _enable(units, "multi-user.target.wants/network-online.target")
    # The journal has to survive a reboot.
    (root / "var/log/journal").mkdir(exist_ok=True)


def _enable(units: Path, link: str, directory: str = "/lib/systemd/system") -> None:
    (units / link).parent.mkdir(exist_ok=True)
    (units / link).symlink_to(f"{directory}/{Path(link).name}")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def _remove(directory: Path) -> None:
    # debootstrap mounts /proc and /sys while it runs.
    for mount in ("proc", "sys"):
        subprocess.run(
            ["umount", "--lazy", directory / mount], check=False, capture_output=True, timeout=60
        )
    subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True, timeout=_SECONDS)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
