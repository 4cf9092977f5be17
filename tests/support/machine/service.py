"""A machine's installed service, as its administrator sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from tests.support.machine.machine import ROOT, Machine
from tests.support.machine.trial import LEFT
from tests.support.machine.visitor import Visitor
from tests.support.wait import wait_until

MIST: Final = "/opt/mist/bin/mist"
UNITS: Final = ("mist-supervisor.service", "mist-api.service")
#: Text that a healthy service's journal does not contain.
_CRASH: Final = re.compile(
    r"Traceback|dumped core|\bFailed\b|status=|Operation not permitted|Permission denied"
    r"|timed out|Assertion|SIG(ABRT|SEGV|SYS)|level=(error|critical)|\[(ERROR|CRITICAL)\]"
)
_OPERATIONS: Final = ROOT / "docs/operations.md"
_ENGINE: Final = re.compile(r'"(dockerd|containerd|containerd-shim)')
_ATTACK: Final = Path(__file__).with_name("attack.py")
_PYTHON: Final = "/opt/mist/bin/python -I"
#: The lines that make the web tier's unit a service; all others restrict it.
_OF_THE_SERVICE: Final = re.compile(
    r"(?m)^(Type|NotifyAccess|ExecStart|ExecReload|Restart\w*|Watchdog\w+|PartOf)=.*\n"
)
_AS_ATTACK: Final = f"""[Service]
Type=oneshot
ExecStart={_PYTHON} /opt/attack.py
StandardInput=file:/opt/targets.json
StandardOutput=truncate:/opt/attack.out
"""


class InstalledService:
    """``mist.target`` of this machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._visitor = Visitor(machine)

    def install(self) -> None:
        """Follow docs/operations.md in the clone, and wait until the service runs."""
        section = _OPERATIONS.read_text("utf-8").partition("## As a service\n")[2]
        printed = re.search(r"```console\n(.*?)```", section, flags=re.DOTALL)
        assert printed, "docs/operations.md does not say how to install the service"
        self._machine.run(f"cd mist\nset -e\n{printed[1]}", 300)
        self.wait_running()

    def wait_running(self) -> None:
        """Wait until both units are active and the service is ready."""
        self._visitor.wait_ready()
        wait_until(self._active, "both units to be active", 60)

    def crashes(self, boot: int = 0) -> str:
        """Return the lines of a boot's journal that look like a crash; -1 is the previous boot."""
        units = " ".join(f"--unit={unit}" for unit in UNITS)
        journal = f"journalctl --boot={boot} --no-pager {units}"
        lines = self._machine.run(journal).output.splitlines()
        return "\n".join(line for line in lines if _CRASH.search(line))

    def processes(self, unit: str) -> set[str]:
        """Return the ids of a unit's main process and its children."""
        pid = self._show(unit, "MainPID")
        return {pid, *self._machine.run(f"pgrep --parent {pid}", check=False).output.split()}

    def restarts(self) -> list[str]:
        """Return how often systemd has restarted each unit."""
        return [self._show(unit, "NRestarts") for unit in UNITS]

    def left(self) -> str:
        """Return what a stopped service left: processes, sockets, its port."""
        processes = "ps --no-headers -o user,pid,args -u mist,mist-api; true"
        return self._machine.run(f"{processes}; {LEFT}").output

    def attack(self, *, sandboxed: bool) -> list[str]:
        """Try every way from the web tier to the engine; return those that succeed.

        The attacker is the web tier's user, with ``sandboxed`` under all restrictions of
        its unit.
        """
        self._machine.copy_in(_ATTACK, "/opt/attack.py")
        (self._machine.root / "opt/targets.json").write_text(json.dumps(self._targets()), "utf-8")
        if not sandboxed:
            attacker = "setpriv --reuid=mist-api --regid=mist --init-groups"
            attack = f"cd / && {attacker} {_PYTHON} /opt/attack.py </opt/targets.json"
            return _open_ways(self._machine.run(attack, 120).output)
        installed = self._machine.run("systemctl cat mist-api.service").output
        service = _OF_THE_SERVICE.sub("", installed).replace("[Service]", _AS_ATTACK)
        unit = self._machine.root / "etc/systemd/system/attack.service"
        unit.write_text(service, "utf-8")
        self._machine.run("systemctl daemon-reload && systemctl start attack", 120)
        return _open_ways(self._machine.run("cat /opt/attack.out").output)

    def _targets(self) -> dict[str, list[str] | list[int]]:
        """Return what belongs to the engine and to the supervisor."""
        listening = self._machine.run("ss --no-header --listening --unix --processes").output
        sockets = [each.split()[4] for each in listening.splitlines() if _ENGINE.search(each)]
        database = self._machine.run("find /var/lib/mist -name mist.db").output.strip()
        shared = str(Path(database).parent)
        paths = self._machine.run("find /var/lib/mist /run/mist /opt/mist/bin /etc/mist").output
        pids = self._machine.run("pgrep '^(dockerd|containerd|mist)$'; pgrep -u mist").output
        return {
            "sockets": ["/run/docker.sock", "/var/run/docker.sock", "/run/mist/ingest", *sockets],
            "paths": [path for path in paths.split() if not path.startswith(f"{shared}/mist.db")],
            "pids": [int(pid) for pid in pids.split()],
        }

    def _active(self) -> bool:
        states = self._machine.run(f"systemctl is-active {' '.join(UNITS)}", check=False).output
        return states.split() == ["active"] * len(UNITS)

    def _show(self, unit: str, name: str) -> str:
        show = f"systemctl show --property={name} --value {unit}"
        return self._machine.run(show).output.strip()


def _open_ways(output: str) -> list[str]:
    *found, last = output.splitlines()
    assert re.fullmatch(r"\d+ attempts", last), output
    return found
