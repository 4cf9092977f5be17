"""Deployments and rollbacks on a real engine, from real Git repositories."""

from __future__ import annotations

from typing import Any

from mist.store.records import App
from tests.support.service.deployment_checks import (
    change,
    check_clean,
    check_log,
    container_id,
    failed,
)
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import PrivateEngine


class TestSuccess:
    """Deployments that succeed."""

    def test_runs_the_repository_as_the_applications_container(
        self, deployer: Deployer, container: str
    ) -> None:
        """The container has the application's name, environment, port, policy and labels."""
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
        assert found["Config"]["Labels"]["mist.installation"] == deployer.store.installation
        assert found["Config"]["Image"] == row.image == deployer.tag(app, row.id)
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert found["HostConfig"]["PortBindings"]["3000/tcp"][0]["HostPort"] == "3000"
        check_log(deployer, row)
        check_clean(deployer, app, containers=1)

    def test_goes_through_the_stages_in_order(
        self, deployer: Deployer, old: tuple[App, str]
    ) -> None:
        """Every documented stage is shown, and the progress follows the build's steps."""
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

    def test_takes_no_output_for_a_step(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """Output that looks like a build step does not count as one; real steps are still shown."""
        fake = "RUN printf 'Step 4/4 : x'; sleep 0.2; echo; echo 'Step 3/4 : y'; sleep 0.5; exit 1"
        change(deployer, dockerfile("RUN true", fake))
        row = deployer.deploy(old[0])
        messages = {status["message"] for status in deployer.statuses(row.id)}
        shown = {message for message in messages if "step" in message}
        assert shown == {f"Building Docker image... step {n} of 4" for n in (1, 2, 3)}
        assert "Step 4/4 : x" in deployer.text(row.id)

    def test_replaces_the_old_container(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """The old container is removed and the new one has its name."""
        app, before = deployed
        row = deployer.deploy(app)
        assert row.status == "success"
        assert container_id(deployer, app.container) != before
        check_clean(deployer, app, containers=1)

    def test_waits_until_the_container_is_healthy(self, deployer: Deployer, container: str) -> None:
        """An image with a HEALTHCHECK is up once the check reports healthy."""
        check = 'HEALTHCHECK --interval=1s CMD ["cat", "/tmp/ready"]'
        files = {"Dockerfile": dockerfile(check, run=f"sleep 1; echo > /tmp/ready; {SERVE}")}
        row = deployer.deploy(deployer.app(deployer.repository(files).url, container=container))
        assert row.status == "success"
        found = deployer.engine.client.inspect_container(container)
        assert found["State"]["Health"]["Status"] == "healthy"

    def test_honours_dockerignore_and_leaves_git_out(
        self, deployer: Deployer, container: str
    ) -> None:
        """The build context follows .dockerignore and never includes .git."""
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
        """The application's branch is built with its Dockerfile, here in a folder."""
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
        """Values of the environment reach the build but neither the log nor the row."""
        repository = deployer.repository({"Dockerfile": dockerfile("ARG KEY", "RUN echo key=$KEY")})
        app = deployer.app(repository.url, container=container, env={"KEY": "hunter2-hunter2"})
        row = deployer.deploy(app)
        assert "key=***" in deployer.text(row.id)
        assert b"hunter2" not in deployer.paths.deployment_log(row.id).read_bytes()

    def test_keeps_the_newest_images(self, engine: PrivateEngine, container: str) -> None:
        """Only the newest images are kept."""
        deployer = Deployer(engine, keep_images=2)
        try:
            repository = deployer.repository({"Dockerfile": dockerfile()})
            app = deployer.app(repository.url, container=container)
            for number in range(3):
                change(deployer, dockerfile(f"RUN echo {number}"))
                assert deployer.deploy(app).status == "success"
            assert deployer.tags() == {deployer.tag(app, 2), deployer.tag(app, 3)}
        finally:
            deployer.destroy()


class TestRollback:
    """Starting the image of an earlier deployment again."""

    def test_starts_the_earlier_image_without_building(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """A rollback uses the earlier commit and image and clones nothing."""
        app, _ = deployed
        change(deployer, dockerfile("RUN echo second"))
        assert deployer.deploy(app).status == "success"
        row = deployer.deploy(app, rollback_to=1)
        assert row.status == "success"
        assert row.commit_hash == deployer.row(1).commit_hash
        assert not {"cloning_repo", "building_image"} & {s["stage"] for s in deployer.statuses(3)}
        client: Any = deployer.engine.client
        images = [client.inspect_image(deployer.tag(app, number))["Id"] for number in (1, 3)]
        assert images[0] == images[1]
        check_log(deployer, row)

    def test_says_that_an_image_is_gone(
        self, deployer: Deployer, deployed: tuple[App, str]
    ) -> None:
        """A pruned image cannot be started again; the running container is left alone."""
        app, before = deployed
        failed(
            deployer, deployer.deploy(app, rollback_to=deployer.create(app)), "not there any more"
        )
        assert container_id(deployer, app.container) == before
