"""A private Docker Engine for the tests: own socket, own state, own containerd.

It has no network bridge and changes no firewall rule, so it disturbs nothing on
the machine, and ``--live-restore`` lets its containers outlive a restart of it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import docker
import psutil
from docker.types import LogConfig

IMAGE: Final = "mist-test/busybox:1"
_BUSYBOX: Final = ("/usr/bin/busybox", "/bin/busybox")
_APPLETS: Final = ("sh", "echo", "sleep", "seq", "cat", "printf", "date", "kill", "true", "false")
_FLAGS: Final = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--live-restore")


class EngineMissing(Exception):
    """This machine cannot run a private engine; the text says what it lacks."""


def require() -> None:
    """Raise EngineMissing unless root, ``dockerd``, ``containerd`` and busybox are there."""
    if os.geteuid() != 0:
        raise EngineMissing("a private Docker Engine needs root")
    for program in ("dockerd", "containerd", "runc"):
        if shutil.which(program) is None:
            raise EngineMissing(f"{program} is not installed (Debian: apt-get install docker.io)")
    _busybox()


def wait_until(
    condition: Callable[[], object], what: str, seconds: float = 30.0, every: float = 0.02
) -> None:
    """Poll until ``condition`` holds; AssertionError naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(every)


class PrivateEngine:
    """One ``dockerd`` with everything it owns below a directory of its own.

    ``host`` is what DOCKER_HOST wants.  ``client`` is a docker-py APIClient.
    """

    def __init__(self) -> None:
        # Below /tmp whatever TMPDIR says: the path of a Unix socket has 107 bytes at most.
        self.directory = Path(tempfile.mkdtemp(prefix="mist-eng-", dir="/tmp"))
        self.socket = self.directory / "d.sock"
        self.host = f"unix://{self.socket}"
        self.client = docker.APIClient(base_url=self.host, timeout=60, version="1.41")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the daemon has written."""
        return self.directory / "dockerd.log"

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._process is not None, "the engine is not started"
        return self._process.pid

    # ------------------------------------------------------------ the daemon

    def start(self, seconds: float = 90.0) -> None:
        """Start the daemon and wait until it answers; once more if the first start gives up."""
        deadline = time.monotonic() + seconds
        self._spawn()
        while not self.answers():
            assert self._process is not None
            if time.monotonic() > deadline:
                raise EngineMissing(f"dockerd does not answer:\n{self._log_tail()}")
            if self._process.poll() is not None:
                self._spawn()
            time.sleep(0.05)

    def stop(self, seconds: float = 30.0) -> None:
        """SIGTERM; containers live on."""
        self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """SIGKILL to the daemon and its containerd; containers live on.

        The daemon alone would do, but the next one waits 15 s for the containerd
        of the old one before it gives up and has to be started again.
        """
        self._end(signal.SIGKILL, 30.0)
        pid = int((self.directory / "exec/containerd/containerd.pid").read_text())
        with contextlib.suppress(psutil.NoSuchProcess):
            _end_all([psutil.Process(pid)])

    def restart(self) -> None:
        """What ``systemctl restart docker`` does, with live-restore."""
        self.stop()
        self.start()

    def answers(self) -> bool:
        """Whether the daemon answers a ping."""
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, OSError):
            return False
        except Exception as error:
            # requests and urllib3 each have a tree of exceptions for "nobody is there".
            if type(error).__module__.partition(".")[0] in {"requests", "urllib3"}:
                return False
            raise

    def destroy(self) -> None:
        """End everything that was started, and leave nothing behind, mounts included."""
        if self.answers():
            for container in self.client.containers(all=True, quiet=True):
                with contextlib.suppress(docker.errors.APIError):
                    self.client.remove_container(container["Id"], force=True, v=True)
        self.client.close()
        if self._process is not None:
            self.stop()
        _end_all(list(self._remains()))
        for mount in _mounts_below(self.directory):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -------------------------------------------------------- its containers

    def load_image(self) -> None:
        """Import the one image, made from the statically linked busybox of this machine."""
        repository, _, tag = IMAGE.partition(":")
        reply = self.client.import_image_from_data(_root_file_system(), repository, tag)
        assert "error" not in reply, reply

    def run(self, name: str, script: str, **options: Any) -> str:
        """Start a container that runs ``script`` in a shell, and return its id.

        ``options``: ``tty``, ``labels``, ``environment``, ``healthcheck`` and
        ``stop_signal`` as for ``docker create``; ``restart`` is the name of a
        restart policy, ``log_options`` those of the json-file driver,
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
            log_config=LogConfig(type="json-file", config=options.pop("log_options", {})),
            auto_remove=options.pop("auto_remove", False),
            binds=options.pop("binds", None),
        )
        options.setdefault("stop_signal", "SIGKILL")
        created = self.client.create_container(
            IMAGE, ["/bin/sh", "-c", script], name=name, host_config=host_config, **options
        )
        return str(created["Id"])

    def say(self, name: str, script: str) -> None:
        """Run ``script`` in a running container with its output going to the container's log."""
        command = ["/bin/sh", "-c", f"{{ {script}\n}} >/proc/1/fd/1 2>/proc/1/fd/2"]
        execution = self.client.exec_create(name, command)["Id"]
        output = self.client.exec_start(execution)
        assert self.client.exec_inspect(execution)["ExitCode"] == 0, output

    def remove(self, name: str) -> None:
        """Remove a container, running or not, if there is one."""
        with contextlib.suppress(docker.errors.NotFound):
            self.client.remove_container(name, force=True, v=True)

    def lines(self, name: str) -> list[str]:
        """The whole log as ``docker logs`` has it, without time stamps."""
        raw: bytes = self.client.logs(name, stdout=True, stderr=True, stream=False)
        return raw.decode().splitlines()

    def state(self, name: str) -> str:
        """``running``, ``exited``, ... or ``missing``."""
        try:
            return str(self.client.inspect_container(name)["State"]["Status"])
        except docker.errors.NotFound:
            return "missing"

    # ---------------------------------------------------------------- within

    def _spawn(self) -> None:
        directory = self.directory
        command = ["dockerd", "--host", self.host, "--data-root", f"{directory}/data"]
        command += ["--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/d.pid", *_FLAGS]
        # A daemon that was killed leaves its pid file, and refuses to start
        # when another process has come to that number since.
        (directory / "d.pid").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _end(self, signal_number: signal.Signals, seconds: float) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal_number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _remains(self) -> Iterator[psutil.Process]:
        """The containerd and the shims, which name our directory on their command lines.

        What runs inside a container does not, but is a child of its shim.
        """
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # With a slash, for another engine's directory may begin with ours.
                if any(f"{self.directory}/" in argument for argument in process.cmdline()):
                    yield process
                    yield from process.children(recursive=True)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:])


def _busybox() -> Path:
    for name in _BUSYBOX:
        if Path(name).exists():
            return Path(name)
    raise EngineMissing("busybox is not installed (Debian: apt-get install busybox-static)")


def _root_file_system() -> bytes:
    """A tar archive with busybox, a link for each applet in use, and a /tmp."""
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


def _end_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def _mounts_below(directory: Path) -> list[str]:
    """Mount points below ``directory``, the innermost first (proc(5), mountinfo)."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    return sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True)
