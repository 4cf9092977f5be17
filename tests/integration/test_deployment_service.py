"""Deployments over HTTP, WebSocket and the command line, on the whole service."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import zmq

from bus import topics
from bus.follower import Follower
from bus.reorder import Gap
from mist.settings import Settings
from tests.integration.conftest import MakeService
from tests.support.service.clients import ALL, Client
from tests.support.service.deployments import SERVE, Repository, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.repository_app import add_repository_app
from tests.support.service.service import MIST, Service
from tests.support.wait import wait_until

OpenClient = Callable[..., Client]

#: A program that numbers its lines and, when it is told to end, says so and ends.
CHATTY = "trap 'echo {name} ends; exit' TERM; echo {name} begins; while :; do sleep 0.05; done"

#: A program that numbers its lines from 1, and is ready at once.
COUNTING = (
    "trap 'echo {name} ends; exit' TERM; echo > /tmp/ready; n=0; "
    "while :; do n=$((n + 1)); echo {name} $n; sleep 0.02; done"
)
READY = 'HEALTHCHECK --interval=200ms --start-period=5s CMD ["cat", "/tmp/ready"]'

QUICK: dict[str, object] = {
    "deployments.settle_seconds": 0.6,
    "deployments.stop_seconds": 3,
    "supervisor.poll_seconds": 0.2,
}


class Site:
    """A service, its administrator's cookie, and repositories to deploy from."""

    def __init__(self, service: Service, engine: PrivateEngine, folder: Path) -> None:
        self.service = service
        self.engine = engine
        self.cookie = service.login()
        self._folder = folder

    def app(self, container: str, *steps: str, run: str = SERVE) -> tuple[int, Repository]:
        """Return an application with its own repository, named after its container."""
        folder = self._folder / container
        return add_repository_app(self.service, folder, container, *steps, run=run)

    def request(self, method: str, path: str, **body: object) -> dict[str, Any]:
        """Return the data of an answer to a request that succeeds."""
        answer = requests.request(
            method,
            f"{self.service.url}/api/{path}",
            json=body or None,
            headers={"Cookie": self.cookie},
            timeout=30,
        )
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found

    def deploy(self, app: int, **body: object) -> int:
        """Ask for a deployment and return its number."""
        return int(self.request("POST", f"apps/{app}/deployments", **(body or {}))["id"])

    def row(self, deployment: int) -> dict[str, Any]:
        """Return the deployment as HTTP shows it."""
        return self.request("GET", f"deployments/{deployment}")

    def wait(self, deployment: int, *statuses: str) -> dict[str, Any]:
        """Return the row once it has one of the statuses or is finished."""
        wanted = statuses or ("success", "failed")
        wait_until(
            lambda: self.row(deployment)["status"] in (*wanted, "success", "failed"),
            f"deployment {deployment} to be {wanted}",
            seconds=90,
        )
        return self.row(deployment)

    def log_url(self, deployment: int) -> str:
        """Return the address of the WebSocket that shows the deployment."""
        return self.service.ws_url("deployment/logs", deploymentId=deployment)

    def records(self, deployment: int) -> list[str]:
        """Return the messages in the log's file."""
        return self.service.paths.deployment_log(deployment).read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def shared(engine: PrivateEngine) -> Iterator[Service]:
    """A shared service for tests that break nothing."""
    service = Service(engine.host, QUICK)
    try:
        service.start()
        yield service
    finally:
        service.destroy()
        remove_deployed(engine)


@pytest.fixture
def site(shared: Service, engine: PrivateEngine, tmp_path: Path) -> Site:
    """A site on the shared service."""
    return Site(shared, engine, tmp_path)


@pytest.fixture
def own_site(make_service: MakeService, engine: PrivateEngine, tmp_path: Path) -> Site:
    """A service for this test alone, because other tests rely on the shared one's images."""
    return Site(make_service(engine, QUICK), engine, tmp_path)


def test_a_viewer_has_the_whole_log_whenever_it_comes(
    own_site: Site, container: str, open_client: OpenClient
) -> None:
    """Every client gets the same messages, from the queue on and even after a full restart."""
    site = own_site
    app, _ = site.app(container, "RUN seq 1 200")
    deployment = site.deploy(app)
    url = site.log_url(deployment)
    early = [open_client(url, site.cookie, kind=kind) for kind in ALL]
    codes = [client.wait_closed(90) for client in early]
    assert codes == [1000] * 3
    records = site.records(deployment)
    for client in early:
        # A viewer that comes before the file exists reads the row first.
        assert [text for text in client.texts if text in set(records)] == records
        assert len(client.of_type("log")) == len([r for r in records if '"log"' in r[:14]])
    site.service.stop()
    site.service.start()
    for kind in ALL:
        late = open_client(url, site.cookie, kind=kind)
        assert late.wait_closed() == 1000
        assert late.texts == records


def test_viewers_of_a_long_build_have_the_same_text(
    site: Site, container: str, open_client: OpenClient
) -> None:
    """Viewers that join in the middle of 5,000 lines have the same text as the first one."""
    app, _ = site.app(container, "RUN for i in $(seq 1 50); do seq 1 100; sleep 0.02; done")
    deployment = site.deploy(app)
    first = open_client(site.log_url(deployment), site.cookie)
    others = []
    for number in range(1, 10):
        first.wait_lines(number * 500, seconds=90)
        others.append(open_client(site.log_url(deployment), site.cookie, kind=ALL[number % 3]))
    assert first.wait_closed(90) == 1000
    lines = [json.loads(r)["data"]["line"] for r in site.records(deployment) if '"log"' in r[:14]]
    assert len(lines) > 5_000
    assert first.lines == lines
    for other in others:
        assert other.wait_closed() == 1000
        assert other.texts == site.records(deployment)


@pytest.mark.parametrize("process", ["broker", "deployment/", "gunicorn"])
def test_a_process_killed_in_mid_build_costs_no_viewer_a_line(
    own_site: Site, container: str, open_client: OpenClient, process: str
) -> None:
    """Viewers from before and after the kill get the whole file, each record once."""
    site = own_site
    # The name keeps the engine from finding this build in its cache.
    step = f"RUN : {container}; for i in $(seq 1 60); do seq 1 100; sleep 0.05; done"
    app, _ = site.app(container, step)
    deployment = site.deploy(app)
    url = site.log_url(deployment)
    first = open_client(url, site.cookie)
    first.wait_lines(500, seconds=90)
    viewers = [first, open_client(url, site.cookie, kind=ALL[1])]
    viewers[1].wait_lines(1)
    pid = int(site.service.running(process)[0]["pid"])
    if process == "gunicorn":
        # The workers lose their rings and their clients.
        for worker in psutil.Process(pid).children():
            worker.kill()
        viewers = []
    else:
        psutil.Process(pid).kill()
    wait_until(lambda: site.service.answers("/readyz"), "the service to be ready")
    viewers += [open_client(url, site.cookie, kind=kind) for kind in ALL]
    assert [viewer.wait_closed(90) for viewer in viewers] == [1000] * len(viewers)
    records = site.records(deployment)
    wanted = "failed" if process == "deployment/" else "success"
    assert site.row(deployment)["status"] == wanted
    for viewer in viewers:
        assert [text for text in viewer.texts if text in set(records)] == records
        assert len(viewer.of_type("log")) == len([r for r in records if '"log"' in r[:14]])


def test_the_bus_carries_the_same_records(site: Site, container: str) -> None:
    """The bus carries the records in order, numbered like the file's lines."""
    app, _ = site.app(container, "RUN seq 1 500")
    deployment = site.deploy(app)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    records: dict[int, str] = {}
    topic = topics.deployment_log(deployment)
    with context, Follower(context, site.service.paths, Settings(), topic) as follower:

        def take() -> bool:
            for item in follower.take(0.2):
                assert not isinstance(item, Gap)
                for offset, record in enumerate(item.body.decode().split("\n")):
                    records[item.header.seq + offset] = record
            return '"success"' in list(records.values() or [""])[-1]

        wait_until(take, "the last record", seconds=60)
    lines = site.records(deployment)
    assert list(records.values()) == lines
    assert list(records) == list(range(1, len(lines) + 1))


def test_two_deployments_of_one_application_follow_each_other(site: Site, container: str) -> None:
    """The second deployment says what it waits for, and begins when the first is finished."""
    app, _ = site.app(container, "RUN sleep 1")
    answers: list[int] = []
    askers = [threading.Thread(target=lambda: answers.append(site.deploy(app))) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    first, second = sorted(answers)
    site.wait(first, "building")
    wait_until(
        lambda: f"waits for deployment {first} of this app" in site.row(second)["message"],
        "the second to wait",
    )
    assert site.wait(second)["status"] == "success"
    assert site.row(first)["status"] == "success"
    assert site.row(second)["started_at"] >= site.row(first)["finished_at"]
    assert site.engine.state(container) == "running"


def test_four_applications_two_at_a_time(site: Site, container: str) -> None:
    """At most two deployments run at a time, and all of them finish."""
    apps = [site.app(f"{container}-{number}", "RUN sleep 1")[0] for number in range(4)]
    deployments = [site.deploy(app) for app in apps]
    seen: set[int] = set()

    def all_have_finished() -> bool:
        rows = [site.row(deployment) for deployment in deployments]
        seen.add(sum(row["status"] in ("building", "deploying") for row in rows))
        return all(row["finished_at"] for row in rows)

    wait_until(all_have_finished, "four deployments to finish", 90)
    assert max(seen) == 2
    assert [site.row(d)["status"] for d in deployments] == ["success"] * 4


def test_a_killed_supervisor_leaves_no_deployment_open(own_site: Site, container: str) -> None:
    """After the supervisor is back, running deployments have failed and waiting ones run."""
    site = own_site
    app, repository = site.app(container, "RUN echo never-ends; sleep 600")
    running = site.deploy(app)
    waiting = site.deploy(app)
    wait_until(
        lambda: (
            (site.service.paths.deployment_log(running)).exists()
            and any("Running in" in record for record in site.records(running))
        ),
        "the build",
    )
    site.service.kill()
    wait_until(lambda: not site.service.processes(), "the service's processes to end")
    repository.commit({"Dockerfile": dockerfile()}, "No more waiting")
    site.service.start()
    row = site.wait(running)
    assert (row["status"], row["error_message"]) == ("failed", "Interrupted by a restart")
    assert json.loads(site.records(running)[-1])["data"] == {"message": "Interrupted by a restart"}
    assert site.wait(waiting)["status"] == "success"
    commands = [c["Command"] for c in site.engine.client.containers(all=True)]
    assert not [command for command in commands if "never-ends" in command]


def test_a_killed_runner_is_cleaned_up_after(site: Site, container: str) -> None:
    """The supervisor starts another runner, which ends the deployment."""
    app, _ = site.app(container, "RUN sleep 600")
    deployment = site.deploy(app)
    site.wait(deployment, "building")
    runner = site.service.running(f"deployment/{deployment}")[0]
    psutil.Process(runner["pid"]).kill()
    row = site.wait(deployment)
    assert (row["status"], row["error_message"]) == ("failed", "Interrupted by a restart")


def test_two_hung_runners_do_not_stop_the_queue(
    make_service: MakeService, engine: PrivateEngine, tmp_path: Path, container: str
) -> None:
    """Runners that do not respond end with their programs; who cancelled one is recorded."""
    site = Site(make_service(engine, QUICK | {"deployments.hang_seconds": 3}), engine, tmp_path)
    hung = []
    for number in (1, 2):
        app, _ = site.app(f"{container}-{number}", f"RUN sleep {60 + number}")
        deployment = site.deploy(app)
        site.wait(deployment, "building")
        hung.append(deployment)
    app, _ = site.app(f"{container}-3")
    next_one = site.deploy(app)
    for deployment in hung:
        (row,) = site.service.running(f"deployment/{deployment}")
        psutil.Process(row["pid"]).suspend()
    site.request("POST", f"deployments/{hung[0]}/cancel")
    assert site.wait(next_one)["status"] == "success"
    rows = [site.wait(deployment) for deployment in hung]
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert rows[0]["error_message"].startswith("Cancelled by")
    assert rows[1]["error_message"].startswith("Interrupted: its process did not respond for 3")
    assert not site.service.running("deployment/")


def test_cancelling_over_http(site: Site, container: str, open_client: OpenClient) -> None:
    """Running and waiting deployments fail live, with the name of the user who cancelled."""
    app, _ = site.app(container, "RUN sleep 600")
    running, waiting = site.deploy(app), site.deploy(app)
    site.wait(running, "building")
    for deployment in (waiting, running):
        viewer = open_client(site.log_url(deployment), site.cookie)
        viewer.wait_open()
        site.request("POST", f"deployments/{deployment}/cancel")
        assert viewer.wait_closed() == 1000
        error = {"message": "Cancelled by admin@localhost"}
        assert viewer.messages[-1]["data"] == error
        assert site.row(deployment)["error_message"] == error["message"]


def test_rolling_back_over_http(site: Site, container: str) -> None:
    """The image of an earlier deployment runs again without a build."""
    app, repository = site.app(container)
    first = site.deploy(app)
    assert site.wait(first)["status"] == "success"
    repository.commit({"Dockerfile": dockerfile("RUN echo second")}, "Second")
    assert site.wait(site.deploy(app))["status"] == "success"
    row = site.wait(site.deploy(app, rollback_to=first))
    assert (row["status"], row["commit_message"]) == ("success", "First commit")
    history = site.request("GET", f"apps/{app}/deployments")
    assert len(history) == 3


def test_the_container_log_goes_on_across_a_deployment(
    site: Site, container: str, open_client: OpenClient
) -> None:
    """One connection shows the old container's last line, a status and the new one's first line.

    Each status names the deployment that made its container.
    """
    app, repository = site.app(container, run=CHATTY.format(name="old"))
    old = site.deploy(app)
    assert site.wait(old)["status"] == "success"
    viewer = open_client(site.service.ws_url("container/logs", appId=app), site.cookie)
    viewer.wait_lines(1)
    repository.commit({"Dockerfile": dockerfile(run=CHATTY.format(name="new"))}, "New")
    new = site.deploy(app)
    assert site.wait(new)["status"] == "success"
    assert viewer.wait_lines(3) == ["old begins", "old ends", "new begins"]
    kinds = [m["type"] for m in viewer.messages]
    assert kinds[0] == "status"
    assert "status" in kinds[kinds.index("log") : -1]
    assert not {"error", "end"} & set(kinds)
    made_by = [message["data"]["deployment_id"] for message in viewer.of_type("status")]
    assert made_by == [old, new]


@pytest.mark.parametrize("killed", ["", "container/"])
def test_the_container_log_goes_on_while_both_containers_run(
    site: Site, container: str, open_client: OpenClient, killed: str
) -> None:
    """All lines of the old container come first, then all of the new one, which began before.

    So it is if the collector is killed when the new container has taken over.
    """
    app, repository = site.app(container, READY, run=COUNTING.format(name="old"))
    assert site.wait(site.deploy(app))["status"] == "success"
    viewer = open_client(site.service.ws_url("container/logs", appId=app), site.cookie)
    viewer.wait_lines(1)
    files = {"Dockerfile": dockerfile(READY, run=COUNTING.format(name="new"))}
    repository.commit(files, "New")
    deployment = site.deploy(app)
    if killed:
        aside = f"{container}-before-{deployment}"
        wait_until(lambda: site.engine.state(aside) == "running", "the old one to be renamed", 60)
        [collector] = site.service.running(f"{killed}{app}")
        psutil.Process(collector["pid"]).kill()
    assert site.wait(deployment)["status"] == "success"
    assert any("taken over without a gap" in record for record in site.records(deployment))
    viewer.wait_for(lambda _: "new 20" in viewer.lines)
    lines, end = viewer.lines, viewer.lines.index("old ends")
    first = int(lines[0].removeprefix("old "))
    assert lines[:end] == [f"old {first + number}" for number in range(end)]
    new = lines[end + 1 :]
    assert new == [f"new {1 + number}" for number in range(len(new))]
    assert not {"error", "end"} & {message["type"] for message in viewer.messages}
    assert not viewer.of_type("skipped")


def test_the_container_log_goes_on_across_a_failed_deployment(
    site: Site, container: str, open_client: OpenClient
) -> None:
    """One connection shows the old container, the new one that fails, and the old one again."""
    app, repository = site.app(container, run=CHATTY.format(name="old"))
    assert site.wait(site.deploy(app))["status"] == "success"
    viewer = open_client(site.service.ws_url("container/logs", appId=app), site.cookie)
    viewer.wait_lines(1)
    repository.commit({"Dockerfile": dockerfile(run="echo new fails; exit 3")}, "New")
    assert site.wait(site.deploy(app))["status"] == "failed"
    viewer.wait_for(lambda _: viewer.lines.count("old begins") == 2)
    assert [line for line in viewer.lines if line != "new fails"] == [
        *("old begins", "old ends", "old begins")
    ]
    assert not {"error", "end"} & {message["type"] for message in viewer.messages}


def test_the_command_draws_a_bar_on_a_terminal(site: Site, container: str) -> None:
    """On a terminal the command draws a progress bar below the log."""
    site.app(container, "RUN echo built on a terminal")
    ours, theirs = pty.openpty()
    environment = site.service.environment | {"TERM": "xterm", "COLUMNS": "100"}
    with program([MIST, "deploy", container], env=environment, stdout=theirs) as command:
        os.close(theirs)
        shown = b""
        # Reading from a terminal whose other end is closed fails with EIO.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65_536):
                shown += piece
        command.wait(30)
    os.close(ours)
    assert command.returncode == 0
    text = shown.decode()
    assert "━" in text
    assert "100%" in text
    assert "built on a terminal" in text


def test_the_command_follows_to_the_end(site: Site, container: str) -> None:
    """The command prints the log, and its exit status tells the outcome."""
    app, repository = site.app(container, "RUN echo built by hand")
    done = site.service.mist("deploy", container)
    assert "built by hand" in done.stdout
    assert "Deployment complete" in done.stdout
    repository.commit({"Dockerfile": dockerfile("RUN exit 9")}, "Break it")
    done = site.service.mist("deploy", str(app), check=False)
    assert done.returncode == 1
    assert "Docker build failed: exit code 9" in done.stdout
    done = site.service.mist("deploy", "nothing", check=False)
    assert done.returncode == 64
    assert "there is no application 'nothing'" in done.stderr


def test_interrupting_the_command_leaves_the_deployment(site: Site, container: str) -> None:
    """After Ctrl-C the command says how to cancel, and `mist cancel` does it."""
    site.app(container, "RUN sleep 600")
    environment = site.service.environment | {"PYTHONUNBUFFERED": "1"}
    deploy = (MIST, "deploy", container)
    with program(deploy, env=environment, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        deployment = int(next(command.stdout).split()[1])
        with contextlib.suppress(StopIteration):
            while "Step 2/" not in next(command.stdout):
                pass
        command.send_signal(signal.SIGINT)
        assert f"`mist cancel {deployment}` cancels it" in command.stdout.read()
        command.wait(30)
    assert command.returncode == 130
    assert site.row(deployment)["status"] == "building"
    site.service.mist("cancel", str(deployment))
    row = site.wait(deployment)
    assert row["status"] == "failed"
    assert row["error_message"].startswith("Cancelled by ")
    done = site.service.mist("cancel", str(deployment), check=False)
    assert (done.returncode, "already finished" in done.stderr) == (64, True)
    done = site.service.mist("cancel", "7777", check=False)
    assert (done.returncode, "no deployment 7777" in done.stderr) == (64, True)
