"""The commands that read the bus, run as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from mist.errors import Exit
from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import MIST, Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

COUNTED = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; "


def started(service: Service, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A ``mist`` command that runs until the test has seen enough."""
    return program(
        [MIST, *arguments],
        env=service.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return the next lines of the command's standard output."""
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


@pytest.fixture
def app(service: Service, container: str) -> str:
    """The name of an application whose container is the test's."""
    service.add_app(container, container)
    return container


def test_logs_until_the_container_ends(engine: PrivateEngine, service: Service, app: str) -> None:
    """The command prints the history, live lines and the end, and exits with status 0."""
    engine.run(app, COUNTED + "while [ ! -e /go ]; do sleep 0.05; done; echo last")
    wait_until(lambda: len(engine.lines(app)) == 10, "the first lines")
    with started(service, "logs", app) as process:
        assert lines(process, 5) == [f"out {i}" for i in range(1, 6)]
        engine.say(app, ": >/go")
        out, err = process.communicate(timeout=60)
    assert out == "last\n"
    assert process.returncode == Exit.OK
    assert [line for line in err.splitlines() if line.startswith("err")] == [
        f"err {i}" for i in range(1, 6)
    ]
    assert f"mist: {app} is running" in err
    assert "mist: Log stream ended" in err


def test_logs_by_id_from_a_tail_with_times(
    engine: PrivateEngine, service: Service, container: str
) -> None:
    """``--tail`` and ``--timestamps`` work, and so does continuing from the last time printed."""
    number = service.add_app(container, container)
    engine.run(container, "for i in 1 2 3 4 5; do echo out $i; done; sleep 1000")
    wait_until(lambda: len(engine.lines(container)) == 5, "the lines")
    with started(service, "logs", str(number), "--tail", "2", "--timestamps") as process:
        (first, second) = (line.split(" ", 1) for line in lines(process, 2))
    assert [first[1], second[1]] == ["out 4", "out 5"]
    with started(service, "logs", str(number), "--since", first[0]) as process:
        assert lines(process, 1) == ["out 5"]


def test_logs_of_a_stopped_container(engine: PrivateEngine, service: Service, app: str) -> None:
    """The reason, preceded by the last lines with ``--stopped``, and exit status 1."""
    engine.run(app, "for i in 1 2 3 4 5; do echo out $i; done; exit 3")
    wait_until(lambda: engine.state(app) == "exited", "the end of the container")
    done = service.mist("logs", app, check=False)
    assert (done.returncode, done.stdout) == (Exit.FAILURE, "")
    assert "mist: Container is not running (state: exited)" in done.stderr
    done = service.mist("logs", app, "--stopped", "--tail", "2", check=False)
    assert (done.returncode, done.stdout) == (Exit.FAILURE, "out 4\nout 5\n")


def test_logs_of_a_container_that_is_none(service: Service, app: str) -> None:
    """An application whose container does not exist is reported."""
    done = service.mist("logs", app, check=False)
    assert done.returncode == Exit.FAILURE
    assert "mist: Container not found" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "no-such-app"], "no-such-app"),
        (["logs", "99999999999999999999999"], "99999999999999999999999"),
        (["logs", "x", "--since", "yesterday"], "not an RFC 3339 timestamp"),
        (["logs", "x", "--since", ""], "--since: '' is not an RFC 3339 timestamp"),
        (["logs", "x", "--tail", "-1"], "--tail must be an integer of 0 or more, not '-1'"),
    ],
)
def test_wrong_arguments(service: Service, arguments: list[str], words: str) -> None:
    """A wrong argument gives one line that names the mistake, and no traceback."""
    done = service.mist(*arguments, check=False)
    assert done.returncode == Exit.USAGE
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["logs", "APP"], ["tap", "metrics/"], ["top", "--json"]])
def test_interrupt_ends_quietly(
    engine: PrivateEngine, service: Service, app: str, arguments: list[str]
) -> None:
    """Ctrl-C gives the status that shells report for it, and no traceback."""
    engine.run(app, "echo out; sleep 1000")
    command = [app if argument == "APP" else argument for argument in arguments]
    with started(service, *command) as process:
        lines(process, 1)
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_closed_pipe_ends_the_demand(engine: PrivateEngine, service: Service, app: str) -> None:
    """After ``mist logs APP | head -1`` the collector ends, even if the container is silent."""
    engine.run(app, "echo out; sleep 1000")
    with started(service, "logs", app) as process:
        assert lines(process, 1) == ["out"]
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    wait_until(lambda: not service.running("container/"), "the collector's end")


@pytest.mark.parametrize("arguments", [["logs", "x"], ["tap", "metrics/"], ["top"]])
def test_no_service(engine: PrivateEngine, make_service: MakeService, arguments: list[str]) -> None:
    """The commands report that no service runs; the application is still found."""
    service = make_service(engine, start=False)
    service.add_app("x")
    done = service.mist(*arguments, check=False)
    assert done.returncode == Exit.UNAVAILABLE
    assert "is mist up?" in done.stderr


def test_tap_starts_a_collector(engine: PrivateEngine, service: Service, container: str) -> None:
    """The tap's subscription is the demand; it prints what a WebSocket client receives."""
    number = service.add_app(container, container)
    engine.run(container, "echo out; sleep 1000")
    with started(service, "tap", f"container/{number}/") as process:
        records = [json.loads(line) for line in lines(process, 2)]
        assert len(service.running(f"container/{number}")) == 1
    assert [record["type"] for record in records] == ["status", "log"]
    assert records[1]["data"] == {"line": "out", "stream": "stdout"}


def test_tap_without_the_slash_gives_a_hint(service: Service) -> None:
    """The hint says that ``container/1`` would also match 10, 11 and 100."""
    with started(service, "tap", "container/1") as process:
        assert process.stderr is not None
        assert "try 'container/1/'" in process.stderr.readline()


@pytest.mark.parametrize("topic", ["foo/", "container/x/", "container/1/" + "x" * 900])
def test_tap_of_no_topic(service: Service, topic: str) -> None:
    """A prefix that matches nothing is an error, because the command would wait for ever."""
    done = service.mist("tap", topic, check=False)
    assert done.returncode == Exit.USAGE
    assert f"no topic begins with {topic!r}; use container/ID/" in done.stderr


def test_top_once(service: Service) -> None:
    """Without a terminal, one readable sample is printed."""
    printed = service.mist("top").stdout
    for part in ("cpu", "memory", "disk", "docker", "%", "containers running"):
        assert part in printed


def test_top_draws_on_a_terminal(engine: PrivateEngine, container: str, service: Service) -> None:
    """On a terminal the command draws until Ctrl-C and restores the screen."""
    engine.run(container, "sleep 1000")
    controller, terminal = os.openpty()
    environment = service.environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with program([MIST, "top"], env=environment, **streams) as process:
        os.close(terminal)
        shown = until(controller, lambda text: text.count("mist top") >= 2 and container in text)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    os.close(controller)
    assert "\x1b[?1049h" in shown
    assert "containers running" in shown


def until(descriptor: int, condition: Callable[[str], bool]) -> str:
    """Return the terminal's output once the condition holds."""
    shown = ""
    while not condition(shown):
        shown += os.read(descriptor, 65_536).decode(errors="replace")
    return shown


def test_doctor_of_a_running_service(
    engine: PrivateEngine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All checks pass: the service itself holds the port, and its broker answers."""
    monkeypatch.setitem(service.environment, "MIST_SERVER_BIND", service.url[7:])
    done = service.mist("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert findings["port"]["text"] == f"mist listens on {service.url[7:]}"
    assert engine.host in findings["engine"]["text"]
    for subject in ("versions", "settings", "store", "service", "state", "sockets"):
        assert findings[subject]["verdict"] == "ok", findings[subject]


def test_doctor_without_anything(engine: PrivateEngine, make_service: MakeService) -> None:
    """Without an engine and a service, each failure has a remedy below it; the exit status is 1."""
    service = make_service(engine, start=False)
    service.environment["DOCKER_HOST"] = "unix:///no/such/socket"
    done = service.mist("doctor", check=False)
    assert done.returncode == Exit.FAILURE
    assert "Docker Engine is unreachable" in done.stdout
    assert "→" in done.stdout
    assert "start it with `mist up`" in done.stdout
