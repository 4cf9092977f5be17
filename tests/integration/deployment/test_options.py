"""The options of an application, as the engine sees them in its containers and builds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mist.apps import management
from mist.apps.management import AppChanges
from mist.settings import DeploymentSettings
from mist.store.records import App
from tests.support.service.deployment_checks import check_containers, container_id
from tests.support.service.deployments import SERVE, Deployer, dockerfile


@pytest.fixture
def app(deployer: Deployer, container: str) -> App:
    """An application that was not deployed yet."""
    repository = deployer.repository({"Dockerfile": dockerfile()})
    return deployer.app(repository.url, container=container)


def edit(deployer: Deployer, app: App, **changes: Any) -> App:
    """Change the application as the API does."""
    limits = msgspec.convert(deployer.limits, DeploymentSettings)
    given = msgspec.convert(changes, AppChanges)
    return management.edit(deployer.store, app.id, given, limits)


def inspect(deployer: Deployer, app: App) -> dict[str, Any]:
    """Return the engine's description of the application's container."""
    found: dict[str, Any] = deployer.engine.client.inspect_container(app.container)
    return found


def mounts(deployer: Deployer, app: App) -> dict[str, tuple[str, bool]]:
    """Return source and writability of the container's mounts by their paths."""
    found = inspect(deployer, app)["Mounts"]
    return {m["Destination"]: (m.get("Name") or m["Source"], m["RW"]) for m in found}


def test_a_container_gets_every_option(deployer: Deployer, app: App) -> None:
    """The container has the labels, limits, networks, volumes and command that were set."""
    client = deployer.engine.client
    front, back = (f"{app.container}-{end}" for end in ("front", "back"))
    data, allowed = f"{app.container}-data", deployer.directory / "allowed"
    (allowed / "in").mkdir(parents=True)
    deployer.limits["host_paths"] = [str(allowed)]
    for name in (front, back):
        client.create_network(name)
    try:
        edit(
            deployer,
            app,
            volumes=[f"{data}:/data", f"{allowed}/in:/in:ro"],
            labels={"traefik.enable": "true"},
            networks=[front, back],
            memory="32m",
            cpus=0.5,
            command=["/bin/sh", "-c", SERVE + " # mine"],
            build={"memory": "64m", "cpus": 0.25},
        )
        row = deployer.deploy(app)
        assert row.status == "success", deployer.text(row.id)
        found = inspect(deployer, app)
        assert found["Config"]["Labels"]["traefik.enable"] == "true"
        assert found["Config"]["Labels"]["mist.app"] == str(app.id)
        assert found["HostConfig"]["Memory"] == 32 * 2**20
        assert found["HostConfig"]["NanoCpus"] == 500_000_000
        assert found["Config"]["Cmd"][2].endswith("# mine")
        assert set(found["NetworkSettings"]["Networks"]) == {front, back}
        assert mounts(deployer, app) == {"/data": (data, True), "/in": (f"{allowed}/in", False)}
        assert f"Mounting volume {data} at /data" in deployer.text(row.id)

        # A volume that is not named any more is not mounted, and not removed either.
        edit(deployer, app, volumes=[f"{data}:/other:ro"], networks=[back], memory=None)
        second = deployer.deploy(app)
        assert second.status == "success", deployer.text(second.id)
        assert mounts(deployer, app) == {"/other": (data, False)}
        found = inspect(deployer, app)
        assert (found["HostConfig"]["Memory"], found["HostConfig"]["NanoCpus"]) == (0, 500_000_000)
        assert set(found["NetworkSettings"]["Networks"]) == {back}
        text = deployer.text(second.id)
        assert f"No longer mounting volume {data} at /data; it is kept" in text
    finally:
        deployer.engine.remove(app.container)
        for name in (front, back):
            client.remove_network(name)
        client.remove_volume(data)


@pytest.mark.parametrize("what", ["network", "path", "link"])
def test_what_the_host_does_not_have_or_allow(deployer: Deployer, app: App, what: str) -> None:
    """The deployment fails before it stops anything, and says why."""
    assert deployer.deploy(app).status == "success"
    before = container_id(deployer, app.container)
    allowed = deployer.directory / "allowed"
    (allowed / "in").mkdir(parents=True)
    (allowed / "out").symlink_to("/etc")
    deployer.limits["host_paths"] = [str(allowed)]
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "network": ({"networks": ["no-such-net"]}, "no network 'no-such-net'"),
        "path": ({"volumes": [f"{allowed}/in:/in"]}, "deployments.host_paths"),
        "link": ({"volumes": [f"{allowed}/out:/in"]}, "leads to '/etc'"),
    }
    given, words = changes[what]
    edit(deployer, app, **given)
    if what == "path":
        deployer.limits["host_paths"] = []  # taken back after the edit
    row = deployer.deploy(app)
    assert (row.status, row.stage) == ("failed", "pending")
    assert words in row.error_message
    assert container_id(deployer, app.container) == before


def test_an_edit_during_a_deployment_is_for_the_next(deployer: Deployer, app: App) -> None:
    """A running deployment keeps the settings with which it began, also while it is undone."""
    assert deployer.deploy(app).status == "success"
    before = container_id(deployer, app.container)
    deployer.limits["settle_seconds"] = 60
    running = deployer.create(app)
    deployer.start(running)
    deployer.wait_for(running, "starting_new")
    edit(deployer, app, labels={"late": "yes"}, restart_policy="no", port=None)
    deployer.store.deployments.request_cancel(running, "ada")
    deployer.join()
    assert deployer.row(running).error_message == "Cancelled by ada"
    assert container_id(deployer, app.container) == before
    deployer.limits["settle_seconds"] = 0.4
    assert deployer.deploy(app).status == "success"
    assert inspect(deployer, app)["Config"]["Labels"]["late"] == "yes"
    check_containers(deployer, app, 1)
