"""The web tier when it starts, cannot start, crashes, and reloads: the real master and workers."""

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
from tests.support.service.programs import KILL_SECONDS
from tests.support.service.service import free_port
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "etc" / "gunicorn.conf.py"

#: Quick enough for a test, with room for a start that is slow.
QUICK = {
    "MIST_SERVER_START_SECONDS": "8",
    "MIST_SUPERVISOR_BACKOFF_SECONDS": "0.05",
    "MIST_SUPERVISOR_BACKOFF_LIMIT_SECONDS": "0.2",
    "MIST_SUPERVISOR_CRASH_LIMIT": "5",
}


class Web:
    """``python -m api.server.serve`` as systemd runs it, with a manager that listens."""

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
        """Write the settings; ``text`` is what else is in the file."""
        lines = [f'bind = "127.0.0.1:{self.port}"', *(f"{k} = {v}" for k, v in server.items())]
        self.settings.write_text("\n".join(["[server]", *lines, text, ""]))

    def follow(self, *steps: str) -> None:
        """Have the next workers start as the steps of ``boot_app`` say."""
        self.plan.write_text("\n".join(steps))
        self.arguments = ("-c", str(CONFIGURATION), "tests.support.boot_app:app")
        self.environment["PYTHONPATH"] = str(ROOT)

    def install(self) -> None:
        """Make what the supervisor makes: the store, the secret, and the directory of sockets."""
        self.paths.runtime.mkdir(parents=True)
        store = open_store(Settings(), self.paths)
        store.migrate()
        store.close()
        load_or_create(self.paths)

    def break_module(self, folder: Path, name: str, text: str) -> None:
        """Put another module in a library's place."""
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        self.environment["PYTHONPATH"] = str(folder)

    def start(self) -> None:
        """Start it, and return at once."""
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
        """Start it, and return how it has ended."""
        self.start()
        return self.wait()

    def wait(self) -> int:
        """Return how it ends."""
        return self.process.wait(60)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The master."""
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        """Everything it has said."""
        return self._output.read_text()

    @property
    def said(self) -> list[str]:
        """What it has said for a person, which is no line of a log."""
        return [line for line in self.output.splitlines() if line.startswith("mist: ")]

    @property
    def told(self) -> str:
        """What the manager has heard."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._told += self._manager.recv(65536).decode() + "\n"
        return self._told

    def workers(self) -> set[int]:
        """The process ids of the workers."""
        children = psutil.Process(self.process.pid).children()
        return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}

    def answering(self) -> int | None:
        """The worker that answers, if one does."""
        with contextlib.suppress(requests.RequestException):
            return int(requests.get(f"http://127.0.0.1:{self.port}/", timeout=5).text)
        return None

    def await_ready(self) -> None:
        """Wait until the manager knows that it is up."""
        wait_until(lambda: "READY=1" in self.told or self._ended(), "READY=1", 40)
        assert not self._ended(), self.output

    def await_output(self, pattern: str, times: int = 1) -> None:
        """Wait until it has said so."""
        wait_until(
            lambda: len(re.findall(pattern, self.output)) >= times or self._ended(), pattern, 40
        )
        assert len(re.findall(pattern, self.output)) >= times, self.output

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def destroy(self) -> None:
        """End it and its workers."""
        self._manager.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(KILL_SECONDS)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web tier that is not started yet."""
    web = Web(tmp_path)
    yield web
    web.destroy()


def await_another(web: Web, worker: int) -> None:
    """Wait until another worker than this one answers."""
    wait_until(lambda: web.answering() not in (None, worker), "another worker", 20)


# Ready


def test_it_is_ready_when_a_worker_serves(web: Web, tmp_path: Path) -> None:
    """And not when its socket is bound; one worker is enough."""
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
    """With status 0, also while it only tries to start."""
    web.follow("hangs")
    web.start()
    web.await_output("Booting worker")
    web.process.terminate()
    assert web.wait() == 0
    assert web.said == []


# It cannot start


@pytest.mark.parametrize("text", ["raise ImportError('gone')", "a syntax error", "import nowhere"])
@pytest.mark.parametrize("module", ["falcon", "packaging", "gunicorn", "jwt"])
def test_a_module_that_cannot_be_imported(web: Web, tmp_path: Path, module: str, text: str) -> None:
    """Of the application, of the configuration, or of the program itself: it is said once."""
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
    """The text names the key, and no worker is started."""
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
    """A file that an operator has changed is said to be wrong, and where."""
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
    """An installation keeps the file that it has."""
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
    """The text names the port and says what to do."""
    with socket.create_server(("127.0.0.1", web.port)):
        assert web.run() == Exit.UNAVAILABLE
    (said,) = web.said
    assert f"port {web.port} is in use" in said
    assert "READY" not in web.told


@pytest.mark.parametrize("secret", ["short", "x" * 64])
def test_a_secret_that_cannot_be_used(web: Web, secret: str) -> None:
    """Too short, or for everybody to read: nothing is tried twice."""
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
    """It is tried for a while, since the store may be on its way, and then it is said."""
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
    """They are tried with growing pauses, a bounded number of times."""
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
    """It is killed, and the text says what may be done."""
    web.environment["MIST_SERVER_START_SECONDS"] = "1"
    web.follow("hangs")
    assert web.run() == Exit.FAILURE
    (said,) = web.said
    assert "does not serve within 1 s" in said
    assert "server.start_seconds" in said


def test_a_start_may_fail_at_first(web: Web) -> None:
    """What was wrong has gone, and so has the failure."""
    web.follow("killed", "store", "bug", "")
    web.start()
    web.await_ready()
    assert web.answering()
    assert web.said == []


# One of several


def test_one_of_several_workers_that_cannot_start(web: Web) -> None:
    """The others serve, and it is tried again with pauses, however often it fails."""
    web.configure(workers=2)
    web.follow("", *["settings", "killed", "hangs"] * 4)
    web.environment["MIST_SERVER_START_SECONDS"] = "1.5"
    web.start()
    web.await_ready()
    first = web.answering()
    wait_until(lambda: "STATUS=2 of 2 workers serve" in web.told, "the second one", 40)
    assert first in web.workers()
    assert web.told.count("READY=1") == 1


# It crashes


def test_a_worker_that_crashes_is_replaced(web: Web) -> None:
    """One that has served and is killed is no failure to start."""
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
    """The service ends, with the reason, as any other process that does so."""
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
    """It has served, and now it cannot be started."""
    web.follow("", "settings")
    web.start()
    web.await_ready()
    os.kill(web.workers().pop(), signal.SIGKILL)
    assert web.wait() == Exit.BAD_CONFIG
    (said,) = web.said
    assert said == "mist: the web tier has ended (2 workers failed): server.bind: a wrong value"


def test_a_worker_that_is_asked_to_end_is_replaced_at_once(web: Web) -> None:
    """Which an operator may do; nothing has crashed."""
    web.follow()
    web.start()
    web.await_ready()
    (worker,) = web.workers()
    os.kill(worker, signal.SIGTERM)
    await_another(web, worker)
    assert "web_worker_ended" not in web.output


# It reloads


def test_a_reload_replaces_workers_that_serve(web: Web, tmp_path: Path) -> None:
    """The old ones go on until a new one serves."""
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
    """The workers that serve go on, the log says why, and the next reload may be right."""
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
    """It goes on where it is; and one that is free is moved to."""
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
    """The old ones go on, as many as they were, and the next reload is as any other."""
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
    """What was wrong is right now: nothing waits for the end of a pause."""
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
