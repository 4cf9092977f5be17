"""The process that owns one machine: ``python -m tests.support.machine.keeper BASE``.

It makes the machine, boots it, boots it again when it reboots, and removes it when
standard input ends. This also happens when the tests are interrupted or killed, so
that nothing is left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.machine.base import STATE
from tests.support.machine.cgroups import Cgroups
from tests.support.machine.host import copy_settings
from tests.support.machine.network import Network

#: The exit status of systemd-nspawn under --keep-unit when the machine reboots.
_REBOOT: Final = 133
#: The time to copy or remove the base system on a slow disk.
_DISK_SECONDS: Final = 300
#: Counted down, because other users of 10.77.0.0/16 may start with 1.
_NUMBERS: Final = range(250, 200, -1)
_NSPAWN: Final = (
    "systemd-nspawn",
    *("--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no"),
    *("--resolv-conf=off", "--notify-ready=yes"),
    # SIGTERM ends the machine at once, because its files are about to be removed.
    "--kill-signal=SIGKILL",
    # The machine's own Docker Engine needs this.
    *("--capability=all", "--system-call-filter=@keyring bpf @mount"),
)


class Keeper:
    """A machine with this number; ``directory`` holds its files.

    While the machine is booted, the file ``leader`` holds the host's id of its first process.
    """

    def __init__(self, number: int) -> None:
        self.name = f"mist{number}"
        self.directory = STATE / str(number)
        self._root = self.directory / "root"
        self._leader = self.directory / "leader"
        self._network = Network(number)
        self._cgroups = Cgroups(f"mist-machine-{number}")

    def keep(self, base: Path) -> None:
        """Boot a copy of ``base`` until standard input ends or the machine is powered off."""
        subprocess.run(
            ["cp", "-a", "--reflink=auto", base, self._root], check=True, timeout=_DISK_SECONDS
        )
        (self._root / "etc/hostname").write_text(f"{self.name}\n", "utf-8")
        copy_settings(self._root)
        self._network.make(self._root)
        self._cgroups.make()
        while self._run() == _REBOOT:
            pass

    def remove(self) -> None:
        """Remove everything of the machine, including the remains of a killed keeper."""
        self._leader.unlink(missing_ok=True)
        self._network.remove()
        self._cgroups.remove()
        # systemd-nspawn leaves this behind when it is killed.
        with contextlib.suppress(OSError):
            Path(f"/run/systemd/nspawn/propagate/{self.name}").rmdir()
        subprocess.run(
            ["rm", "-rf", "--one-file-system", self.directory], check=True, timeout=_DISK_SECONDS
        )

    def _run(self) -> int:
        """Boot once; return systemd-nspawn's exit status, or 0 when standard input has ended."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.bind(f"\0{self.name}")
            process = self._spawn(f"@{self.name}")
            try:
                return self._watch(process, notifications)
            finally:
                self._leader.unlink(missing_ok=True)
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(30)

    def _spawn(self, notify_socket: str) -> subprocess.Popen[bytes]:
        # The machine ends with this process, even if this process is killed.
        command = ["setpriv", "--pdeathsig=TERM", *self._cgroups.prefix, *_NSPAWN]
        command += [f"--machine={self.name}", f"--directory={self._root}"]
        command += [f"--network-bridge={self._network.bridge}"]
        with (self.directory / "console").open("ab") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "NOTIFY_SOCKET": notify_socket},
                preexec_fn=self._cgroups.enter,  # noqa: PLW1509 - there are no threads here
            )

    def _watch(self, process: subprocess.Popen[bytes], notifications: socket.socket) -> int:
        """Announce the machine when it has booted; return when it or standard input ends."""
        leader = ""
        end = os.pidfd_open(process.pid)
        with selectors.DefaultSelector() as selector:
            for each in (sys.stdin, notifications, end):
                selector.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if notifications in ready:
                    lines = notifications.recv(4096).decode().splitlines()
                    values = dict(line.split("=", 1) for line in lines if "=" in line)
                    leader = values.get("X_NSPAWN_LEADER_PID", leader)
                    if values.get("READY") == "1":
                        self._announce(leader)
                elif end in ready or sys.stdin in ready:
                    os.close(end)
                    return process.wait(30) if end in ready else 0

    def _announce(self, leader: str) -> None:
        unfinished = self._leader.with_suffix(".new")
        unfinished.write_text(leader, "utf-8")
        unfinished.rename(self._leader)


@contextlib.contextmanager
def _claimed() -> Iterator[Keeper]:
    """Return the keeper of a free number, after removing what is left under that number."""
    with (STATE / "numbers.lock").open("w") as locks:
        for number in _NUMBERS:
            try:
                fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                continue
            keeper = Keeper(number)
            keeper.remove()
            if Network(number).is_free:
                keeper.directory.mkdir()
                try:
                    yield keeper
                finally:
                    keeper.remove()
                return
    raise OSError(f"{len(_NUMBERS)} machines run already")


def main() -> None:
    """Keep one machine; print its directory as the first line."""
    with _claimed() as keeper:
        print(keeper.directory, flush=True)
        keeper.keep(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
