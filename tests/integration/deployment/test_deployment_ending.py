"""Deployments that are cancelled or interrupted at each stage, on a real engine."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mist.deployments.records import status_record
from mist.store.records import App
from tests.support.service.deployment_checks import (
    change,
    check_clean,
    check_containers,
    check_log,
    container_id,
    failed,
)
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until


class TestCancel:
    """Deployments that a user cancels."""

    def test_at_each_stage(
        self, deployer: Deployer, old: tuple[App, str], stage: tuple[str, int]
    ) -> None:
        """The deployment fails, naming the user who cancelled it; the old container runs."""
        app, before = old
        name, deployment = stage
        assert deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        deployer.join()
        failed(deployer, deployer.row(deployment), "^Cancelled by boss@example.com$")
        assert deployer.row(deployment).stage == name
        assert container_id(deployer, app.container) == before
        check_clean(deployer, app, containers=1)

    def test_in_the_queue(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """A deployment that is cancelled in the queue never starts."""
        deployment = deployer.create(old[0])
        deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        row = deployer.run(deployment)
        failed(deployer, row, "^Cancelled by boss@example.com$")
        assert row.progress == 0


class TestInterruption:
    """Deployments whose runner ends before they do."""

    def test_killed_at_each_stage(
        self, deployer: Deployer, old: tuple[App, str], stage: tuple[str, int]
    ) -> None:
        """After a runner is killed, the next one reports it and restores everything."""
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
        """A runner that is told to stop restores everything itself."""
        app, before = old
        deployer.processes[-1].terminate()
        deployer.join()
        failed(deployer, deployer.row(stage[1]), "^Interrupted by a restart$")
        assert container_id(deployer, app.container) == before

    def test_killed_after_the_old_container_was_removed(
        self, deployer: Deployer, old: tuple[App, str], hold: Callable[[str], int]
    ) -> None:
        """Once the old container has been removed, the deployment counts as succeeded."""
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

    def test_killed_after_a_container_that_removes_itself_was_stopped(
        self, deployer: Deployer, container: str
    ) -> None:
        """The engine has removed the old container (``--rm``), so the new one stays."""
        app = deployer.app(
            deployer.repository({"Dockerfile": dockerfile()}).url, container=container
        )
        running = deployer.engine.run(container, SERVE, stop_signal="SIGTERM", auto_remove=True)
        deployer.store.apps.adopt(app.id, running)
        deployer.limits["settle_seconds"] = 60
        deployment = deployer.create(app)
        deployer.start(deployment)
        deployer.wait_for(deployment, "starting_new")
        wait_until(
            lambda: deployer.engine.state(container) == "running", "the new container to run"
        )
        deployer.kill()
        new = container_id(deployer, container)
        row = deployer.run(deployment, resume=True)
        failed(deployer, row, "restart .the previous container is gone, the new one stays.$")
        assert container_id(deployer, container) == new
        deployer.limits["settle_seconds"] = 0.4
        assert deployer.deploy(app).status == "success"
        check_clean(deployer, app, containers=1)

    def test_what_could_not_be_put_back_is_put_back_by_the_next(
        self, deployer: Deployer, old: tuple[App, str], hold: Callable[[str], int]
    ) -> None:
        """If the engine is away for too long, the next runner restores everything."""
        app, before = old
        deployment = hold("starting_new")
        deployer.kill()
        deployer.store.deployments.update(deployment, status="failed")
        deployer.limits["settle_seconds"] = 0.4
        assert deployer.deploy(app).status == "success"
        assert container_id(deployer, app.container) != before
        check_containers(deployer, app, 1)

    def test_the_engine_gone_in_a_build(self, own_engine: PrivateEngine) -> None:
        """A deployment fails if the engine goes away; once it is back, the next one succeeds."""
        deployer = Deployer(own_engine)
        try:
            steps = ("RUN echo one >/file", "RUN echo never-ends; sleep 60")
            repository = deployer.repository({"Dockerfile": dockerfile(*steps)})
            app = deployer.app(repository.url)
            before = own_engine.client.images(all=True, quiet=True)
            deployment = deployer.create(app)
            deployer.start(deployment)
            deployer.wait_for(deployment, "building_image", "never-ends")
            own_engine.kill()
            wait_until(lambda: deployer.row(deployment).finished, "the deployment to fail")
            own_engine.start()
            deployer.join()
            # The engine has lost the build, and the runner removes what is left of it.
            assert own_engine.client.images(all=True, quiet=True) == before
            assert own_engine.client.containers(all=True) == []
            failed(deployer, deployer.row(deployment), "Docker build failed: .*aborted the build")
            change(deployer, dockerfile())
            assert deployer.deploy(app).status == "success"
        finally:
            deployer.destroy()

    def test_the_engine_gone_for_long_in_a_build(self, own_engine: PrivateEngine) -> None:
        """What the build has left is removed by the next deployment, of another application."""
        deployer = Deployer(own_engine, recovery_seconds=0.1)
        try:
            before = own_engine.client.images(all=True, quiet=True)
            steps = ("RUN echo one >/file", "RUN echo never-ends; sleep 60")
            repository = deployer.repository({"Dockerfile": dockerfile(*steps)})
            deployment = deployer.create(deployer.app(repository.url))
            deployer.start(deployment)
            deployer.wait_for(deployment, "building_image", "never-ends")
            own_engine.kill()
            deployer.join()
            assert deployer.row(deployment).finished
            own_engine.start()
            assert len(own_engine.client.images(all=True, quiet=True)) > len(before)
            change(deployer, "FROM missing")
            assert deployer.deploy(deployer.app(repository.url)).status == "failed"
            assert own_engine.client.images(all=True, quiet=True) == before
            assert own_engine.client.containers(all=True) == []
        finally:
            deployer.destroy()

    def test_the_engine_gone_in_a_swap(self, own_engine: PrivateEngine) -> None:
        """The deployment is undone, with its own error, by the first runner that can do it."""
        deployer = Deployer(own_engine, settle_seconds=60, recovery_seconds=1)
        try:
            app = deployer.app(deployer.repository({"Dockerfile": dockerfile()}).url)
            before = own_engine.run(app.container, SERVE, stop_signal="SIGTERM")
            deployer.store.apps.adopt(app.id, before)
            deployment = deployer.create(app)
            deployer.start(deployment)
            deployer.wait_for(deployment, "starting_new")
            own_engine.kill()
            # The runner that deploys, and one that finds the engine still away.
            deployer.join()
            row = deployer.run(deployment, resume=True)
            assert not row.finished
            assert row.message.startswith("Waiting for the Docker Engine")
            own_engine.start()
            row = deployer.run(deployment, resume=True)
            failed(deployer, row, "^Docker Engine|^[Tt]he Docker Engine")
            assert container_id(deployer, app.container) == before
            check_clean(deployer, app, containers=1)
        finally:
            deployer.destroy()

    def test_the_engine_restarted_while_the_new_container_is_watched(
        self, own_engine: PrivateEngine
    ) -> None:
        """The application runs afterwards, whether or not the deployment succeeds."""
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
        """A runner that dies between the log's last record and the store's changes no outcome."""
        app, _ = deployed
        deployment = deployer.create(app)
        path = deployer.paths.deployment_log(deployment)
        text = deployer.paths.deployment_log(1).read_text()
        path.write_text(text.replace('"deployment_id":1', f'"deployment_id":{deployment}'))
        row = deployer.run(deployment, resume=True)
        assert row.status == "success"
        assert path.read_text().count('"success"') == 1
