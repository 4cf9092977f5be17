"""The real gunicorn master and workers: starting, failing to start, crashing and reloading."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from mist.accounts.secret import load_or_create
from mist.errors import Exit
from mist.paths import Paths
from mist.settings import Settings
from mist.store import open_store
from tests.support.processes import has_ended
from tests.support.service.programs import KILL_SECONDS
from tests.support.service.service import free_port
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "etc" / "gunicorn.conf.py"

#: Fast enough for a test, with room for a slow start.
QUICK = {
    "MIST_SERVER_START_SECONDS": "8",
    "MIST_SUPERVISOR_BACKOFF_SECONDS": "0.05",
    "MIST_SUPERVISOR_BACKOFF_LIMIT_SECONDS": "0.2",
    "MIST_SUPERVISOR_CRASH_LIMIT": "5",
}


class Web:
    """Run ``python -m api.server.serve`` as systemd does, with a manager that listens."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "home", folder / "run")
        self.settings = folder / "mist.toml"
        self.plan = folder / "plan"
        self.port = free_port()
        self.arguments: tuple[str, ...] = ("-c", str(CONFIGURATION))
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("MIST_")},
            **QUICK,
            "MIST_CONFIG": str(self.settings),
            "MIST_HOME": str(self.paths.home),
            "MIST_RUNTIME": str(self.paths.runtime),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "BOOT_PLAN": str(self.plan),
        }
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._manager.bind(self.environment["NOTIFY_SOCKET"])
        self._told = ""
        self.configure()

    def configure(self, text: str = "", **server: object) -> None:
        """Write the settings, with ``text`` as the rest of the file."""
        lines = [f'bind = "127.0.0.1:{self.port}"', *(f"{k} = {v}" for k, v in server.items())]
        self.settings.write_text("\n".join(["[server]", *lines, text, ""]))

    def follow(self, *steps: str) -> None:
        """Make the next workers start as these steps of ``boot_app`` say."""
        self.plan.write_text("\n".join(steps))
        self.arguments = ("-c", str(CONFIGURATION), "tests.support.boot_app:app")
        self.environment["PYTHONPATH"] = str(ROOT)

    def install(self) -> None:
        """Create what the supervisor creates: the store, the secret, and the socket directory."""
        self.paths.runtime.mkdir(parents=True)
        store = open_store(Settings(), self.paths)
        store.migrate()
        store.close()
        load_or_create(self.paths)

    def break_module(self, folder: Path, name: str, text: str) -> None:
        """Replace a library's module."""
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        self.environment["PYTHONPATH"] = str(folder)

    def start(self) -> None:
        """Start the web tier without waiting."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "api.server.serve", *self.arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self) -> int:
        """Start the web tier and return its exit status."""
        self.start()
        return self.wait()

    def wait(self) -> int:
        """Wait for the web tier to end and return its exit status."""
        return self.process.wait(60)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The master process."""
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        """Return all output so far."""
        return self._output.read_text()

    @property
    def said(self) -> list[str]:
        """Return the output without log lines."""
        return [line for line in self.output.splitlines() if line.startswith("mist: ")]

    @property
    def told(self) -> str:
        """Return the notifications that the manager has received."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._told += self._manager.recv(65536).decode() + "\n"
        return self._told

    def workers(self) -> set[int]:
        """Return the process ids of the workers."""
        children = psutil.Process(self.process.pid).children()
        return {child.pid for child in children if not has_ended(child)}

    def answering(self) -> int | None:
        """Return the worker that answers, or None."""
        with contextlib.suppress(requests.RequestException):
            return int(requests.get(f"http://127.0.0.1:{self.port}/", timeout=5).text)
        return None

    def await_ready(self) -> None:
        """Wait until the manager has been told that the web tier is ready."""
        wait_until(lambda: "READY=1" in self.told or self._ended(), "READY=1", 40)
        assert not self._ended(), self.output

    def await_output(self, pattern: str, times: int = 1) -> None:
        """Wait until the output contains the text."""
        wait_until(
            lambda: len(re.findall(pattern, self.output)) >= times or self._ended(), pattern, 40
        )
        assert len(re.findall(pattern, self.output)) >= times, self.output

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def destroy(self) -> None:
        """Kill the master and its workers."""
        self._manager.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(KILL_SECONDS)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web tier that has not been started."""
    web = Web(tmp_path)
    yield web
    web.destroy()


def await_another(web: Web, worker: int) -> None:
    """Wait until a worker other than this one answers."""
    wait_until(lambda: web.answering() not in (None, worker), "another worker", 20)


# Ready


def test_it_is_ready_when_a_worker_serves(web: Web, tmp_path: Path) -> None:
    """The web tier is ready once its first worker serves, not when the socket is bound."""
    gate = tmp_path / "gate"
    web.configure(workers=3)
    web.follow(str(gate))
    web.start()
    web.await_output("Booting worker")
    wait_until(lambda: not web.plan.read_text(), "the worker to be on its way")
    assert "READY" not in web.told
    assert len(web.workers()) == 1, "the first one goes ahead"
    gate.touch()
    web.await_ready()
    assert web.answering()
    wait_until(lambda: "STATUS=3 of 3 workers serve" in web.told, "all of them", 20)
    assert web.told.count("READY=1") == 1


def test_it_ends_when_it_is_asked_to(web: Web) -> None:
    """SIGTERM ends the web tier with status 0, even while it is still trying to start."""
    web.follow("hangs")
    web.start()
    web.await_output("Booting worker")
    web.process.terminate()
    assert web.wait() == 0
    assert web.said == []


# Failed starts


@pytest.mark.parametrize("text", ["raise ImportError('gone')", "a syntax error", "import nowhere"])
@pytest.mark.parametrize("module", ["falcon", "packaging", "gunicorn", "jwt"])
def test_a_module_that_cannot_be_imported(web: Web, tmp_path: Path, module: str, text: str) -> None:
    """A failing import in the application, the configuration or the program is reported once."""
    web.install()
    web.break_module(tmp_path / "broken", module, text)
    assert web.run() == Exit.SOFTWARE
    (said,) = web.said
    assert "cannot be loaded" in said
    assert "reinstall Mist" in said
    assert web.output.splitlines()[-1] == said
    assert "Traceback" not in web.output
    assert web.output.count("Booting worker") <= 1
    assert "READY" not in web.told
    assert "STOPPING=1\nSTATUS=" in web.told


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[server", "not a TOML file"),
        ("[server]\nworkers = 'many'", "server.workers"),
        ("[server]\nbind = 'nonsense'", "'nonsense' is not HOST:PORT"),
        ("[server]\nbind = '127.0.0.1:x'", "the port must be a number from 1 to 65535, not x"),
        ("[nonsense]\nkey = 1", "nonsense"),
    ],
)
def test_wrong_settings(web: Web, settings: str, words: str) -> None:
    """The message names the key, and no worker is started."""
    web.settings.write_text(settings)
    assert web.run() == Exit.BAD_CONFIG
    (said,) = web.said
    assert words in said
    assert "Traceback" not in web.output
    assert "Booting worker" not in web.output


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("workers =", "line 1: SyntaxError"),
        ("\nworkers = nothing", "line 2: NameError: name 'nothing' is not defined"),
        ("wsgi_app = 'api.main:build()'\nworkers = 'many'", "gunicorn.conf.py: workers: "),
        ("wsgi_app = 'api.main:build()'\nworker_class = 'sync'", "api.worker.MistWorker"),
        ("wsgi_app = 'api.main:build()'\nworker_class = 'no.such.Class'", "no.such.Class"),
        (
            "wsgi_app = 'api.main:build()'\nworker_class = 'api.worker.MistWorker'\n"
            "certfile = keyfile = '/dev/null'",
            "reverse proxy",
        ),
        (None, "No such file"),
    ],
)
def test_a_wrong_configuration_of_gunicorn(
    web: Web, tmp_path: Path, configuration: str | None, words: str
) -> None:
    """The message names the mistake in the operator's file and its place."""
    file = tmp_path / "gunicorn.conf.py"
    if configuration is not None:
        file.write_text(configuration)
    web.arguments = ("-c", str(file))
    web.environment["MIST_SERVER_BIND"] = f"127.0.0.1:{web.port}"
    assert web.run() == Exit.BAD_CONFIG
    (said,) = web.said
    assert words in said
    assert "Traceback" not in web.output


def test_a_configuration_of_an_older_version(web: Web, tmp_path: Path) -> None:
    """The configuration file of an older installation still works."""
    file = tmp_path / "gunicorn.conf.py"
    hooks = (
        "from api.worker import note_reload, release\n"
        "def on_reload(_arbiter):\n    note_reload()\n"
        "def child_exit(_arbiter, worker):\n    release(worker.age)\n"
    )
    file.write_text(CONFIGURATION.read_text() + hooks)
    web.follow()
    web.arguments = ("-c", str(file), web.arguments[-1])
    web.start()
    web.await_ready()
    before = web.workers()
    web.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not web.workers() & before, "new workers", 20)


def test_a_port_in_use(web: Web) -> None:
    """The message names the port and says what to do."""
    with socket.create_server(("127.0.0.1", web.port)):
        assert web.run() == Exit.UNAVAILABLE
    (said,) = web.said
    assert f"port {web.port} is in use" in said
    assert "READY" not in web.told


@pytest.mark.parametrize("secret", ["short", "x" * 64])
def test_a_secret_that_cannot_be_used(web: Web, secret: str) -> None:
    """A secret that is too short or readable by every user is reported without a retry."""
    web.install()
    web.paths.secret.write_text(secret)
    web.paths.secret.chmod(0o604)
    assert web.run() == Exit.BAD_CONFIG
    (said,) = web.said
    assert str(web.paths.secret) in said
    assert "Traceback" not in web.output
    assert web.output.count("Booting worker") == 1


Damage = Callable[[Path], None]


def _missing(database: Path) -> None:
    database.unlink()


def _of_another_version(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def _unreadable(database: Path) -> None:
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(b"this is not a database" * 1000)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_missing, "does not exist"),
        (_of_another_version, "has schema version 9999"),
        (_unreadable, "not an SQLite database"),
    ],
)
def test_a_store_that_cannot_be_used(web: Web, damage: Damage, words: str) -> None:
    """An unusable store is retried for a while, and the service then ends with the reason."""
    web.install()
    damage(web.paths.database)
    web.environment["MIST_SERVER_START_SECONDS"] = "2"
    assert web.run() == Exit.UNAVAILABLE
    (said,) = web.said
    assert words in said
    assert "Traceback" not in web.output
    assert 1 < web.output.count("Booting worker") < 20
    assert web.paths.database.exists() == (damage is not _missing), "only the supervisor makes it"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("killed", "a worker ended during its start: killed by SIGKILL"),
        ("exits", "a worker ended during its start: exit status 7"),
        ("bug", "RuntimeError: a bug in the start"),
        ("store", "the store is away"),
    ],
)
def test_workers_that_end_while_they_start(web: Web, step: str, words: str) -> None:
    """Workers that end while they start are retried a few times, with growing pauses."""
    web.follow(*[step] * 50)
    started = time.monotonic()
    status = web.run()
    assert status == (Exit.UNAVAILABLE if step == "store" else Exit.FAILURE)
    (said,) = web.said
    assert said.startswith("mist: the web tier cannot start (5 workers failed): ")
    assert words in said
    assert web.output.count("Booting worker") == 5
    assert web.output.count("Traceback") == (step == "bug"), "a bug is shown once"
    assert time.monotonic() - started > 0.05 + 0.1 + 0.2 + 0.2, "it has waited in between"


def test_a_worker_that_hangs_while_it_starts(web: Web) -> None:
    """A hanging worker is killed, and the message says what to do."""
    web.environment["MIST_SERVER_START_SECONDS"] = "1"
    web.follow("hangs")
    assert web.run() == Exit.FAILURE
    (said,) = web.said
    assert "did not serve within 1 s" in said
    assert "server.start_seconds" in said


def test_a_start_may_fail_at_first(web: Web) -> None:
    """The web tier starts normally once the cause of a failed start is gone."""
    web.follow("killed", "store", "bug", "")
    web.start()
    web.await_ready()
    assert web.answering()
    assert web.said == []


# One of several workers


def test_one_of_several_workers_that_cannot_start(web: Web) -> None:
    """The other workers serve; the failing one is retried with pauses, without a limit."""
    web.configure(workers=2)
    web.follow("", *["settings", "killed", "hangs"] * 4)
    web.environment["MIST_SERVER_START_SECONDS"] = "1.5"
    web.start()
    web.await_ready()
    first = web.answering()
    wait_until(lambda: "STATUS=2 of 2 workers serve" in web.told, "the second one", 40)
    assert first in web.workers()
    assert web.told.count("READY=1") == 1


# Crashes


def test_a_worker_that_crashes_is_replaced(web: Web) -> None:
    """A worker that has served and is killed does not count as a failed start."""
    web.follow()
    web.start()
    web.await_ready()
    for times in range(1, 4):
        (worker,) = web.workers()
        os.kill(worker, signal.SIGKILL)
        web.await_output("web_worker_ended", times)
        await_another(web, worker)
    assert "a worker crashed: killed by SIGKILL" in web.output
    assert web.told.count("READY=1") == 1


def test_a_worker_that_crashes_all_the_time(web: Web) -> None:
    """The service ends with the reason, like any other process that keeps crashing."""
    web.follow()
    web.start()
    web.await_ready()

    def crashed() -> bool:
        for worker in web.workers() if web.answering() else ():
            os.kill(worker, signal.SIGKILL)
        return web.process.poll() is not None

    wait_until(crashed, "the web tier to give up", 90)
    assert web.wait() == Exit.FAILURE
    (said,) = web.said
    assert said.startswith("mist: the web tier has ended (5 workers failed): a worker crashed")


def test_a_worker_that_does_not_come_back(web: Web) -> None:
    """The service ends if a worker that has served can no longer be started."""
    web.follow("", "settings")
    web.start()
    web.await_ready()
    os.kill(web.workers().pop(), signal.SIGKILL)
    assert web.wait() == Exit.BAD_CONFIG
    (said,) = web.said
    assert said == "mist: the web tier has ended (2 workers failed): server.bind: a wrong value"


def test_a_worker_that_is_asked_to_end_is_replaced_at_once(web: Web) -> None:
    """A worker that an operator terminates is replaced at once and does not count as a crash."""
    web.follow()
    web.start()
    web.await_ready()
    (worker,) = web.workers()
    os.kill(worker, signal.SIGTERM)
    await_another(web, worker)
    assert "web_worker_ended" not in web.output


# Reloads


def test_a_reload_replaces_workers_that_serve(web: Web, tmp_path: Path) -> None:
    """The old workers serve until a new one does."""
    gate = tmp_path / "gate"
    web.configure(workers=2)
    web.follow("", "", str(gate))
    web.start()
    wait_until(lambda: "STATUS=2 of 2 workers serve" in web.told, "both", 20)
    before = web.workers()
    web.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(web.workers()) == 3, "the first new one", 20)
    assert before < web.workers()
    assert web.answering() in before
    gate.touch()
    wait_until(lambda: len(web.workers()) == 2 and not web.workers() & before, "new ones", 20)
    assert web.answering() in web.workers()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense = 1", "mist.toml: .*`nonsense`"),
        ("workers = 'many'", "mist.toml: .*server.workers"),
        ("[", "mist.toml: not a TOML file"),
        ("bind = 'nonsense'", "'nonsense' is not HOST:PORT"),
    ],
)
def test_a_reload_with_wrong_settings_changes_nothing(web: Web, text: str, words: str) -> None:
    """The old workers keep serving, the log has the reason, and a later reload can succeed."""
    web.follow()
    web.start()
    web.await_ready()
    before = web.workers()
    web.settings.write_text(f"[server]\n{text}\n")
    web.process.send_signal(signal.SIGHUP)
    web.await_output(f"reload_failed.*{words}")
    wait_until(lambda: "the last reload failed: " in web.told, "the manager to be told", 20)
    assert web.workers() == before
    assert web.answering() in before
    web.configure(workers=2)
    web.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(web.workers()) == 2 and not web.workers() & before, "new ones", 20)
    assert "Traceback" not in web.output


def test_a_reload_to_an_address_that_is_taken(web: Web) -> None:
    """A reload to a port in use changes nothing; a reload to a free port moves the address."""
    web.follow()
    web.start()
    web.await_ready()
    (before,) = web.workers()
    old, taken = web.port, free_port()
    with socket.create_server(("127.0.0.1", taken)):
        web.port = taken
        web.configure()
        web.process.send_signal(signal.SIGHUP)
        web.await_output(f"reload_failed.*port {taken} is in use")
    web.port = old
    assert web.answering() == before
    web.port = free_port()
    web.configure()
    web.process.send_signal(signal.SIGHUP)
    wait_until(lambda: web.answering() not in (None, before), "the new address", 20)


@pytest.mark.parametrize("step", ["settings", "bug", "killed", "hangs"])
def test_a_reload_whose_workers_cannot_start(web: Web, step: str) -> None:
    """All old workers keep serving, and a later reload works as usual."""
    web.configure(workers=2)
    web.environment["MIST_SERVER_START_SECONDS"] = "1.5"
    web.follow()
    web.start()
    wait_until(lambda: "STATUS=2 of 2 workers serve" in web.told, "both", 20)
    before = web.workers()
    web.plan.write_text("\n".join([step] * 50))
    web.configure(workers=3)
    web.process.send_signal(signal.SIGHUP)
    web.await_output("reload_failed")
    wait_until(lambda: web.workers() == before, "the old ones alone", 20)
    web.plan.write_text("")
    web.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(web.workers()) == 3 and not web.workers() & before, "new ones", 20)
    assert web.process.poll() is None


def test_a_reload_starts_what_could_not_be_started(web: Web) -> None:
    """A reload does not wait for the end of a pause to start a failed worker."""
    web.environment |= {
        "MIST_SUPERVISOR_BACKOFF_SECONDS": "60",
        "MIST_SUPERVISOR_BACKOFF_LIMIT_SECONDS": "60",
        "MIST_SERVER_START_SECONDS": "600",
    }
    web.follow("store", "")
    web.start()
    web.await_output("web_worker_ended")
    web.process.send_signal(signal.SIGHUP)
    web.await_ready()
