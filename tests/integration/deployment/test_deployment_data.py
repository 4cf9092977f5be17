"""Data that a container wrote stays readable for its successors, however a deployment ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mist.store.records import App
from tests.support.service.deployment_checks import change, check_clean, container_id, failed
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import IMAGE, PrivateEngine
from tests.support.wait import wait_until

EXITS = "exit 3"


def image(*volumes: str, run: str = SERVE, steps: tuple[str, ...] = ()) -> str:
    """Return a Dockerfile with these volumes."""
    return dockerfile(*steps, *(f"VOLUME {path}" for path in volumes), run=run)


def write(engine: PrivateEngine, name: str, path: str, text: str = "precious") -> None:
    """Write a file in a running container."""
    execute(engine, name, f"echo {text} > {path}")


def read(engine: PrivateEngine, name: str, path: str) -> str:
    """Read a file in a running container."""
    return execute(engine, name, f"cat {path}").strip()


def execute(engine: PrivateEngine, name: str, script: str) -> str:
    """Run a script in a container and return its output."""
    client: Any = engine.client
    execution = client.exec_create(name, ["/bin/sh", "-c", script])["Id"]
    output: bytes = client.exec_start(execution)
    assert client.exec_inspect(execution)["ExitCode"] == 0, output
    return output.decode()


def volumes(engine: PrivateEngine, name: str) -> dict[str, str]:
    """Return the container's volumes by their paths."""
    found = engine.client.inspect_container(name)
    return {each["Destination"]: each["Name"] for each in found["Mounts"]}


@pytest.fixture
def app(deployer: Deployer, container: str) -> App:
    """An application that has written to its anonymous volumes."""
    repository = deployer.repository({"Dockerfile": image("/data", "/more/")})
    app = deployer.app(repository.url, container=container)
    assert deployer.deploy(app).status == "success"
    write(deployer.engine, container, "/data/a")
    write(deployer.engine, container, "/more/b")
    return app


@pytest.fixture
def kept(deployer: Deployer, app: App) -> Callable[[], None]:
    """Check that the application runs and reads what it wrote, from the same volumes."""
    before = volumes(deployer.engine, app.container)
    assert set(before) == {"/data", "/more"}

    def check() -> None:
        container_id(deployer, app.container)
        assert read(deployer.engine, app.container, "/data/a") == "precious"
        assert read(deployer.engine, app.container, "/more/b") == "precious"
        now = volumes(deployer.engine, app.container)
        assert {path: now[path] for path in before} == before
        check_clean(deployer, app, containers=1)

    return check


class TestSuccess:
    """Data after a deployment that succeeded."""

    @pytest.mark.parametrize(
        "following",
        [
            image("/data", "/more"),
            image("/data/", "/more"),
            image('["/more", "/data"]'),
            image("/data"),
            image(),
            image("/data", "/more", "/another"),
            image("/data", "/more", steps=("RUN mkdir /data && echo image > /data/a",)),
        ],
    )
    def test_after_a_deployment(
        self, deployer: Deployer, app: App, kept: Callable[[], None], following: str
    ) -> None:
        """Data survives whatever volumes and files the next image has at these paths."""
        change(deployer, following + "# next\n")
        row = deployer.deploy(app)
        assert row.status == "success"
        kept()
        assert f"Keeping volume {volumes(deployer.engine, app.container)['/data']} at /data" in (
            deployer.text(row.id).splitlines()
        )

    def test_after_many(self, deployer: Deployer, app: App, kept: Callable[[], None]) -> None:
        """Data survives many deployments, including a return to an earlier image."""
        for number in range(2):
            change(deployer, image(*["/data"] * number, steps=(f"RUN echo {number}",)))
            assert deployer.deploy(app).status == "success"
            kept()
        assert deployer.deploy(app, rollback_to=1).status == "success"
        kept()

    def test_an_empty_volume_gets_the_files_of_the_image(
        self, deployer: Deployer, app: App
    ) -> None:
        """An empty volume gets the files of the image; a volume with data is left as it is."""
        execute(deployer.engine, app.container, "/bin/busybox rm /more/b")
        both = "RUN mkdir -p /data /more && echo image > /data/new && echo image > /more/new"
        change(deployer, image("/data", "/more", steps=(both,)))
        assert deployer.deploy(app).status == "success"
        assert read(deployer.engine, app.container, "/more/new") == "image"
        assert execute(deployer.engine, app.container, "echo /data/*") == "/data/a\n"

    def test_a_volume_below_another_is_told(self, deployer: Deployer, app: App) -> None:
        """A volume below another one is reported, because it hides files of the other."""
        execute(deployer.engine, app.container, "/bin/busybox mkdir /data/sub")
        change(deployer, image("/data/sub"))
        row = deployer.deploy(app)
        assert row.status == "success"
        assert "at /data/sub, which hides what volume" in deployer.text(row.id)
        assert read(deployer.engine, app.container, "/data/a") == "precious"

    def test_a_volume_above_another_hides_nothing(self, deployer: Deployer, container: str) -> None:
        """A volume above another one hides nothing: the engine nests them whatever their order."""
        repository = deployer.repository({"Dockerfile": image("/srv/db/data")})
        app = deployer.app(repository.url, container=container)
        assert deployer.deploy(app).status == "success"
        write(deployer.engine, container, "/srv/db/data/a")
        change(deployer, image("/srv/db"))
        row = deployer.deploy(app)
        assert row.status == "success"
        assert read(deployer.engine, container, "/srv/db/data/a") == "precious"
        assert "hides" not in deployer.text(row.id)


class TestFailure:
    """Data after each kind of failed deployment."""

    @pytest.mark.parametrize(
        "run",
        [image("/data", "/fresh", run=EXITS), image(run=EXITS), image("/data/sub", run=EXITS)],
    )
    def test_after_a_container_that_did_not_stay(
        self, deployer: Deployer, app: App, kept: Callable[[], None], run: str
    ) -> None:
        """The old container keeps its volumes; a volume that only the new one had is named."""
        change(deployer, run)
        row = deployer.deploy(app)
        failed(deployer, row, "exited with status 3")
        kept()
        left = [line for line in deployer.text(row.id).splitlines() if "Left behind" in line]
        assert len(left) == ("/fresh" in run) + ("/sub" in run)
        for line in left:
            assert line.startswith("Left behind by the new container: volume ")
            assert deployer.engine.client.inspect_volume(line.split()[7])

    def test_after_one_that_cannot_be_created(
        self, deployer: Deployer, app: App, kept: Callable[[], None]
    ) -> None:
        """Data survives if the new container cannot be created."""
        change(deployer, dockerfile("RUN echo a file > /data"))
        failed(deployer, deployer.deploy(app), "The Docker Engine refused")
        kept()

    @pytest.mark.parametrize("end", ["cancel", "terminate", "kill"])
    @pytest.mark.parametrize("stage", ["stopping_old", "starting_new"])
    def test_after_one_that_was_broken_off(
        self, deployer: Deployer, app: App, kept: Callable[[], None], stage: str, end: str
    ) -> None:
        """Data survives a cancellation, interruption or kill while the containers are swapped."""
        if stage == "stopping_old":
            deployer.limits["stop_seconds"] = 4
            deployer.engine.client.kill(app.container, "STOP")
        else:
            deployer.limits["settle_seconds"] = 60
        deployment = deployer.create(app)
        runner = deployer.start(deployment)
        deployer.wait_for(deployment, stage)
        if stage == "starting_new":
            state = deployer.engine.state
            wait_until(lambda: state(app.container) == "running", "the new container to run")
        if end == "cancel":
            assert deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        else:
            getattr(runner, end)()
        if end == "kill":
            deployer.kill()
            deployer.run(deployment, resume=True)
        else:
            deployer.join()
        failed(deployer, deployer.row(deployment), "^(Cancelled|Interrupted) by")
        kept()

    def test_after_a_rollback_that_failed(
        self, deployer: Deployer, app: App, kept: Callable[[], None]
    ) -> None:
        """Data survives a failed rollback, which swaps the containers like any deployment."""
        deployer.limits["health_seconds"] = 0.3
        check = "HEALTHCHECK --interval=1s --retries=1 CMD false"
        change(deployer, image("/data", steps=(check,)))
        unhealthy = deployer.deploy(app)
        failed(deployer, unhealthy, "unhealthy|not healthy")
        client: Any = deployer.engine.client
        client.tag(IMAGE, deployer.tag(app, unhealthy.id).partition(":")[0], str(unhealthy.id))
        deployer.store.deployments.update(unhealthy.id, image=deployer.tag(app, unhealthy.id))
        row = deployer.deploy(app, rollback_to=unhealthy.id)
        assert row.status == "failed"
        kept()


class TestAdopted:
    """The data of a container that Mist did not create."""

    def adopt(self, deployer: Deployer, container: str, following: str, **options: Any) -> App:
        """Return an application that adopted a running container with these options."""
        app = deployer.app(deployer.repository({"Dockerfile": following}).url, container=container)
        client: Any = deployer.engine.client
        config = client.create_host_config(network_mode="none", **options.pop("host"))
        made = client.create_container(
            IMAGE,
            ["/bin/sh", "-c", SERVE],
            name=container,
            host_config=config,
            stop_signal="SIGTERM",
            **options,
        )
        client.start(made["Id"])
        deployer.store.apps.adopt(app.id, made["Id"])
        return app

    def test_named_volumes_and_binds(self, deployer: Deployer, container: str) -> None:
        """Named volumes and bind mounts keep their options; a tmpfs holds no data to keep."""
        host = deployer.directory / "host"
        host.mkdir()
        (host / "file").write_text("from the host")
        client: Any = deployer.engine.client
        name = f"{container}-named"
        tmpfs = {"Type": "tmpfs", "Target": "/scratch"}
        inner = {"Type": "volume", "Target": "/inner", "ReadOnly": False}
        nocopy = {"Type": "volume", "Source": f"{name}-2", "Target": "/plain"}
        nocopy["VolumeOptions"] = {"NoCopy": True}  # type: ignore[assignment]
        app = self.adopt(
            deployer,
            container,
            dockerfile("RUN mkdir /plain && echo image > /plain/file"),
            host={
                "binds": [f"{name}:/named", f"{host}:/host:ro,private", f"{host}:/host2"],
                "mounts": [tmpfs, inner, nocopy],
            },
            volumes=["/anonymous"],
        )
        before = client.inspect_container(container)
        for path in ("/named/f", "/anonymous/f", "/inner/f", "/host2/f"):
            write(deployer.engine, container, path)
        row = deployer.deploy(app)
        assert row.status == "success", deployer.text(row.id)
        for path in ("/named/f", "/anonymous/f", "/inner/f", "/host2/f", "/host/f"):
            assert read(deployer.engine, container, path) == "precious"
        after = client.inspect_container(container)
        facts = ("Type", "Source", "RW", "Propagation")
        old, new = (
            {m["Destination"]: [m[fact] for fact in facts] for m in found["Mounts"]}
            for found in (before, after)
        )
        assert old.pop("/scratch")
        assert new == old
        assert new["/host"] == ["bind", str(host), False, "private"]
        assert execute(deployer.engine, container, "echo /plain/*") == "/plain/*\n"
        assert f"Keeping bind mount {host} at /host (read-only)" in deployer.text(row.id)
        assert deployer.deploy(app).status == "success"
        assert read(deployer.engine, container, "/inner/f") == "precious"
        deployer.engine.remove(container)
        for volume in (name, f"{name}-2"):
            client.remove_volume(volume)

    @pytest.mark.parametrize("run", [SERVE, EXITS])
    def test_a_container_that_removes_itself(
        self, deployer: Deployer, container: str, run: str
    ) -> None:
        """The volumes of a ``--rm`` container survive its stop."""
        app = self.adopt(
            deployer,
            container,
            image("/data", run=run),
            host={"auto_remove": True},
            volumes=["/data"],
        )
        engine = deployer.engine
        volume = volumes(engine, container)["/data"]
        write(engine, container, "/data/a")
        row = deployer.deploy(app)
        if run == EXITS:
            failed(deployer, row, "status 3 .the previous container is gone, the new one stays.$")
            assert volumes(engine, container) == {"/data": volume}
            change(deployer, image("/data"))
            row = deployer.deploy(app)
        assert row.status == "success"
        assert read(engine, container, "/data/a") == "precious"
        assert volumes(engine, container) == {"/data": volume}
        check_clean(deployer, app, containers=1)

    def test_one_that_removes_itself_while_it_is_cancelled(
        self, deployer: Deployer, container: str
    ) -> None:
        """After a cancellation the next deployment finds the volumes in the new container."""
        app = self.adopt(
            deployer, container, image("/data"), host={"auto_remove": True}, volumes=["/data"]
        )
        engine = deployer.engine
        write(engine, container, "/data/a")
        volume = volumes(engine, container)["/data"]
        deployer.limits["stop_seconds"] = 4
        engine.client.kill(container, "STOP")
        deployment = deployer.create(app)
        deployer.start(deployment)
        deployer.wait_for(deployment, "stopping_old")
        assert deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        deployer.join()
        failed(deployer, deployer.row(deployment), "Cancelled by .*the previous container is gone")
        assert volumes(engine, container) == {"/data": volume}
        assert deployer.deploy(app).status == "success"
        assert read(engine, container, "/data/a") == "precious"
        check_clean(deployer, app, containers=1)
