"""The real service: ``mist up`` as a subprocess with a state of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import requests

from mist.paths import Paths
from tests.support.service.janitor import scratch
from tests.support.service.programs import KILL_SECONDS
from tests.support.wait import wait_until

#: The ``mist`` command of the environment that runs the tests.
MIST: Final = Path(sys.executable).with_name("mist")
ADMIN: Final = "admin@localhost"


def free_port() -> int:
    """Return a free TCP port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Service:
    """A ``mist up``; ``settings`` are ``{"section.key": value}`` in addition to the defaults.

    :meth:`destroy` removes ``runtime`` and ``home``. ``one_time_password`` is the first
    administrator's, taken from the output of ``mist up``.
    """

    def __init__(
        self, docker_host: str, settings: Mapping[str, object] | None = None, workers: int = 1
    ) -> None:
        self.directory = scratch("mist-")
        self.paths = Paths(self.directory / "home", self.directory / "run")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.one_time_password = ""
        self._password = ""
        self.workers = workers
        self.program = MIST
        self.environment = _environment(docker_host, self.paths, settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None, "the service is not started"
        return self._process.pid

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command that :meth:`start` runs."""
        bind = f"127.0.0.1:{self.port}"
        return (str(self.program), "up", "--bind", bind, "--workers", str(self.workers))

    @property
    def output(self) -> str:
        """Return the output of ``mist up`` so far, on both streams."""
        return (self.directory / "output").read_text("utf-8", "replace")

    # ------------------------------------------------------------- start, stop

    def start(self, seconds: float = 60.0, command: Sequence[str] = ()) -> None:
        """Start the service and wait until ``/readyz`` says that bus and store are reachable.

        ``command`` replaces ``mist up``.
        """
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command or self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._ready_or_ended, "mist up to be ready", seconds)
        assert self._process.poll() is None, f"mist up has ended:\n{self.output}"
        printed = re.search(r"password: (\S+)", self.output)
        self.one_time_password = printed[1] if printed else self.one_time_password

    def stop(self, seconds: float = 30.0) -> int:
        """Send SIGTERM, check that no process is left, and return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(seconds)
        left = self.processes()
        assert not left, f"left behind: {[process.cmdline() for process in left]}"
        return status

    def kill(self) -> None:
        """Kill the supervisor; the processes that depend on it have to end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(KILL_SECONDS)

    def destroy(self) -> None:
        """Stop the service if it is running, end what is left, and remove the state."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait(KILL_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Return every process of this service, found by the state in its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("MIST_HOME") == str(self.paths.home):
                    found.append(process)
        return found

    # ------------------------------------------------------------ user actions

    def mist(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the ``mist`` command with this state; it must succeed.

        ``options`` are passed to subprocess.run; ``check=False`` allows a failure.
        """
        check = bool(options.pop("check", True))
        options = {"timeout": 60, "capture_output": True, "text": True} | options
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            [self.program, *arguments], env=self.environment, check=False, **options
        )
        assert not check or done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"
        return done

    def add_app(self, name: str, container: str | None = None, *arguments: str) -> int:
        """Add an application and return its id."""
        target = ("--container", container) if container else ()
        self.mist("app", "add", name, *target, *arguments)
        apps: list[dict[str, Any]] = json.loads(self.mist("app", "list", "--json").stdout)
        return next(int(app["id"]) for app in apps if app["name"] == name)

    def add_user(self, email: str, password: str, *, admin: bool = False) -> None:
        """Add an account."""
        flags = ["--admin"] if admin else []
        self.mist("user", "add", email, *flags, "--password-stdin", input=f"{password}\n")

    @property
    def password(self) -> str:
        """The administrator's password, chosen at the first sign-in, which comes with its use."""
        if not self._password and self.one_time_password:
            new = f"{self.one_time_password} replaced"
            cookie = self.login(password=self.one_time_password)
            body = {"old_password": self.one_time_password, "new_password": new}
            answer = requests.post(
                f"{self.url}/api/auth/password", json=body, headers={"Cookie": cookie}, timeout=30
            )
            assert answer.status_code == 200, answer.text
            self._password = new
        return self._password

    @password.setter
    def password(self, password: str) -> None:
        self._password = password

    def login(self, email: str = ADMIN, password: str | None = None) -> str:
        """Log in as a browser does and return the ``Cookie`` header's value."""
        body = {"email": email, "password": self.password if password is None else password}
        answer = requests.post(f"{self.url}/api/auth/login", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return f"mist_token={answer.cookies['mist_token']}"

    def ws_url(self, route: str, **parameters: object) -> str:
        """Return a WebSocket URL, as in ``ws_url("container/logs", appId=1, tail=5)``."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"ws://127.0.0.1:{self.port}/ws/{route}" + (f"?{query}" if query else "")

    def status(self) -> list[dict[str, Any]]:
        """Return the supervisor's table, with a row for each process."""
        table = json.loads(self.mist("status", "--json").stdout)
        rows: list[dict[str, Any]] = table["processes"] if isinstance(table, dict) else table
        return rows

    def running(self, prefix: str) -> list[dict[str, Any]]:
        """Return the rows with a running process whose name starts with ``prefix``."""
        return [
            row for row in self.status() if row["process"].startswith(prefix) and row.get("pid")
        ]

    def answers(self, path: str) -> bool:
        """Return True if a request is answered with 200."""
        try:
            return requests.get(f"{self.url}{path}", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    # --------------------------------------------------------------- internals

    def _ready_or_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self.answers("/readyz")


def _environment(docker_host: str, paths: Paths, settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment with the service's settings instead of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIST_")}
    environment["MIST_HOME"] = str(paths.home)
    environment["MIST_RUNTIME"] = str(paths.runtime)
    environment["DOCKER_HOST"] = docker_host
    environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1,localhost"
    for name, value in settings.items():
        environment[f"MIST_{name.replace('.', '_').upper()}"] = str(value)
    return environment
