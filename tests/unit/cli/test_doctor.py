"""Tests of what the doctor finds, with real directories, ports and sockets."""

from __future__ import annotations

import http.server
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zmq

from cli import doctor, terminal
from cli.doctor import checks
from cli.doctor.checks import Finding
from mist import clock
from mist.paths import Paths
from mist.settings import EngineSettings, ServerSettings, Settings
from mist.status import ServiceStatus, StatusRow
from supervisor.control import Control
from tests.support.bus import Rig


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Existing, empty directories."""
    return Paths(tmp_path, tmp_path)


def only(findings: Iterator[Finding]) -> Finding:
    """Return the only finding of a check."""
    (finding,) = findings
    return finding


def at(port: int, host: str = "127.0.0.1") -> Settings:
    """Return settings of a web tier at this address."""
    return Settings(server=ServerSettings(bind=f"{host}:{port}"))


def test_free_port(paths: Paths) -> None:
    """A free port is fine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert only(checks.check_port(at(port), paths)).verdict == "ok"


def hang_up(server: socket.socket) -> None:
    """Accept one connection and close it."""
    server.accept()[0].close()


def test_port_of_a_stranger(paths: Paths) -> None:
    """A port of another program is a failure, and the advice says how to find the program."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # The listener accepts the probe's connection and closes it, unlike a web server.
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        finding = only(checks.check_port(at(port), paths))
    assert finding.verdict == "fail"
    assert f":{port}" in finding.advice


def test_port_that_mist_serves(paths: Paths) -> None:
    """A port that the service itself holds is fine."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"success":true,"message":"alive","data":null}')

        def log_message(self, *_: object) -> None:
            """Suppress the log."""

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        finding = only(checks.check_port(at(server.server_port), paths))
    assert finding == Finding("ok", "port", f"mist listens on 127.0.0.1:{server.server_port}")


@pytest.mark.parametrize(
    "bind",
    ["localhost", "127.0.0.1:", "127.0.0.1:70000", ":http", ":8420", "h:٣", "::1:80", "a..b:8420"],
)
def test_address_that_is_none(paths: Paths, bind: str) -> None:
    """The doctor also reports the addresses that ``mist up`` refuses."""
    finding = only(checks.check_port(Settings(server=ServerSettings(bind=bind)), paths))
    assert finding.verdict == "fail"
    assert bind in finding.text


def test_few_files(paths: Paths) -> None:
    """A file limit below the number of clients is a warning that gives the number to set."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    finding = only(
        checks.check_files(Settings(server=ServerSettings(worker_connections=hard)), paths)
    )
    assert finding.verdict == "warn"
    assert f"ulimit -Hn {hard + 256}" in finding.advice
    few = Settings(server=ServerSettings(worker_connections=1))
    assert only(checks.check_files(few, paths)).verdict == "ok"


def test_home_that_is_to_be_made(tmp_path: Path) -> None:
    """A home that can be made is as good as an existing one."""
    finding = only(checks.check_home(Settings(), Paths(tmp_path / "a" / "b", tmp_path)))
    assert "will be created" in finding.text


def test_long_path_of_sockets(tmp_path: Path) -> None:
    """A path too long for a socket is reported, because ZeroMQ's own message is obscure."""
    where = Paths(tmp_path, tmp_path / ("long" * 30))
    finding = only(checks.check_runtime(Settings(), where))
    assert (finding.verdict, finding.advice) == ("fail", "set MIST_RUNTIME to a shorter path")


def test_sockets_where_everybody_writes(paths: Paths) -> None:
    """A world-writable socket directory is refused, because others could replace the sockets."""
    paths.runtime.chmod(0o777)
    finding = only(checks.check_runtime(Settings(), paths))
    assert finding.verdict == "fail"
    assert "chmod" in finding.advice


def test_store_before_the_first_start(paths: Paths) -> None:
    """A missing store is not a fault, and the check does not make one."""
    assert only(checks.check_store(Settings(), paths)).verdict == "ok"
    assert not paths.database.exists()


def test_store_that_is_garbage(paths: Paths) -> None:
    """A file that is not a database fails with the store's own message."""
    paths.database.parent.mkdir()
    paths.database.write_bytes(b"no database" * 500)
    finding = only(checks.check_store(Settings(), paths))
    assert finding.verdict == "fail"
    assert "database" in finding.text


_AS_ANOTHER_USER = """
import os, sys, zmq
from pathlib import Path
from bus.subscriber import ask_replay
from cli.doctor import checks
from mist.errors import BusError
from mist.paths import Paths
from mist.settings import Settings
from supervisor.control import ask_status
where = Paths(*map(Path, sys.argv[1:]))
os.setgroups([]), os.setgid(65534), os.setuid(65534)
for check in (checks.check_home, checks.check_runtime, checks.check_store, checks.check_bus):
    for finding in check(Settings(), where):
        print(finding.verdict, finding.subject)
context = zmq.Context()
for ask in (
    lambda: ask_replay(context, where, b"metrics/system", timeout=0.1),
    lambda: ask_status(context, where, timeout=0.1),
):
    try:
        ask()
    except BusError as error:
        print(str(error).partition(" ipc://")[0])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_directories_of_another_user(tmp_path: Path) -> None:
    """Another user's directories are findings, and explain why the service cannot be asked."""
    home, runtime = tmp_path / "home", tmp_path / "run"
    for directory in (home, runtime):
        directory.mkdir(mode=0o700)
    (home / "store").mkdir()
    (home / "store" / "mist.db").touch()
    command = [sys.executable, "-c", _AS_ANOTHER_USER, str(home), str(runtime)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n")[:-1] == [
        "fail state",
        "fail sockets",
        "fail store",
        "fail service",
        "this user may not connect to",
        "this user may not connect to",
    ], done.stderr


def test_service_that_does_not_run(paths: Paths) -> None:
    """A service that does not run is mentioned and is not a failure."""
    assert only(checks.check_bus(Settings(), paths)).verdict == "warn"


def test_processes_of_a_service(paths: Paths) -> None:
    """Processes that hang, have failed, or were replaced a short time ago are told."""
    now = clock.now()
    rows = [
        StatusRow("broker", 1, "running", now, 0, "always", 0.2),
        StatusRow("metrics", 2, "running", now, 0, "has not responded for 4 s; always", 4.2),
        StatusRow(
            "container/1", 3, "running", now, 2, "hung: its loop did not turn for 6.1 s", 0.1
        ),
        StatusRow("container/2", 4, "running", "2026-01-01T00:00:00.000000000Z", 2, "crashed", 0.1),
        StatusRow("container/3", None, "failed", now, 0, "crashed: exit status 1 (8 times)"),
        StatusRow("deployment/7", 5, "hung", now, 0, "hung: its loop did not turn for 10.2 s"),
    ]
    status = ServiceStatus("1", 1, "running", now, rows)
    with zmq.Context() as context:
        control = Control(context, paths, lambda: status)

        def answer_once() -> None:
            control.socket.poll(10_000)
            control.answer()

        thread = threading.Thread(target=answer_once)
        thread.start()
        found = list(checks.check_processes(Settings(), paths))
        thread.join()
        control.socket.close()
    assert [(finding.verdict, finding.text.split()[0]) for finding in found] == [
        ("fail", "metrics"),
        ("warn", "container/1"),
        ("fail", "container/3"),
        ("fail", "deployment/7"),
    ]


def test_supervisor_that_hangs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that does not answer is a failure."""
    monkeypatch.setattr(checks, "_PROBE_SECONDS", 0.1)
    with zmq.Context() as context:
        control = Control(context, paths, lambda: ServiceStatus("1", 1, "running", "", []))
        finding = only(checks.check_processes(Settings(), paths))
        control.socket.close()
    assert finding.verdict == "fail"
    assert "does not answer" in finding.text


def test_service_that_runs(rig: Rig) -> None:
    """A running service is found when its broker answers."""
    rig.await_seq(b"metrics/system", 0)
    assert only(checks.check_bus(rig.settings, rig.paths)).verdict == "ok"


def engine_at(path: Path) -> Settings:
    """Return settings of an engine at this socket."""
    return Settings(engine=EngineSettings(host=f"unix://{path}", timeout_seconds=1))


def test_no_engine(paths: Paths, tmp_path: Path) -> None:
    """Without an engine's socket, the advice names DOCKER_HOST."""
    finding = only(doctor.check_engine(engine_at(tmp_path / "d.sock"), paths))
    assert finding.verdict == "fail"
    assert "DOCKER_HOST" in finding.advice


def test_engine_that_is_stopped(paths: Paths, tmp_path: Path) -> None:
    """For a socket without a listener, the advice is to start the daemon."""
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    finding = only(doctor.check_engine(engine_at(path), paths))
    assert "start the engine" in finding.advice


def test_engine_that_is_a_file(paths: Paths, tmp_path: Path) -> None:
    """A path that is not a socket is reported as such."""
    path = tmp_path / "d.sock"
    path.write_text("")
    assert "is not a socket" in only(doctor.check_engine(engine_at(path), paths)).advice


def test_engine_in_this_directory(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is resolved as the workers resolve it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.sock").write_text("")
    settings = Settings(engine=EngineSettings(host="unix://d.sock", timeout_seconds=1))
    assert "d.sock is not a socket" in only(doctor.check_engine(settings, paths)).advice


@pytest.mark.parametrize("host", ["ssh://machine", "tcp://machine", "npipe:////x"])
def test_engine_at_no_address(paths: Paths, host: str) -> None:
    """An unusable engine address is the only finding."""
    finding = only(doctor.check_engine(Settings(engine=EngineSettings(host=host)), paths))
    assert host in finding.text
    assert finding.advice == "correct the setting, or the variable"


def test_who_is_missing_from_which_group(tmp_path: Path) -> None:
    """The advice for a missing group membership is the command to type."""
    path = tmp_path / "d.sock"
    path.write_text("")
    path.chmod(0o660)
    status = list(path.stat())
    status[5] = 1  # Debian's group 1 is "daemon"
    advice = doctor._group_advice(path, os.stat_result(status))
    assert f"usermod -aG daemon {checks.user()}" in advice


def test_advice_for_an_engine_elsewhere() -> None:
    """For a remote engine the advice names TLS, the usual reason."""
    assert "DOCKER_TLS_VERIFY" in doctor._engine_advice(urlsplit("tcp://example.com:2376"))


def test_wrong_settings_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """With invalid settings the doctor reports those and stops."""
    monkeypatch.setenv("MIST_SERVER_WORKERS", "none")
    verdicts = [(finding.verdict, finding.subject) for finding in doctor.examine()]
    assert verdicts == [("ok", "versions"), ("fail", "settings")]


def test_json_is_one_document(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """``--json`` prints one document."""
    doctor._print_json([Finding("ok", "git", "/usr/bin/git")])
    terminal.flush()
    assert json.loads(capfdbinary.readouterr().out) == [
        {"verdict": "ok", "subject": "git", "text": "/usr/bin/git", "advice": ""}
    ]


def test_text_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The advice follows its finding."""
    doctor._print([Finding("warn", "git", "not found", "install it")])
    assert capsys.readouterr().out == "warn git      not found\n              → install it\n"


PASSWORDS = [
    ('[store]\nurl = "postgresql+psycopg://mist:se/cret@db/mist"', "store.url"),
    ('[store]\nurl = "postgresql://db/mist?user=mist&password=x"', "store.url"),
    ('[engine]\nhost = "https://me:x@10.0.0.5:2376"', "engine.host"),
]


@pytest.mark.parametrize(("text", "key"), PASSWORDS)
def test_password_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, key: str
) -> None:
    """A settings file with a password is for the service alone, and the advice says how."""
    file = tmp_path / "mist.toml"
    file.write_text(text, "utf-8")
    monkeypatch.setenv("MIST_CONFIG", str(file))
    file.chmod(0o644)
    found = next(each for each in doctor.examine() if each.subject == "settings")
    assert (found.verdict, key in found.text) == ("warn", True)
    assert f"chmod 640 {file}" in found.advice
    file.chmod(0o640)
    assert next(each for each in doctor.examine() if each.subject == "settings").verdict == "ok"


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://mist@localhost/mist", "sqlite:////srv/a:b@c"]
)
def test_settings_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Everybody may read settings that hold no password."""
    file = tmp_path / "mist.toml"
    file.write_text(f'[store]\nurl = "{url}"', "utf-8")
    file.chmod(0o644)
    monkeypatch.setenv("MIST_CONFIG", str(file))
    assert next(each for each in doctor.examine() if each.subject == "settings").verdict == "ok"
