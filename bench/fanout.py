"""The fan-out alone: a real broker and real gunicorn workers, without collectors.

For the rows whose lines the bench itself publishes.  State and sockets are in a
temporary directory; the store holds an application, a running deployment of it, and an
account.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from bench import processes
from bench.load.handshake import Address
from bench.processes import BenchError, Peer
from mist import settings as mist_settings
from mist.accounts import tokens
from mist.accounts.secret import load_or_create
from mist.paths import Paths, bundled
from mist.process import Assignment
from mist.settings import Settings
from mist.store import open_store
from tests.support.service.janitor import scratch
from tests.support.service.service import free_port

APP: Final = 1
DEPLOYMENT: Final = 1
_EMAIL: Final = "bench@localhost"
_READY_SECONDS: Final = 60.0


class Fanout:
    """A broker, gunicorn with ``workers`` workers, one application and one session."""

    def __init__(self, workers: int = 1, settings: Mapping[str, object] | None = None) -> None:
        self._directory = scratch("mist-bench-")
        self.paths = Paths(self._directory / "home", self._directory / "run")
        self.port = free_port()  # so that a service on this machine is not disturbed
        self._environment = self._environ({"server.workers": workers, **(settings or {})})
        self.settings: Settings = mist_settings.load_settings(self._environment)
        self._broker: Peer | None = None
        self._web: subprocess.Popen[bytes] | None = None
        self._cookie = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # __exit__ is not called if __enter__ raises
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The pids of the broker, gunicorn's master and its workers."""
        assert self._broker is not None
        assert self._web is not None
        return [self._broker.pid, *processes.tree(self._web.pid)]

    @property
    def cpu(self) -> float:
        """The CPU seconds that they have used so far."""
        return processes.cpu_seconds(self.pids)

    @property
    def broker_cpu(self) -> float:
        """The CPU seconds of the broker alone."""
        assert self._broker is not None
        return self._broker.cpu

    def address(self, query: str = "") -> Address:
        """Return the address of the application's log."""
        return self._address(f"/ws/container/logs?appId={APP}{query}")

    def deployment(self) -> Address:
        """Return the address of the deployment's log."""
        return self._address(f"/ws/deployment/logs?deploymentId={DEPLOYMENT}")

    def _address(self, path: str) -> Address:
        return Address("127.0.0.1", self.port, path, self._cookie)

    def close(self) -> None:
        """Stop both, and remove the state."""
        if self._web is not None:
            self._web.send_signal(signal.SIGTERM)
            try:
                self._web.wait(20)
            except subprocess.TimeoutExpired:
                # The workers, too: they would outlive a killed master.
                for pid in reversed(processes.tree(self._web.pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._web.wait(20)
        if self._broker is not None:
            self._broker.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        for directory in self.paths:
            directory.mkdir(mode=0o700)
        self._cookie = self._fill_store()
        self._broker = Peer(_broker, self.settings, self.paths)
        # The same command as in the systemd unit.
        command = [sys.executable, "-m", "api.server.serve", "-c", str(bundled("gunicorn.conf.py"))]
        self._log = self._directory / "gunicorn.log"
        with self._log.open("wb") as log:
            self._web = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def _fill_store(self) -> str:
        """Create the rows that the bench publishes for; return the session of an administrator."""
        store = open_store(self.settings, self.paths)
        try:
            store.migrate()
            app = store.apps.add("bench", container="bench")
            deployment = store.deployments.create(app.id, _EMAIL)
            # Otherwise the viewers would see a deployment that waits in the queue.
            store.deployments.update(deployment.id, status="building")
            # A token needs no log-in, so the hash is never checked.
            user = store.users.add(_EMAIL, "no password", "admin")
            installation = store.installation
        finally:
            store.close()
        secret = load_or_create(self.paths)
        return tokens.issue(secret, installation, user, self.settings.auth.session_hours).text

    def _wait_until_ready(self) -> None:
        assert self._web is not None
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._web.poll() is not None or time.monotonic() > deadline:  # ended, or hangs
                raise BenchError(f"gunicorn is not ready:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without a proxy
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _environ(self, overrides: Mapping[str, object]) -> dict[str, str]:
        # The caller's own settings must not change what is measured.
        environment = {key: value for key, value in os.environ.items() if key[:5] != "MIST_"}
        environment["MIST_HOME"] = str(self.paths.home)
        environment["MIST_RUNTIME"] = str(self.paths.runtime)
        environment["MIST_SERVER_BIND"] = f"127.0.0.1:{self.port}"
        for name, value in overrides.items():
            environment[f"MIST_{name.replace('.', '_').upper()}"] = str(value)
        return environment


def _broker(pipe: Connection[Any, Any], settings: Settings, paths: Paths) -> None:
    """Run the broker until the bench closes its pipe."""
    from bus.broker.main import main  # noqa: PLC0415 - only in the child

    main(Assignment("broker", 0, time.time_ns(), False), settings, paths, pipe)
