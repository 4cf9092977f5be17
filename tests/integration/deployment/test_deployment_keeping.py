"""The log of the replaced container, kept by a deployment that succeeds."""

from __future__ import annotations

import pytest

from mist.store.records import App
from tests.support.service.deployment_checks import container_id
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.wait import wait_until
from workers import kept_logs

pytestmark = pytest.mark.engine


def kept(deployer: Deployer, app: App, deployment: int) -> list[str]:
    """Return the lines that a deployment has kept, as ``docker logs --timestamps`` prints them."""
    log = kept_logs.KeptLog(deployer.paths.kept_log(app.id, deployment), deployment)
    entries = [entry for member in log.members for entry in log.read(member)]
    log.close()
    return [f"{stamp.decode()} {text.decode()}" for stamp, _, text in entries]


def adopted(deployer: Deployer, container: str, script: str, **options: object) -> App:
    """Return an application that has adopted a running container."""
    url = deployer.repository({"Dockerfile": dockerfile()}).url
    app = deployer.app(url, container=container)
    options = {"stop_signal": "SIGTERM"} | options
    deployer.store.apps.adopt(app.id, deployer.engine.run(container, script, **options))
    return app


@pytest.mark.parametrize("tty", [False, True])
def test_only_the_newest_lines_are_kept(deployer: Deployer, container: str, tty: bool) -> None:
    """The bound is ``deployments.kept_log_bytes``, and the deployment's log names it."""
    deployer.limits["kept_log_bytes"] = 60_000
    app = adopted(deployer, container, f"seq 1 20000; echo ready; {SERVE}", tty=tty)
    engine = deployer.engine
    wait_until(lambda: engine.lines(container)[-1:] == ["serving"], "the container to write")
    written = engine.client.logs(container, timestamps=True).decode().split("\n")[:-1]
    row = deployer.deploy(app)
    assert row.status == "success"
    lines = kept(deployer, app, row.id)
    assert lines == written[-len(lines) :]
    size = sum(len(line) + 1 for line in lines)
    assert 59_900 < size <= 60_000
    assert deployer.paths.kept_log(app.id, row.id).stat().st_size < size
    assert f"Kept the newest {len(lines)} lines" in deployer.text(row.id)
    assert "60000 bytes (deployments.kept_log_bytes)" in deployer.text(row.id)


def test_an_unreadable_log_does_not_fail_the_deployment(deployer: Deployer, container: str) -> None:
    """The deployment's log says why the log of the old container is lost."""
    app = adopted(deployer, container, SERVE, log_driver="none")
    row = deployer.deploy(app)
    assert (row.status, row.error_message) == ("success", "")
    assert "previous container's log is not kept: configured logging driver does not support" in (
        deployer.text(row.id)
    )
    assert not list(deployer.paths.home.glob("kept-logs/*/*"))


def test_an_unwritable_directory_does_not_fail_the_deployment(
    deployer: Deployer, old: tuple[App, str]
) -> None:
    """The old container is replaced without its log, and no path of the service is shown."""
    (deployer.paths.home / "kept-logs").write_text("not a directory")
    app, running = old
    row = deployer.deploy(app)
    assert row.status == "success"
    assert container_id(deployer, app.container) != running
    assert "The previous container's log is not kept: " in deployer.text(row.id)
    assert str(deployer.paths.home) not in deployer.text(row.id)


def test_nothing_is_kept_on_request(deployer: Deployer, old: tuple[App, str]) -> None:
    """With a bound of 0 no log is kept."""
    deployer.limits["kept_log_bytes"] = 0
    assert deployer.deploy(old[0]).status == "success"
    assert not (deployer.paths.home / "kept-logs").exists()


def test_an_undone_deployment_keeps_nothing(deployer: Deployer, old: tuple[App, str]) -> None:
    """The old container runs again, and still has its log."""
    app, running = old
    deployer.limits["settle_seconds"] = 60
    deployment = deployer.create(app)
    deployer.start(deployment)
    deployer.wait_for(deployment, "starting_new")
    deployer.kill()
    writer = kept_logs.Writer(deployer.paths.kept_log(app.id, deployment))
    writer.add([(b"2026-01-01T00:00:00.000000000Z", 1, b"serving")])
    writer.finish(kept_logs.About(running, tty=False))
    assert deployer.run(deployment, resume=True).status == "failed"
    assert container_id(deployer, app.container) == running
    assert not list(deployer.paths.home.glob("kept-logs/*/*"))


def test_a_nearly_full_disk_does_not_fail_the_deployment(
    deployer: Deployer, deployed: tuple[App, str]
) -> None:
    """A rollback needs no space, and the log is not worth failing it."""
    deployer.limits["disk_reserve_bytes"] = 2**62
    row = deployer.deploy(deployed[0], rollback_to=1)
    assert row.status == "success"
    assert "log is not kept: The service's disk has" in deployer.text(row.id)
    assert not list(deployer.paths.home.glob("kept-logs/*/*"))


def test_a_container_that_removes_itself(deployer: Deployer, container: str) -> None:
    """The log of a container with ``--rm`` is kept before it stops."""
    app = adopted(deployer, container, SERVE, auto_remove=True)
    wait_until(lambda: deployer.engine.lines(container) == ["serving"], "the container to write")
    row = deployer.deploy(app)
    assert row.status == "success"
    assert [line[31:] for line in kept(deployer, app, row.id)] == ["serving"]
    assert "It ran with --rm" in deployer.text(row.id)
