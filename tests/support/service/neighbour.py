"""Another engine on the machine, for tests of the harness's effects on it.

A network namespace and a mount namespace stand for the machine: its /run is empty, and
changes to its /etc stay within it. The engine is set up like Debian's docker.io, with a
containerd at its default address, a bridge ``docker0``, and firewall rules.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from tests.support.service.engine import IMAGE, PrivateEngine
from tests.support.service.programs import program, run
from tests.support.wait import wait_until

ROOT: Final = Path(__file__).parents[3]
_MAKE: Final = """
mount -t tmpfs -o mode=755 mist-test /run
mkdir -p /run/upper /run/work /run/containerd
mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work mist-test /etc
mkdir -p /etc/docker
printf '%s' "$2" >/etc/docker/daemon.json
ln -s "$1/c.sock" /run/containerd/containerd.sock
touch "$1/made"
exec sleep 600
"""
#: A test's engine that used these by mistake would not start.
_SETTINGS: Final = {"hosts": ["unix:///run/docker.sock"], "bridge": "docker0"}
_GATEWAY: Final = "172.30.77.1"
_PING: Final = "/bin/busybox ping -c 1 -W 5"


class Neighbour(PrivateEngine):
    """The engine of a machine with its default network."""

    flags = ("--ip6tables=false", f"--bip={_GATEWAY}/24")

    def __init__(self) -> None:
        super().__init__()
        command = ["unshare", "--net", "--mount", "sh", "-euc", _MAKE]
        self._holder = subprocess.Popen(
            [*command, "sh", str(self.directory), json.dumps(_SETTINGS)], start_new_session=True
        )
        wait_until(
            lambda: (self.directory / "made").exists() or self._holder.poll() is not None,
            "the machine's namespaces",
        )
        assert self._holder.poll() is None, "the machine's namespaces cannot be made"

    def execute(self, *command: str) -> str:
        """Run a command on the machine and return its output."""
        return run(*self._network(), *command)

    def start_python(
        self, script: str, environment: Mapping[str, str]
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Start a Python program on the machine; it can import the harness."""
        command = [*self._network(), sys.executable, "-c", script]
        environment = {**environment, "PYTHONPATH": str(ROOT)}
        return program(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def serve(self, name: str) -> None:
        """Start a container with an address on ``docker0``."""
        command = ["/bin/sh", "-c", "sleep 600"]
        self.client.start(self.client.create_container(IMAGE, command, name=name))

    def facts(self) -> dict[str, object]:
        """Return the facts that the harness must not change."""
        bundles = self.directory / "containerd/state/io.containerd.runtime.v2.task/moby"
        rules = self.execute("iptables-save")
        return {
            "docker0": self.execute("busybox", "ip", "addr", "show", "docker0"),
            "rules": re.sub(r"^#.*|\[\d+:\d+\]", "", rules, flags=re.MULTILINE),
            "forwarding": self.execute("cat", "/proc/sys/net/ipv4/ip_forward"),
            "settings": self.execute("sh", "-c", "cd /etc/docker && md5sum *"),
            "tasks": sorted(path.name for path in bundles.iterdir()),
            "containers": {each["Id"]: self._facts_of(each["Id"]) for each in self._containers()},
        }

    def reach(self, name: str, other: str) -> None:
        """Raise AssertionError unless a container can reach another one and ``docker0``."""
        address = self._facts_of(other)[1]
        self.say(name, f"{_PING} {address} && {_PING} {_GATEWAY}")

    def destroy(self) -> None:
        """End the engine and remove the machine."""
        super().destroy()
        self._holder.kill()
        self._holder.wait(30)

    def _network(self) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount"]

    def _containers(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.client.containers(all=True)
        return found

    def _facts_of(self, name: str) -> tuple[int, str]:
        """Return the process id and the address of a container."""
        found = self.client.inspect_container(name)
        address = found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        return found["State"]["Pid"], address
