"""Applications and repositories to deploy, and deployments that are held in a stage."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mist.store.records import App
from tests.support.service.deployment_checks import (
    change,
    container_id,
)
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import PrivateEngine


@pytest.fixture
def deployer(engine: PrivateEngine) -> Iterator[Deployer]:
    """A deployer with its own store and home."""
    made = Deployer(engine)
    yield made
    made.destroy()


@pytest.fixture
def old(deployer: Deployer, container: str) -> tuple[App, str]:
    """An application with a repository, and the id of the running container that it adopted."""
    repository = deployer.repository({"Dockerfile": dockerfile()})
    app = deployer.app(repository.url, container=container)
    running = deployer.engine.run(container, SERVE, stop_signal="SIGTERM")
    deployer.store.apps.adopt(app.id, running)
    return app, running


@pytest.fixture
def deployed(deployer: Deployer, container: str) -> tuple[App, str]:
    """An application that was deployed once, and the id of its container."""
    app = deployer.app(deployer.repository({"Dockerfile": dockerfile()}).url, container=container)
    assert deployer.deploy(app).status == "success"
    return app, container_id(deployer, container)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a Git server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/repo.git"


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
    """Start a deployment that stays in a stage for as long as a test can take."""
    app, _ = old

    def clone() -> int:
        other = deployer.app(silent_server, container=f"{app.container}-other")
        return begin(other, "cloning_repo")

    def building() -> int:
        change(deployer, dockerfile("RUN echo never-ends; sleep 60"))
        return begin(app, "building_image", "never-ends")

    def stopping() -> int:
        # A stopped process does not handle SIGTERM, so it is killed after the grace period.
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
