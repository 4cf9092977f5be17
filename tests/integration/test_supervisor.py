"""The service's real processes: starting, watching, restarting and stopping them.

No engine is needed, because a collector for an application that does not exist
starts and stops like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from bus.subscriber import events_socket
from mist.errors import Exit
from mist.settings import Settings
from mist.store import open_store
from tests.support import floods
from tests.support.service.programs import program
from tests.support.service.service import MIST, Service, free_port
from tests.support.wait import wait_until

NO_ENGINE = "unix:///nonexistent/docker.sock"
QUICK = {
    "collector.linger_seconds": 0.5,
    "supervisor.backoff_seconds": 0.1,
    "supervisor.poll_seconds": 0.2,
}

Make = Callable[..., Service]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make services that are destroyed after the test."""
    with contextlib.ExitStack() as stack:

        def made(settings: dict[str, object] | None = None) -> Service:
            service = Service(NO_ENGINE, QUICK | (settings or {}))
            stack.callback(service.destroy)
            return service

        yield made


@pytest.fixture
def service(make: Make) -> Service:
    """A running service."""
    service = make()
    service.start()
    return service


@contextlib.contextmanager
def subscribed(service: Service, *prefixes: bytes) -> Iterator[zmq.Socket[bytes]]:
    """A subscriber to the service's bus, whose applications exist."""
    add_apps(service, 8)
    with (
        zmq.Context() as context,
        events_socket(context, service.paths, Settings()) as subscriber,
    ):
        for prefix in prefixes:
            subscriber.subscribe(prefix)
        yield subscriber


def add_apps(service: Service, count: int) -> None:
    """Let the service have at least this many applications, numbered from 1."""
    store = open_store(Settings(), service.paths)
    for number in range(len(store.apps.all()) + 1, count + 1):
        store.apps.add(f"app-{number}")
    store.close()


def row(service: Service, name: str) -> dict[str, Any]:
    """Return one row of the table, or an empty one."""
    return next((each for each in service.status() if each["process"] == name), {})


def await_row(service: Service, name: str, **fields: object) -> dict[str, Any]:
    """Return the row once the condition holds."""
    wait_until(lambda: fields.items() <= row(service, name).items(), f"{name} {fields}", 30.0)
    return row(service, name)


def await_gone(service: Service, name: str) -> None:
    """Wait until the table no longer has the row."""
    wait_until(lambda: not row(service, name), f"no {name}", 30.0)


def started(
    service: Service, *arguments: str, **more: Any
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run another ``mist`` command on the service's state in the background."""
    environment = service.environment | more
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return program([MIST, *arguments], env=environment, **output)


def ended(command: AbstractContextManager[subprocess.Popen[str]]) -> tuple[int, str]:
    """Return the exit status and output of a command."""
    with command as process:
        output, _ = process.communicate(timeout=60.0)
        return process.returncode, output


# Start


def test_first_start_says_how_to_log_in(service: Service) -> None:
    """Address and one-time password are printed once; a missing engine is a warning."""
    assert f"http://127.0.0.1:{service.port}" in service.output
    assert "Docker Engine is unreachable at unix:///nonexistent/docker.sock" in service.output
    assert service.login()
    assert service.stop() == 0
    service.start()
    assert service.output.count("one-time password") == 1


def test_code_in_the_current_directory_is_not_run(service: Service, tmp_path: Path) -> None:
    """Packages with the same names in the current directory are not imported."""
    assert service.stop() == 0
    for name in ("api", "workers", "supervisor", "mist", "falcon", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    bind = f"127.0.0.1:{service.port}"
    there = ["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path)]
    service.start(command=[*there, str(MIST), "up", "--bind", bind, "--workers", "1"])
    await_row(service, "metrics", state="running", restarts=0)
    assert row(service, "gunicorn")["restarts"] == 0


def test_table_of_a_service_at_rest(service: Service) -> None:
    """The table has what always runs, but no collector without demand."""
    rows = service.status()
    names = ["fork-server", "broker", "metrics", "gunicorn"]
    assert [each["process"] for each in rows] == names
    assert {each["state"] for each in rows} == {"running"}
    assert all(psutil.pid_exists(each["pid"]) for each in rows)


def test_second_service_on_the_same_state(service: Service) -> None:
    """The second service reports the pid of the running one, which continues."""
    status, output = ended(started(service, "up"))
    assert status == Exit.TEMPORARY
    assert f"process {service.pid}" in output
    assert "Traceback" not in output
    assert row(service, "broker")["state"] == "running"


def test_port_in_use(make: Make) -> None:
    """Nothing is started, and no password is created that would never be shown."""
    service = make()
    with socket.create_server(("127.0.0.1", service.port)):
        status, output = ended(started(service, "up", "--bind", f"127.0.0.1:{service.port}"))
    assert status == Exit.UNAVAILABLE
    assert f"port {service.port} is in use" in output
    assert "password" not in output
    assert service.processes() == []


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MIST_SERVER_WORKERS": "many"}, "server.workers"),
        ({"MIST_SUPERVISOR_NONSENSE": "1"}, "nonsense"),
        ({"MIST_CONFIG": "/nonexistent/mist.toml"}, "/nonexistent/mist.toml"),
        ({"MIST_LOG_LEVEL": "loud"}, "log.level"),
    ],
)
def test_wrong_settings(make: Make, environ: dict[str, str], words: str) -> None:
    """The message names the key or the file."""
    status, output = ended(started(make(), "up", **environ))
    assert status == Exit.BAD_CONFIG
    assert words in output
    assert "Traceback" not in output


def test_status_of_nothing(make: Make) -> None:
    """The message says how to start a service."""
    status, output = ended(started(make(), "status"))
    assert status == Exit.UNAVAILABLE
    assert "mist up" in output


def test_supervisor_without_the_web_tier(make: Make) -> None:
    """The supervisor reports its state to systemd, where gunicorn is a unit of its own."""
    service = make()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(service.directory / "notify"))
        manager.settimeout(30.0)
        told = {"NOTIFY_SOCKET": str(service.directory / "notify"), "WATCHDOG_USEC": "200000"}
        with started(service, "supervisor", **told) as process:
            words: list[bytes] = []
            while b"READY=1" not in words or words.count(b"WATCHDOG=1") < 3:
                words.append(manager.recv(1000))
            assert b"STATUS=3 of 3 processes run" in words
            names = [each["process"] for each in service.status()]
            assert names == ["fork-server", "broker", "metrics"]
            process.terminate()
            while manager.recv(1000) != b"STOPPING=1":
                pass
            process.communicate(timeout=60.0)
    assert process.returncode == 0
    assert service.processes() == []


# The web tier


def broken(folder: Path, text: str) -> str:
    """Return a PYTHONPATH that replaces a module that only the web tier uses."""
    (folder / "falcon.py").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("import nowhere", Exit.SOFTWARE, "No module named 'nowhere'"),
        ("raise RuntimeError('a bug')", Exit.FAILURE, "RuntimeError: a bug"),
        ("import os; os.kill(os.getpid(), 9)", Exit.FAILURE, "killed by SIGKILL"),
        ("import time; time.sleep(1000)", Exit.FAILURE, "did not serve within 2 s"),
    ],
)
def test_web_tier_that_cannot_start(
    make: Make, tmp_path: Path, text: str, status: Exit, words: str
) -> None:
    """The service ends with the web tier's status, and its last line gives the reason."""
    service = make({"server.start_seconds": 2, "supervisor.crash_limit": 3})
    bind = f"127.0.0.1:{service.port}"
    process = started(service, "up", "--bind", bind, PYTHONPATH=broken(tmp_path, text))
    ended_with, output = ended(process)
    assert ended_with == status
    last = output.splitlines()[-1]
    assert last.startswith("mist: the service has ended: the web tier cannot start")
    assert words in last
    assert output.count("the web tier cannot start") == 1
    assert output.count("Traceback") == ("RuntimeError" in text), "a bug is shown once"
    assert "event=ready" not in output
    assert service.processes() == []


def kill_web_tier(service: Service) -> None:
    """Kill gunicorn's master and wait for its workers, which notice within a second."""
    master = psutil.Process(row(service, "gunicorn")["pid"])
    orphans = master.children()
    master.kill()
    assert psutil.wait_procs(orphans, timeout=30)[1] == []


def test_service_is_ready_when_the_web_tier_serves(make: Make) -> None:
    """The service manager is notified once, and not again after the web tier was restarted."""
    service = make()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(service.directory / "notify"))
        service.environment["NOTIFY_SOCKET"] = str(service.directory / "notify")
        service.start()
        kill_web_tier(service)
        await_row(service, "gunicorn", restarts=1, state="running")
        wait_until(lambda: service.answers("/readyz"), "the web tier", 30.0)
        assert service.stop() == 0
        words = []
        with contextlib.suppress(BlockingIOError):
            while True:
                words.append(manager.recv(1000))
    assert words.count(b"READY=1") == 1
    assert service.output.count("event=ready") == 1
    assert service.output.index("event=running child=gunicorn") < service.output.index(
        "event=ready"
    )


def test_killed_web_worker_comes_back(service: Service) -> None:
    """The master replaces its worker, and the supervisor sees no change."""
    before = row(service, "gunicorn")
    (worker,) = psutil.Process(before["pid"]).children()
    worker.kill()
    wait_until(lambda: psutil.Process(before["pid"]).children() not in ([], [worker]), "another")
    wait_until(lambda: service.answers("/readyz"), "the web tier", 30.0)
    after = row(service, "gunicorn")
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)


# Demand


def test_applications_that_do_not_exist(service: Service) -> None:
    """A flood of subscriptions to unknown applications starts nothing, and memory stays flat."""
    add_apps(service, 8)
    with zmq.Context() as context:
        pids = [service.pid, *(each["pid"] for each in service.status())]

        def memory() -> list[int]:
            return [psutil.Process(pid).memory_info().rss for pid in pids]

        flood = floods.subscriptions(context, service.paths, lambda n: b"container/%d/" % (n + 9))
        readings = []
        for _ in range(2):
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                flood()
                time.sleep(0.01)
            readings.append(memory())
        # The existing one is served in the middle of it.
        with subscribed(service, b"container/7/"):
            await_row(service, "container/7", state="running")
    assert not [each for each in service.status() if each["process"] == "container/9"]
    assert max(readings[1]) < floods.LIMIT
    assert all(b - a < floods.NOISE for a, b in zip(*readings, strict=True)), readings


def test_tap_is_a_process(make: Make) -> None:
    """The tap is in the table, comes back after a crash, and its port is all that depends on it."""
    port = free_port()
    service = make({"bus.tap_bind": f"127.0.0.1:{port}"})
    service.start()
    before = {each["process"]: each["pid"] for each in service.status()}
    assert before.keys() >= {"tap", "broker"}
    os.kill(await_row(service, "tap", state="running")["pid"], signal.SIGKILL)
    await_row(service, "tap", state="running", restarts=1)
    assert row(service, "broker")["pid"] == before["broker"]
    assert service.stop() == 0


def test_tap_whose_port_is_taken(make: Make) -> None:
    """A tap that cannot listen is given up with the reason in the log; the service works."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        service = make({"bus.tap_bind": address})
        service.start()
        await_row(service, "tap", state="failed")
    assert f"bus.tap_bind: cannot listen on {address}" in service.output
    assert service.answers("/readyz")


def test_collector_lives_while_somebody_listens(service: Service) -> None:
    """Two subscriptions share one collector, which ends with the last of them."""
    with subscribed(service, b"container/7/log", b"container/7/"):
        await_row(service, "container/7", state="running")
        assert len(service.running("container/")) == 1
    await_gone(service, "container/7")


def test_tap_on_everything_starts_nothing(service: Service) -> None:
    """A tap on everything receives what is published anyway, such as metrics."""
    with subscribed(service, b"") as tap:
        assert tap.poll(10_000)
        assert service.running("container/") == []


def test_killed_collector_comes_back(service: Service) -> None:
    """The table counts the restart and gives its reason."""
    with subscribed(service, b"container/7/"):
        os.kill(await_row(service, "container/7", state="running")["pid"], signal.SIGKILL)
        found = await_row(service, "container/7", restarts=1, state="running")
        assert found["why"] == "crashed: killed by SIGKILL"


def test_too_many_collectors(make: Make) -> None:
    """A collector beyond the limit is refused, and its subscribers are told."""
    service = make({"collector.max_running": 1})
    service.start()
    with subscribed(service, b"container/1/"):
        await_row(service, "container/1", state="running")
        with subscribed(service, b"container/2/") as refused:
            assert refused.poll(10_000)
            assert b"Too many collectors" in refused.recv_multipart()[2]
        assert len(service.running("container/")) == 1


# Crashes


@pytest.mark.parametrize("name", ["broker", "metrics", "gunicorn"])
def test_killed_child_comes_back(service: Service, name: str) -> None:
    """The child is restarted, and metrics are published again."""
    before = row(service, name)["pid"]
    os.kill(before, signal.SIGKILL)
    after = await_row(service, name, restarts=1, state="running")
    assert after["pid"] != before
    with subscribed(service, b"metrics/") as subscriber:
        assert subscriber.poll(20_000)


def test_killed_broker_keeps_the_demand(make: Make) -> None:
    """Subscribers reconnect by themselves, and their collector keeps running."""
    service = make({"collector.linger_seconds": 2.0})
    service.start()
    with subscribed(service, b"container/7/") as stays:
        collector = await_row(service, "container/7", state="running")["pid"]
        with subscribed(service, b"container/8/"):
            await_row(service, "container/8", state="running")
            os.kill(row(service, "broker")["pid"], signal.SIGKILL)

        def the_other_is_gone() -> bool:
            stays.poll(0)  # libzmq only subscribes again when its socket is polled
            return not row(service, "container/8")

        # A subscriber that had not come back would show once the linger is over.
        wait_until(the_other_is_gone, "the end of the linger", 30.0)
        assert row(service, "container/7")["pid"] == collector
    await_gone(service, "container/7")


def test_killed_fork_server(service: Service) -> None:
    """It takes no other process along, and its successor starts what is needed next."""
    before = {each["process"]: each["pid"] for each in service.status()}
    os.kill(before["fork-server"], signal.SIGKILL)
    await_row(service, "fork-server", restarts=1, state="running")
    for name in ("broker", "metrics", "gunicorn"):
        assert (row(service, name)["pid"], row(service, name)["restarts"]) == (before[name], 0)
    os.kill(before["metrics"], signal.SIGKILL)
    await_row(service, "metrics", restarts=1, state="running")
    with subscribed(service, b"container/7/"):
        await_row(service, "container/7", state="running", restarts=0)


def test_without_descriptors_nothing_ends(service: Service) -> None:
    """At its limit of open files the supervisor refuses the newest, and tells why."""
    with subscribed(service, b"container/1/"):
        await_row(service, "container/1", state="running")
        before = {each["process"]: each["pid"] for each in service.status()}
        used = max(map(int, os.listdir(f"/proc/{service.pid}/fd")))
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
        # A few for the control socket's clients; holes between the open ones are used up first.
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (1, hard))
        with subscribed(service, b"container/2/") as refused:
            assert refused.poll(10_000)
            assert b"Too many open files" in refused.recv_multipart()[2]
            os.kill(before["metrics"], signal.SIGKILL)
            time.sleep(3.0)  # the sampler's restart is refused several times meanwhile
            resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (max(used + 64, 256), hard))
            await_row(service, "container/2", state="running", restarts=0)
        await_row(service, "metrics", state="running")
        after = {each["process"]: each["pid"] for each in service.status()}
        kept = {"fork-server", "broker", "gunicorn", "container/1"}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_killed_supervisor_takes_everything_along(service: Service) -> None:
    """Workers notice the end of the pipe; gunicorn gets the kernel's signal."""
    with subscribed(service, b"container/7/"):
        await_row(service, "container/7", state="running")
        service.kill()
        wait_until(lambda: not service.processes(), "the end of all children", 30.0)


# Shutdown


def test_orderly_end(service: Service) -> None:
    """The exit status is 0 and no process is left, even with a collector at work."""
    with subscribed(service, b"container/7/"):
        await_row(service, "container/7", state="running")
        assert service.stop() == 0
    ends = [line for line in service.output.splitlines() if "event=idle" in line]
    order = ["gunicorn", "container/7", "metrics", "broker"]
    assert [name for line in ends for name in order if f"child={name} " in line] == order


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_whole_group(service: Service, number: int) -> None:
    """A signal to every process, as from a terminal's ^C or a service manager, ends the service."""
    os.killpg(service.pid, number)
    assert service.stop() == 0
    assert "Traceback" not in service.output
    assert "crashed" not in service.output, "it was asked to end"


def test_child_that_does_not_stop_is_killed(make: Make) -> None:
    """A child that does not stop is killed after a bounded time."""
    service = make({"supervisor.stop_seconds": 0.5})
    service.start()
    os.kill(row(service, "metrics")["pid"], signal.SIGSTOP)
    assert service.stop() == 0


def test_hangup_reloads_the_web_tier(service: Service) -> None:
    """The master stays, and its workers are new."""
    master = psutil.Process(row(service, "gunicorn")["pid"])
    before = {child.pid for child in master.children()}
    os.kill(service.pid, signal.SIGHUP)
    wait_until(
        lambda: bool(after := {child.pid for child in master.children()}) and not after & before,
        "new workers",
        30.0,
    )
    assert row(service, "gunicorn")["pid"] == master.pid


def test_what_is_ignored_at_the_start_stays_ignored(make: Make) -> None:
    """A background job under ``nohup`` keeps ignoring ^C and hangups."""
    service = make()
    service.start(command=("sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh", *service.command))
    workers = psutil.Process(row(service, "gunicorn")["pid"]).children()
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(service.pid, number)
    assert json.loads(service.mist("status", "--json").stdout)["state"] == "running"
    assert psutil.Process(row(service, "gunicorn")["pid"]).children() == workers
    assert service.stop() == 0


def test_a_careless_parent_changes_nothing(make: Make) -> None:
    """Inherited signal settings change neither SIGTERM nor the detection of ended children."""
    service = make()
    careless = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); "
    careless += (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    python = (sys.executable, "-c", f"import os, signal, sys; {careless}")
    service.start(command=(*python, *service.command))
    kill_web_tier(service)
    assert await_row(service, "gunicorn", restarts=1)["why"] == "crashed: killed by SIGKILL"
    assert service.stop() == 0


def test_service_at_rest_hardly_wakes_up(make: Make) -> None:
    """All processes together wake up less than 20 times a second (the benchmark has CPU times)."""
    service = make()
    service.start()
    wait_until(lambda: _wake_ups(service, 2.0) < 20, "a service at rest", 60.0)


def _wake_ups(service: Service, seconds: float) -> float:
    """Return how often a second the service's threads waited for something."""
    before, began = _waits(service), time.monotonic()
    time.sleep(seconds)  # what is measured is a length of time
    return (_waits(service) - before) / (time.monotonic() - began)


def _waits(service: Service) -> int:
    """Return the voluntary context switches of all threads (proc_pid_status(5))."""
    total = 0
    for process in service.processes():
        for thread in process.threads():
            with contextlib.suppress(FileNotFoundError):
                status = Path(f"/proc/{process.pid}/task/{thread.id}/status").read_text()
                total += int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[0])
    return total
