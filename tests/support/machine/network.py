"""A machine's network: its own bridge, and address translation to the outside."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.support.machine.base import STATE

_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
#: Exists while machines have forwarding switched on; the last machine switches it off.
_WAS_OFF: Final = STATE / "forwarding-was-off"
_MACHINE: Final = """\
[Match]
Name=host0

[Network]
Address=10.77.{number}.2/24
Gateway=10.77.{number}.1
LinkLocalAddressing=no
"""


class Network:
    """10.77.N.1 on the host's side, 10.77.N.2 in the machine."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.bridge = f"mist{number}"

    @property
    def is_free(self) -> bool:
        """Return True if nothing on the host has an address of this network."""
        return f" 10.77.{self._number}." not in _addresses()

    def make(self, root: Path) -> None:
        """Make the host's side, and configure the machine whose file system is ``root``."""
        # systemd's file with this name configures host0 in any container; this one replaces it.
        file = root / "etc/systemd/network/80-container-host0.network"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_MACHINE.format(number=self._number), "utf-8")
        _must("ip", "link", "add", self.bridge, "type", "bridge")
        _must("ip", "address", "add", f"10.77.{self._number}.1/24", "dev", self.bridge)
        _must("ip", "link", "set", self.bridge, "up")
        for table, chain, *rule in self._rules():
            _must("iptables", "--wait", "-t", table, "-I", chain, *rule)
        if _FORWARDING.read_text().strip() == "0":
            _WAS_OFF.touch()
            _FORWARDING.write_text("1")

    def remove(self) -> None:
        """Remove whatever exists of the network."""
        for table, chain, *rule in self._rules():
            while _run("iptables", "--wait", "-t", table, "-D", chain, *rule).returncode == 0:
                pass
        _run("ip", "link", "delete", self.bridge)
        if _WAS_OFF.exists() and " 10.77." not in _addresses():
            _FORWARDING.write_text("0")
            _WAS_OFF.unlink()

    def _rules(self) -> list[tuple[str, ...]]:
        mark = ("-m", "comment", "--comment", self.bridge)
        there = f"10.77.{self._number}.0/24"
        return [
            ("nat", "POSTROUTING", "-s", there, "!", "-d", there, *mark, "-j", "MASQUERADE"),
            ("filter", "FORWARD", "-i", self.bridge, *mark, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-o", self.bridge, *mark, "-j", "ACCEPT"),
        ]


def _addresses() -> str:
    return _run("ip", "-4", "-brief", "address").stdout


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def _must(*command: str) -> None:
    done = _run(*command)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
