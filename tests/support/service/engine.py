"""A private Docker Engine for the tests, with its own sockets, state, containerd and network.

It must not disturb the machine. It does not use a containerd that systemd has started, and
it runs in a network namespace of its own, because a daemon with ``--bridge=none`` deletes
an existing ``docker0`` and turns on IP forwarding. With ``--live-restore`` its containers
survive its restart.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import docker
from docker.types import LogConfig

from tests.support.service.daemon import Daemon
from tests.support.service.janitor import clean, scratch
from tests.support.service.programs import run
from tests.support.wait import wait_until

IMAGE: Final = "mist-test/busybox:1"
_BUSYBOX: Final = ("/usr/bin/busybox", "/bin/busybox")
_APPLETS: Final = ("sh", "echo", "sleep", "seq", "cat", "printf", "date", "kill", "true", "false")
#: Without the plugins that use paths outside ``root`` and ``state``: Kubernetes and
#: /opt/containerd.
_CONTAINERD: Final = """version = 2
root = "{directory}/containerd/root"
state = "{directory}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{directory}/c.sock"
"""


class EngineMissing(Exception):
    """This machine cannot run a private engine; the text says what is missing."""


def require() -> None:
    """Raise EngineMissing unless root, ``dockerd``, ``containerd`` and busybox are there."""
    if os.geteuid() != 0:
        raise EngineMissing("a private Docker Engine needs root")
    for program in ("dockerd", "containerd", "runc"):
        if shutil.which(program) is None:
            raise EngineMissing(f"{program} is not installed (Debian: apt-get install docker.io)")
    _busybox()


class PrivateEngine:
    """One ``dockerd`` and one ``containerd``, with everything below one directory.

    ``host`` is a value for DOCKER_HOST. ``client`` is a docker-py APIClient.
    """

    flags: tuple[str, ...] = ("--bridge=none", "--iptables=false", "--ip6tables=false")

    def __init__(self) -> None:
        self.directory = scratch("mist-eng-")
        self.socket = self.directory / "d.sock"
        self.host = f"unix://{self.socket}"
        self.client = docker.APIClient(base_url=self.host, timeout=60, version="1.41")
        self._dockerd = Daemon(self.directory / "dockerd.log")
        self._containerd = Daemon(self.directory / "containerd.log")

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._dockerd.pid

    # ------------------------------------------------------------- the daemons

    def start(self, seconds: float = 90.0) -> None:
        """Start whichever daemon is not running, and wait until the engine answers."""
        inside = self._network()
        if not self._containerd.running:
            self._containerd.start([*inside, *self._containerd_command()])
        self._await(self._containerd, self._containerd_listens, seconds)
        if not self._dockerd.running:
            # A killed daemon leaves its pid file, and refuses to start if another process has got
            # that pid since.
            (self.directory / "d.pid").unlink(missing_ok=True)
            self._dockerd.start([*inside, *self._dockerd_command()])
        self._await(self._dockerd, self.answers, seconds)

    def stop(self, seconds: float = 30.0) -> None:
        """Send SIGTERM to the daemon; containerd and the containers keep running."""
        self._dockerd.end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """Kill the daemon and its containerd; the containers keep running."""
        self._dockerd.end(signal.SIGKILL)
        self._containerd.end(signal.SIGKILL)

    def restart(self) -> None:
        """Restart the daemon as ``systemctl restart docker`` does with live-restore."""
        self.stop()
        self.start()

    def answers(self) -> bool:
        """Return True if the daemon answers a ping."""
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, OSError):
            return False
        except Exception as error:
            # requests and urllib3 have different exceptions for a refused connection.
            if type(error).__module__.partition(".")[0] in {"requests", "urllib3"}:
                return False
            raise

    def destroy(self) -> None:
        """End everything that was started, and remove everything, including mounts."""
        if self.answers():
            for container in self.client.containers(all=True, quiet=True):
                with contextlib.suppress(docker.errors.APIError):
                    self.client.remove_container(container["Id"], force=True, v=True)
        self.client.close()
        self.stop()
        self._containerd.end(signal.SIGTERM)
        clean(self.directory)

    # -------------------------------------------------------------- containers

    def load_image(self) -> None:
        """Import the tests' only image, made from this machine's statically linked busybox."""
        repository, _, tag = IMAGE.partition(":")
        reply = self.client.import_image_from_data(_root_file_system(), repository, tag)
        assert "error" not in reply, reply

    def run(self, name: str, script: str, **options: Any) -> str:
        """Start a container that runs ``script`` in a shell, and return its id.

        ``options``: ``tty``, ``labels``, ``environment``, ``healthcheck`` and
        ``stop_signal`` as for ``docker create``; ``restart`` is the name of a
        restart policy, ``log_options`` those of the driver ``log_driver`` (json-file),
        ``auto_remove`` a flag and ``binds`` a list of ``host:container`` paths.
        A stop kills at once unless ``stop_signal`` says otherwise.
        """
        container = self.create(name, script, **options)
        self.client.start(container)
        return container

    def create(self, name: str, script: str, **options: Any) -> str:
        """Like :meth:`run`, without starting it."""
        restart = options.pop("restart", None)
        host_config = self.client.create_host_config(
            network_mode="none",
            restart_policy={"Name": restart} if restart else None,
            log_config=LogConfig(
                type=options.pop("log_driver", "json-file"), config=options.pop("log_options", {})
            ),
            auto_remove=options.pop("auto_remove", False),
            binds=options.pop("binds", None),
        )
        options.setdefault("stop_signal", "SIGKILL")
        created = self.client.create_container(
            IMAGE, ["/bin/sh", "-c", script], name=name, host_config=host_config, **options
        )
        return str(created["Id"])

    def say(self, name: str, script: str) -> None:
        """Run ``script`` in a running container, with its output in the container's log."""
        command = ["/bin/sh", "-c", f"{{ {script}\n}} >/proc/1/fd/1 2>/proc/1/fd/2"]
        execution = self.client.exec_create(name, command)["Id"]
        output = self.client.exec_start(execution)
        assert self.client.exec_inspect(execution)["ExitCode"] == 0, output

    def remove(self, name: str) -> None:
        """Remove a container, running or not, if it exists."""
        with contextlib.suppress(docker.errors.NotFound):
            self.client.remove_container(name, force=True, v=True)

    def lines(self, name: str) -> list[str]:
        """Return the whole log as ``docker logs`` prints it, without time stamps."""
        raw: bytes = self.client.logs(name, stdout=True, stderr=True, stream=False)
        return raw.decode().splitlines()

    def state(self, name: str) -> str:
        """Return ``running``, ``exited``, ... or ``missing``."""
        try:
            return str(self.client.inspect_container(name)["State"]["Status"])
        except docker.errors.NotFound:
            return "missing"

    # --------------------------------------------------------------- internals

    def _network(self) -> list[str]:
        """Return the command that runs another one in the engine's network namespace.

        The namespace is a file, so that both daemons find it at every start.
        ``ip netns exec`` would do the same, but hides the cgroups.
        """
        file = self.directory / "net"
        if not file.exists():
            file.touch()
            run("unshare", f"--net={file}", _busybox(), "ip", "link", "set", "lo", "up")
        return ["nsenter", f"--net={file}"]

    def _containerd_command(self) -> list[str]:
        configuration = self.directory / "containerd.toml"
        configuration.write_text(_CONTAINERD.format(directory=self.directory), "utf-8")
        return ["containerd", "--config", str(configuration)]

    def _dockerd_command(self) -> list[str]:
        directory = self.directory
        # Otherwise dockerd reads the machine's /etc/docker/daemon.json and writes a key next to it.
        settings = {"deprecated-key-path": f"{directory}/key.json"}
        (directory / "daemon.json").write_text(json.dumps(settings), "utf-8")
        command = ["dockerd", "--host", self.host, "--config-file", f"{directory}/daemon.json"]
        command += ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec"]
        command += ["--pidfile", f"{directory}/d.pid", "--containerd", f"{directory}/c.sock"]
        return [*command, "--live-restore", *self.flags]

    def _containerd_listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{self.directory}/c.sock") == 0

    def _await(self, daemon: Daemon, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``daemon`` is ready; EngineMissing if it ends or takes too long."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: ready() or not daemon.running, daemon.log.stem, seconds)
        if not ready():
            raise EngineMissing(f"{daemon.log.stem} does not answer:\n{daemon.tail()}")


def _busybox() -> Path:
    for name in _BUSYBOX:
        if Path(name).exists():
            return Path(name)
    raise EngineMissing("busybox is not installed (Debian: apt-get install busybox-static)")


def _root_file_system() -> bytes:
    """Return a tar archive with busybox, a link for each applet in use, and a /tmp."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(_busybox().resolve(), "bin/busybox")
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(scratch)
    return buffer.getvalue()
