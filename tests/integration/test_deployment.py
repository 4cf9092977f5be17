"""Deployments on a real engine, from real Git repositories: how they end, and what they leave."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from mist.deployments import status_record
from mist.store.records import App, Deployment
from tests.integration.harness.deployments import SERVE, Deployer, dockerfile
from tests.integration.harness.engine import IMAGE, PrivateEngine, wait_until

#: The progress that the document allows for each status.
RANGES = {"pending": (0, 0), "building": (25, 75), "deploying": (75, 90), "success": (100, 100)}


@pytest.fixture
def deployer(engine: PrivateEngine) -> Iterator[Deployer]:
    """A store and a home of its own."""
    made = Deployer(engine)
    yield made
    made.destroy()


@pytest.fixture
def old(deployer: Deployer, container: str) -> tuple[App, str]:
    """An application that runs and has a repository; the id of its container."""
    repository = deployer.repository({"Dockerfile": dockerfile()})
    app = deployer.app(repository.url, container=container)
    return app, deployer.engine.run(container, SERVE, stop_signal="SIGTERM")


@pytest.fixture
def deployed(deployer: Deployer, container: str) -> tuple[App, str]:
    """An application that was deployed once, and the id of its container."""
    app = deployer.app(deployer.repository({"Dockerfile": dockerfile()}).url, container=container)
    assert deployer.deploy(app).status == "success"
    return app, container_id(deployer, container)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a Git server that accepts connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/repo.git"


def container_id(deployer: Deployer, name: str) -> str:
    """The id of the container of this name, which must run."""
    found = deployer.engine.client.inspect_container(name)
    assert found["State"]["Running"]
    return str(found["Id"])


def change(deployer: Deployer, content: str) -> None:
    """Commit another Dockerfile to the deployer's repository."""
    folder = deployer.directory / "repo"
    (folder / "Dockerfile").write_text(content)
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *author, "commit", "-qam", "Change"], cwd=folder, check=True)


def check_log(deployer: Deployer, row: Deployment) -> None:
    """The rules that the log of every deployment keeps."""
    statuses = deployer.statuses(row.id)
    assert statuses[-1]["status"] == row.status
    assert statuses[-1]["error_message"] == row.error_message
    assert all(a["progress"] <= b["progress"] for a, b in pairwise(statuses))
    for status in statuses:
        low, high = RANGES.get(status["status"], (0, 100))
        assert low <= status["progress"] <= high
    last = deployer.log(row.id)[-1]
    if row.status == "failed":
        assert last["data"] == {"message": row.error_message}
    assert last["type"] == ("error" if row.status == "failed" else "status")


def check_clean(deployer: Deployer, app: App, containers: int) -> None:
    """No files, containers or half-built images are left of a deployment."""
    assert not list(deployer.paths.home.glob("deployments/*.work"))
    wait_until(lambda: no_build(deployer), "the engine to give the build up")
    check_containers(deployer, app, containers)


def check_containers(deployer: Deployer, app: App, count: int) -> None:
    """The application has so many containers, under whatever names."""
    everything = deployer.engine.client.containers(all=True)
    own = [c for c in everything if any(app.container in name for name in c["Names"])]
    assert len(own) == count


def failed(deployer: Deployer, row: Deployment, error: str) -> None:
    """The deployment failed with an error that matches."""
    assert row.status == "failed"
    assert re.search(error, row.error_message), row.error_message
    assert row.finished_at is not None
    check_log(deployer, row)


class TestSuccess:
    """A deployment that goes well."""

    def test_runs_the_repository_as_the_applications_container(
        self, deployer: Deployer, container: str
    ) -> None:
        """The container has name, environment, port, restart policy and labels of the app."""
        repository = deployer.repository({"Dockerfile": dockerfile("EXPOSE 3000")})
        app = deployer.app(repository.url, container=container, port=3000, env={"MODE": "quick"})
        row = deployer.deploy(app)
        assert (row.status, row.stage, row.progress) == ("success", "completed", 100)
        assert row.commit_hash == repository.git("rev-parse", "HEAD").strip()
        assert row.commit_message == "First commit"
        found = deployer.engine.client.inspect_container(container)
        assert found["State"]["Running"]
        assert "MODE=quick" in found["Config"]["Env"]
        assert found["Config"]["Labels"]["mist.app"] == str(app.id)
        assert found["Config"]["Labels"]["mist.deployment"] == str(row.id)
        assert found["Config"]["Image"] == f"mist-app-{app.id}:{row.id}"
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert found["HostConfig"]["PortBindings"]["3000/tcp"][0]["HostPort"] == "3000"
        check_log(deployer, row)
        check_clean(deployer, app, containers=1)

    def test_goes_through_the_stages_in_order(
        self, deployer: Deployer, old: tuple[App, str]
    ) -> None:
        """Each stage of the document is shown, and progress follows the build's steps."""
        change(deployer, dockerfile(*[f"RUN echo {n}" for n in range(6)]))
        row = deployer.deploy(old[0])
        statuses = deployer.statuses(row.id)
        stages = list(dict.fromkeys(status["stage"] for status in statuses))
        assert stages[1:] == [
            *("cloning_repo", "building_image", "stopping_old", "starting_new", "completed")
        ]
        building = {s["progress"] for s in statuses if s["stage"] == "building_image"}
        assert building == {25 + 50 * done // 8 for done in range(9)}
        assert "Step 3/8 : RUN echo 1" in deployer.text(row.id)

    def test_replaces_the_old_container(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """The old one is gone, the new one has its name."""
        app, before = deployed
        row = deployer.deploy(app)
        assert row.status == "success"
        assert container_id(deployer, app.container) != before
        check_clean(deployer, app, containers=1)

    def test_waits_until_the_container_is_healthy(self, deployer: Deployer, container: str) -> None:
        """An image with a HEALTHCHECK is up once that says so."""
        check = 'HEALTHCHECK --interval=1s CMD ["cat", "/tmp/ready"]'
        files = {"Dockerfile": dockerfile(check, run=f"sleep 1; echo > /tmp/ready; {SERVE}")}
        row = deployer.deploy(deployer.app(deployer.repository(files).url, container=container))
        assert row.status == "success"
        found = deployer.engine.client.inspect_container(container)
        assert found["State"]["Health"]["Status"] == "healthy"

    def test_honours_dockerignore_and_leaves_git_out(
        self, deployer: Deployer, container: str
    ) -> None:
        """The build sees what .dockerignore lets through, and never .git."""
        repository = deployer.repository(
            {
                "Dockerfile": dockerfile("COPY . /src", "RUN cd /src; echo found *; echo .[a-z]*"),
                ".dockerignore": "*.log\nprivate\n",
                "a.txt": "",
                "b.log": "",
                "private/c": "",
            }
        )
        row = deployer.deploy(deployer.app(repository.url, container=container))
        assert row.status == "success"
        assert "found Dockerfile a.txt" in deployer.text(row.id)
        assert "\n.dockerignore\n" in deployer.text(row.id)

    def test_builds_the_branch_and_the_dockerfile_that_the_app_names(
        self, deployer: Deployer, container: str
    ) -> None:
        """Another branch, a Dockerfile in a folder."""
        repository = deployer.repository({"Dockerfile": "BROKEN"})
        repository.git("checkout", "-q", "-b", "next")
        repository.commit({"deploy/Dockerfile": dockerfile()}, "Second commit")
        repository.git("checkout", "-q", "main")
        app = deployer.app(
            repository.url, container=container, branch="next", dockerfile="deploy/Dockerfile"
        )
        row = deployer.deploy(app)
        assert (row.status, row.commit_message) == ("success", "Second commit")

    def test_keeps_secrets_out_of_log_and_row(self, deployer: Deployer, container: str) -> None:
        """Values of the environment reach the build, and not what people read."""
        repository = deployer.repository({"Dockerfile": dockerfile("ARG KEY", "RUN echo key=$KEY")})
        app = deployer.app(repository.url, container=container, env={"KEY": "hunter2-hunter2"})
        row = deployer.deploy(app)
        assert "key=***" in deployer.text(row.id)
        assert b"hunter2" not in deployer.paths.deployment_log(row.id).read_bytes()

    def test_keeps_the_newest_images(self, engine: PrivateEngine, container: str) -> None:
        """Older ones are removed."""
        deployer = Deployer(engine, keep_images=2)
        try:
            repository = deployer.repository({"Dockerfile": dockerfile()})
            app = deployer.app(repository.url, container=container)
            for number in range(3):
                change(deployer, dockerfile(f"RUN echo {number}"))
                assert deployer.deploy(app).status == "success"
            tags = {
                tag for i in engine.client.images(f"mist-app-{app.id}") for tag in i["RepoTags"]
            }
            assert tags == {f"mist-app-{app.id}:2", f"mist-app-{app.id}:3"}
        finally:
            deployer.destroy()


class TestRollback:
    """Starting the image of an earlier deployment again."""

    def test_starts_the_earlier_image_without_building(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """Commit and image are the earlier ones; nothing is cloned."""
        app, _ = deployed
        change(deployer, dockerfile("RUN echo second"))
        assert deployer.deploy(app).status == "success"
        row = deployer.deploy(app, rollback_to=1)
        assert row.status == "success"
        assert row.commit_hash == deployer.row(1).commit_hash
        assert not {"cloning_repo", "building_image"} & {s["stage"] for s in deployer.statuses(3)}
        client: Any = deployer.engine.client
        images = [client.inspect_image(f"mist-app-{app.id}:{number}")["Id"] for number in (1, 3)]
        assert images[0] == images[1]
        check_log(deployer, row)

    def test_says_that_an_image_is_gone(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """A pruned image cannot be started again; what runs goes on."""
        app, before = deployed
        failed(
            deployer, deployer.deploy(app, rollback_to=deployer.create(app)), "not there any more"
        )
        assert container_id(deployer, app.container) == before


class TestFailure:
    """A deployment that goes wrong leaves the old container as it was."""

    @pytest.fixture(autouse=True)
    def untouched(self, deployer: Deployer, old: tuple[App, str]) -> Iterator[None]:
        """Whatever the test does, the old container runs afterwards, and nothing else is there."""
        yield
        app, before = old
        assert container_id(deployer, app.container) == before
        check_clean(deployer, app, containers=1)

    def test_failing_build_step(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The exit code is in the error."""
        change(deployer, dockerfile("RUN echo about to fail; exit 7"))
        row = deployer.deploy(old[0])
        failed(deployer, row, "^Docker build failed: exit code 7$")
        assert "about to fail" in deployer.text(row.id)

    def test_broken_dockerfile(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The engine's words are the error."""
        change(deployer, "NONSENSE here\n")
        failed(deployer, deployer.deploy(old[0]), "Docker build failed: .*unknown instruction")

    def test_missing_dockerfile(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The file that is missing is named."""
        app = deployer.app(f"file://{deployer.directory}/repo", dockerfile="Dockerfile.prod")
        failed(deployer, deployer.deploy(app), "no Dockerfile 'Dockerfile.prod'")

    def test_missing_branch(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """Git's words are the error."""
        app = deployer.app(f"file://{deployer.directory}/repo", branch="nowhere")
        failed(deployer, deployer.deploy(app), "Git clone failed: Remote branch nowhere not found")

    def test_missing_repository(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """Git's words are the error, without the credentials in the address."""
        app = deployer.app("http://joe:pass-word@127.0.0.1:9/x.git")
        row = deployer.deploy(app)
        failed(deployer, row, "Git clone failed: ")
        assert b"pass-word" not in deployer.paths.deployment_log(row.id).read_bytes()
        assert "pass-word" not in row.error_message

    def test_repository_that_does_not_answer(
        self, deployer: Deployer, old: tuple[App, str], silent_server: str
    ) -> None:
        """It is given up after the time that the settings allow."""
        deployer.limits["clone_seconds"] = 0.8
        row = deployer.deploy(deployer.app(silent_server))
        failed(deployer, row, "Cloning the Git repository: gave up after 0.8 seconds")

    def test_repository_that_is_too_large(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """What the build would be sent is bounded."""
        (deployer.directory / "repo/large").write_bytes(b"x" * 100_000)
        subprocess.run(["git", "add", "large"], cwd=deployer.directory / "repo", check=True)
        change(deployer, dockerfile("COPY large /"))
        deployer.limits["context_bytes"] = 65_536
        failed(deployer, deployer.deploy(old[0]), "larger than 65536 bytes")

    def test_container_that_exits_at_once(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The new one's last lines are in the log, the old one is back."""
        change(deployer, dockerfile(run="echo cannot find my settings; exit 3"))
        row = deployer.deploy(old[0])
        failed(deployer, row, "exited with status 3")
        assert "cannot find my settings" in deployer.text(row.id)
        assert "serving" in deployer.engine.lines(old[0].container)

    def test_container_that_is_unhealthy(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """A HEALTHCHECK that fails is a failed deployment."""
        change(deployer, dockerfile("HEALTHCHECK --interval=1s --retries=1 CMD false"))
        failed(deployer, deployer.deploy(old[0]), "unhealthy")

    def test_container_that_cannot_start(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The engine's words are the error."""
        change(deployer, f'FROM {IMAGE}\nCMD ["/no/such/program"]\n')
        failed(deployer, deployer.deploy(old[0]), "The Docker Engine refused: .*no such file")

    def test_disk_full_for_the_log(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The deployment fails and says so in the store; the log keeps what it had."""
        folder = deployer.paths.home / "deployments"
        folder.mkdir()
        change(deployer, dockerfile("RUN seq 1 40000"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
        try:
            row = deployer.deploy(old[0])
            assert row.status == "failed"
            assert "log cannot be written" in row.error_message
            assert "No space left" in row.error_message
            check_log(deployer, row)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


class TestCancel:
    """A deployment that somebody cancels."""

    def test_at_each_stage(
        self, deployer: Deployer, old: tuple[App, str], stage: tuple[str, int]
    ) -> None:
        """It is failed with the name of who cancelled it, and the old container runs."""
        app, before = old
        _, deployment = stage
        assert deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        deployer.join()
        failed(deployer, deployer.row(deployment), "^Cancelled by boss@example.com$")
        assert container_id(deployer, app.container) == before
        check_clean(deployer, app, containers=1)

    def test_a_container_of_an_earlier_store_is_not_taken_for_its_own(
        self, engine: PrivateEngine, deployed: tuple[App, str]
    ) -> None:
        """After a new beginning the ids are the same; what runs is not touched."""
        app, before = deployed
        again = Deployer(engine)
        try:
            again.repository({"Dockerfile": dockerfile(run="exit 3")})
            url = f"file://{again.directory}/repo"
            row = again.deploy(again.app(url, container=app.container))
            assert (row.id, row.app_id) == (1, 1)
            failed(again, row, "exited with status 3")
            assert container_id(again, app.container) == before
        finally:
            again.close()

    def test_in_the_queue(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """It is never begun."""
        deployment = deployer.create(old[0])
        deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        row = deployer.run(deployment)
        failed(deployer, row, "^Cancelled by boss@example.com$")
        assert row.progress == 0


class TestInterruption:
    """A deployment whose runner ends before it does."""

    def test_killed_at_each_stage(
        self, deployer: Deployer, old: tuple[App, str], stage: tuple[str, int]
    ) -> None:
        """The next runner says so, and puts everything back."""
        app, before = old
        _, deployment = stage
        deployer.kill()
        row = deployer.run(deployment, resume=True)
        failed(deployer, row, "^Interrupted by a restart$")
        assert container_id(deployer, app.container) == before
        check_clean(deployer, app, containers=1)

    def test_stopped_at_each_stage(
        self, deployer: Deployer, old: tuple[App, str], stage: tuple[str, int]
    ) -> None:
        """A runner that is told to stop puts everything back itself."""
        app, before = old
        deployer.processes[-1].terminate()
        deployer.join()
        failed(deployer, deployer.row(stage[1]), "^Interrupted by a restart$")
        assert container_id(deployer, app.container) == before

    def test_killed_after_the_old_container_was_removed(
        self, deployer: Deployer, old: tuple[App, str], hold: Callable[[str], int]
    ) -> None:
        """That is the step after which it has succeeded; all that is left to do is to say so."""
        app, before = old
        deployment = hold("starting_new")
        state = deployer.engine.state
        wait_until(lambda: state(app.container) == "running", "the new container to run")
        deployer.kill()
        log = deployer.paths.deployment_log(deployment)
        up = status_record(replace(deployer.row(deployment), progress=90, message="It is up"))
        log.write_bytes(log.read_bytes() + up + b"\n")
        deployer.engine.remove(before)
        assert deployer.run(deployment, resume=True).status == "success"
        container_id(deployer, app.container)
        check_log(deployer, deployer.row(deployment))
        check_clean(deployer, app, containers=1)

    def test_what_could_not_be_put_back_is_put_back_by_the_next(
        self, deployer: Deployer, old: tuple[App, str], hold: Callable[[str], int]
    ) -> None:
        """The engine was away for longer than a runner tries."""
        app, before = old
        deployment = hold("starting_new")
        deployer.kill()
        deployer.store.deployments.update(deployment, status="failed")
        deployer.limits["settle_seconds"] = 0.4
        assert deployer.deploy(app).status == "success"
        assert container_id(deployer, app.container) != before
        check_containers(deployer, app, 1)

    def test_the_engine_gone_in_a_build(self, own_engine: PrivateEngine) -> None:
        """The deployment fails; once the engine is back the next one goes well."""
        deployer = Deployer(own_engine)
        try:
            repository = deployer.repository({"Dockerfile": dockerfile("RUN sleep 60")})
            app = deployer.app(repository.url)
            deployment = deployer.create(app)
            deployer.start(deployment)
            deployer.wait_for(deployment, "building_image", " ---> Running in")
            own_engine.kill()
            deployer.join()
            failed(deployer, deployer.row(deployment), "Docker build failed: .*broke the build off")
            own_engine.start()
            change(deployer, dockerfile())
            assert deployer.deploy(app).status == "success"
        finally:
            deployer.destroy()

    def test_the_engine_restarted_while_the_new_container_is_watched(
        self, own_engine: PrivateEngine
    ) -> None:
        """Whatever becomes of the deployment, the application runs afterwards."""
        deployer = Deployer(own_engine, settle_seconds=3)
        try:
            app = deployer.app(deployer.repository({"Dockerfile": dockerfile()}).url)
            deployer.deploy(app)
            deployment = deployer.create(app)
            deployer.start(deployment)
            deployer.wait_for(deployment, "starting_new")
            own_engine.restart()
            deployer.join()
            assert deployer.row(deployment).finished
            container_id(deployer, app.container)
            check_clean(deployer, app, containers=1)
        finally:
            deployer.destroy()

    def test_a_finished_log_settles_the_row(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """A runner that died between its last record and the store changes no outcome."""
        app, _ = deployed
        deployment = deployer.create(app)
        path = deployer.paths.deployment_log(deployment)
        text = deployer.paths.deployment_log(1).read_text()
        path.write_text(text.replace('"deployment_id":1', f'"deployment_id":{deployment}'))
        row = deployer.run(deployment, resume=True)
        assert row.status == "success"
        assert path.read_text().count('"success"') == 1


def no_build(deployer: Deployer) -> bool:
    """Whether no container of a build is left."""
    return not [
        c for c in deployer.engine.client.containers(all=True) if "never-ends" in c["Command"]
    ]


@pytest.fixture(params=["cloning_repo", "building_image", "stopping_old", "starting_new"])
def stage(
    request: pytest.FixtureRequest,
    deployer: Deployer,
    old: tuple[App, str],
    hold: Callable[[str], Any],
) -> tuple[str, int]:
    """A deployment that is held in each stage in turn, and its number."""
    deployment = hold(request.param)
    return request.param, deployment


@pytest.fixture
def hold(deployer: Deployer, old: tuple[App, str], silent_server: str) -> Callable[[str], int]:
    """Starts a deployment that stays in a stage for as long as a test may take."""
    app, _ = old

    def clone() -> int:
        other = deployer.app(silent_server, container=app.container)
        return begin(other, "cloning_repo")

    def building() -> int:
        change(deployer, dockerfile("RUN echo never-ends; sleep 60"))
        return begin(app, "building_image", "never-ends")

    def stopping() -> int:
        # A process that is stopped takes no SIGTERM: it is killed when its time is over.
        deployer.limits["stop_seconds"] = 4
        deployer.engine.client.kill(app.container, "STOP")
        return begin(app, "stopping_old")

    def starting() -> int:
        deployer.limits["settle_seconds"] = 60
        return begin(app, "starting_new")

    def begin(which: App, name: str, line: str = "") -> int:
        deployment = deployer.create(which)
        deployer.start(deployment)
        deployer.wait_for(deployment, name, line)
        return deployment

    ways = {
        "cloning_repo": clone,
        "building_image": building,
        "stopping_old": stopping,
        "starting_new": starting,
    }
    return lambda name: ways[name]()
