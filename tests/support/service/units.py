"""The service as two units, the supervisor and the web tier, with a keeper that restarts them.

Under systemd each of them can end and come back while the other keeps running, which
``mist up`` cannot show: its web tier ends with its supervisor.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from mist.paths import bundled
from tests.support.service.service import ADMIN, Service
from tests.support.wait import wait_until

#: The delay before a unit is started again, as in the units of ``etc/systemd``.
RESTART_SECONDS: Final = 0.2
_END_SECONDS: Final = 30.0


class Unit:
    """A program that is started again whenever it ends, until it is stopped."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path
    ) -> None:
        self.restart_seconds = RESTART_SECONDS
        self._command = command
        self._environment = environment
        self._output = output
        self._stopped = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=command[0], daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The id of the present process."""
        return self._process.pid

    def stop(self) -> None:
        """End the program for good."""
        self._stopped.set()
        # A program that a test has stopped would not see SIGTERM.
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
        self._thread.join(_END_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(_END_SECONDS)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._output.open("ab") as output:
            return subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if self._stopped.wait(self.restart_seconds):
                return
            self._process = self._start()


class Units(Service):
    """A service whose supervisor and web tier are started, and fail, separately."""

    def __init__(
        self, docker_host: str, settings: Mapping[str, object] | None = None, workers: int = 1
    ) -> None:
        super().__init__(docker_host, settings, workers)
        bind = {"MIST_SERVER_BIND": f"127.0.0.1:{self.port}", "MIST_SERVER_WORKERS": str(workers)}
        self.environment |= bind
        self._units: dict[str, Unit] = {}

    def start(self, seconds: float = 60.0, command: Sequence[str] = ()) -> None:
        """Start both units and wait until the web tier is ready; add the administrator."""
        assert not command, "the units have commands of their own"
        web = (sys.executable, "-P", "-m", "api.server.serve")
        configuration = ("--config", str(bundled("gunicorn.conf.py")))
        output = self.directory / "output"
        self._units["supervisor"] = Unit(
            (str(self.program), "supervisor"), self.environment, output
        )
        # The web tier expects a store that the supervisor has migrated.
        wait_until(lambda: self.mist("status", check=False).returncode == 0, "the supervisor")
        self._units["gunicorn"] = Unit((*web, *configuration), self.environment, output)
        wait_until(lambda: self.answers("/readyz"), f"the web tier: {self.output}", seconds)
        if not self.password:
            self.password = "a long pass phrase"
            self.add_user(ADMIN, self.password, admin=True)

    def unit(self, name: str) -> Unit:
        """Return the unit ``supervisor`` or ``gunicorn``."""
        return self._units[name]

    def web_workers(self) -> list[psutil.Process]:
        """Return gunicorn's workers."""
        return psutil.Process(self.unit("gunicorn").pid).children()

    def stop(self, seconds: float = 30.0) -> int:
        """Stop both units, the web tier first, and check that no process is left."""
        for name in ("gunicorn", "supervisor"):
            if name in self._units:
                self._units.pop(name).stop()
        left = self.processes()
        assert not left, f"left behind: {[process.cmdline() for process in left]}"
        return 0

    def destroy(self) -> None:
        """Stop both units, end what is left, and remove the state."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        with contextlib.suppress(AssertionError):
            self.stop()
        super().destroy()
