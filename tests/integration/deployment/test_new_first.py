"""Applications whose new container starts before the old one stops, on a real engine."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.integration.conftest import container_name
from tests.support.service.caller import Caller
from tests.support.service.deployment_checks import change, check_clean, check_log, failed
from tests.support.service.deployments import Deployer, dockerfile
from tests.support.service.engine import IMAGE, PrivateEngine
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

CHECK: Final = (
    'HEALTHCHECK --interval=200ms --start-period=2s --retries=2 CMD ["cat", "/tmp/ready"]'
)


def server(name: str, ready: str = "echo > /tmp/ready", check: str = CHECK) -> str:
    """Return the Dockerfile of a web server that answers with ``name`` some time after its start.

    ``ready`` is what it does to become healthy.
    """
    serve = "/bin/busybox httpd -f -p 80 -h /www"
    loop = "trap exit TERM; while :; do sleep 0.1; done"
    page = ("RUN /bin/busybox mkdir /www", f"RUN echo {name} > /www/index.html")
    return dockerfile(*page, check, run=f"echo {name}; sleep 0.3; {serve} & {ready}; {loop}")


class Site:
    """A deployed application on a network of its own, and a client there."""

    def __init__(self, engine: PrivateEngine, container: str) -> None:
        self.engine = engine
        self.network = f"{container}-net"
        self.deployer = Deployer(engine, drain_seconds=0.5, network=self.network)
        url = self.deployer.repository({"Dockerfile": server("v0")}).url
        self.app = self.deployer.app(url, container=container)
        self._numbers = itertools.count(1)
        engine.client.create_network(self.network)
        assert self.deployer.deploy(self.app).status == "success"
        self.client = self.run(self.network)

    def run(self, network: str) -> str:
        """Start a container that only has a network, and return its id."""
        host = self.engine.client.create_host_config(network_mode=network)
        command = ["sleep", "1000"]
        made = self.engine.client.create_container(IMAGE, command, host_config=host)["Id"]
        self.engine.client.start(made)
        return str(made)

    def destroy(self) -> None:
        """Remove everything."""
        self.engine.remove(self.client)
        self.deployer.destroy()
        self.engine.client.remove_network(self.network)

    def inspect(self) -> dict[str, Any]:
        """Return the engine's description of the application's container."""
        found: dict[str, Any] = self.engine.client.inspect_container(self.app.container)
        return found

    def is_told_to_end(self, container: str) -> bool:
        """Return True once the engine has sent SIGTERM to a container."""
        sent = {"container": container, "event": "kill"}
        until = int(time.time()) + 1  # whole seconds, and those of this one count
        events = self.engine.client.events(until=until, filters=sent, decode=True)
        signals = {int(event["Actor"]["Attributes"]["signal"]) for event in events}
        return signal.SIGTERM in signals

    def change(self, **options: str) -> str:
        """Commit another version and return its name."""
        name = f"v{next(self._numbers)}"
        change(self.deployer, server(name, **options))
        return name

    def begin(self, message: str) -> int:
        """Start a deployment and return its number once its status has ``message``."""
        deployment = self.deployer.create(self.app)
        self.deployer.start(deployment)
        row = self.deployer.row
        wait_until(lambda: message in row(deployment).message, f"a status {message!r}")
        return deployment


@pytest.fixture(scope="module")
def module_site(engine: PrivateEngine, request: pytest.FixtureRequest) -> Iterator[Site]:
    """An application with a health check that was deployed once."""
    site = Site(engine, container_name(request))
    yield site
    site.destroy()


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """The application; its limits are those from before afterwards."""
    limits = dict(module_site.deployer.limits)
    yield module_site
    module_site.deployer.limits = limits


def test_no_call_fails_while_a_deployment_swaps(site: Site) -> None:
    """A client that looks the name up for each call reaches the old or the new container."""
    deployer, app = site.deployer, site.app
    deployer.limits["drain_seconds"] = 2  # on a busy machine, a call can take long
    new = site.change()
    with Caller(site.engine, site.client, app.container) as caller:
        row = deployer.deploy(app)
        wait_until(lambda: caller.answers[-10:] == [new] * 10, "calls of the new container")
        answers = caller.stop()
    assert row.status == "success", deployer.text(row.id)
    assert [answer for answer in answers if answer not in {answers[0], new}] == []
    assert len(answers) > 20
    text = deployer.text(row.id)
    assert "The new container has taken over without a gap" in text
    assert "Kept the log of the previous container" in text
    assert "was away" not in text
    check_log(deployer, row)
    check_clean(deployer, app, containers=1)
    found = site.inspect()
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["Config"]["Labels"]["mist.deployment"] == str(row.id)


def test_an_unhealthy_one_is_removed(site: Site) -> None:
    """No call fails, and the log has the last lines of the new container."""
    deployer, app = site.deployer, site.app
    before = site.inspect()
    site.change(ready="echo not ready")
    with Caller(site.engine, site.client, app.container) as caller:
        row = deployer.deploy(app)
        answers = caller.stop()
    failed(deployer, row, "^The new container is unhealthy$")
    assert len(set(answers)) == 1
    assert site.inspect()["Id"] == before["Id"]
    assert site.inspect()["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert "not ready" in deployer.text(row.id)
    assert "The previous container went on running" in deployer.text(row.id)
    check_clean(deployer, app, containers=1)


@pytest.mark.parametrize(
    ("stage", "way"),
    [("waiting", "cancel"), ("waiting", "kill"), ("handing", "kill"), ("handing", "stop")],
)
def test_an_end_before_the_old_one_is_stopped(site: Site, stage: str, way: str) -> None:
    """The old container has its name and was never stopped, and nothing else is left."""
    deployer, app = site.deployer, site.app
    before = site.inspect()
    if stage == "waiting":
        site.change(ready="sleep 60", check=CHECK.replace("period=2s", "period=60s"))
        deployment = site.begin("Waiting for the new container to be healthy")
    else:
        site.change()
        deployer.limits["drain_seconds"] = 60
        deployment = site.begin("Handing over")
        aside = f"{app.container}-before-{deployment}"
        wait_until(lambda: site.engine.state(aside) == "running", "the old one to be renamed")
    error = "^Interrupted by a restart$"
    if way == "kill":
        deployer.kill()
        deployer.start(deployment, resume=True)
    elif way == "stop":
        deployer.processes[-1].terminate()
    else:
        assert deployer.store.deployments.request_cancel(deployment, "boss@example.com")
        error = "^Cancelled by boss@example.com$"
    deployer.join()
    failed(deployer, deployer.row(deployment), error)
    assert site.inspect()["Id"] == before["Id"]
    assert site.inspect()["State"]["StartedAt"] == before["State"]["StartedAt"]
    untouched = "The previous container went on running" in deployer.text(deployment)
    assert untouched is (stage == "waiting")
    check_clean(deployer, app, containers=1)


def test_a_kill_while_the_old_one_is_stopped(site: Site) -> None:
    """The engine goes on stopping it, so it is started again after that."""
    deployer, app = site.deployer, site.app
    before = site.inspect()["Id"]
    site.change()
    deployer.limits |= {"drain_seconds": 0, "stop_seconds": 3}
    # A stopped process does not handle SIGTERM, so it is killed after the grace period.
    site.engine.client.kill(before, "STOP")
    with Caller(site.engine, site.client, app.container, lookup=True) as caller:
        deployment = site.begin("stopping the previous one")
        wait_until(lambda: site.is_told_to_end(before), "the engine to begin")
        deployer.kill()
        row = deployer.run(deployment, resume=True)
        answers = caller.stop()
    failed(deployer, row, "^Interrupted by a restart$")
    assert site.inspect()["Id"] == before
    assert site.inspect()["State"]["Running"]
    assert "The application was away for" in deployer.text(deployment)
    assert [answer for answer in answers if answer.startswith("!")] == []
    check_clean(deployer, app, containers=1)


def test_a_new_one_that_another_program_removes(site: Site) -> None:
    """The old container gets its name back and goes on running."""
    deployer, app = site.deployer, site.app
    before = site.inspect()
    site.change()
    deployer.limits["drain_seconds"] = 60
    deployment = site.begin("Handing over")
    aside = f"{app.container}-before-{deployment}"
    wait_until(lambda: site.engine.state(aside) == "running", "the old one to be renamed")
    site.engine.remove(app.container)
    deployer.join()
    # `docker rm --force` kills it first, which the deployment may notice before the rest.
    error = "^The new container (was removed|exited with status 137)$"
    failed(deployer, deployer.row(deployment), error)
    assert site.inspect()["Id"] == before["Id"]
    assert site.inspect()["State"]["StartedAt"] == before["State"]["StartedAt"]
    check_clean(deployer, app, containers=1)


def test_a_network_that_was_removed(site: Site) -> None:
    """A stopped container may be attached to a network that does not exist any more."""
    deployer, app, client = site.deployer, site.app, site.engine.client
    added = f"{site.network}-removed"
    client.create_network(added)
    client.connect_container_to_network(app.container, added)
    client.stop(app.container, timeout=1)
    client.remove_network(added)
    row = deployer.deploy(app)
    assert row.status == "success", deployer.text(row.id)
    assert f"network {added} does not exist any more" in deployer.text(row.id)
    assert set(site.inspect()["NetworkSettings"]["Networks"]) == {site.network}
    check_clean(deployer, app, containers=1)


@pytest.mark.parametrize("first", ["new", "old"])
def test_networks_and_aliases_go_along(site: Site, first: str) -> None:
    """An alias always resolves, in the application's network and in one that was added."""
    deployer, app, network = site.deployer, site.app, site.network
    client, added = site.engine.client, f"{site.network}-added"
    client.create_network(added)
    try:
        client.connect_container_to_network(app.container, added, aliases=["api"])
        client.disconnect_container_from_network(app.container, network)
        client.connect_container_to_network(app.container, network, aliases=["web"])
        site.change(check=CHECK if first == "new" else "HEALTHCHECK NONE")
        with Caller(site.engine, site.client, "web", lookup=True) as caller:
            row = deployer.deploy(app)
            answers = caller.stop()
        assert row.status == "success", deployer.text(row.id)
        if first == "new":
            assert [answer for answer in answers if answer.startswith("!")] == []
        found = site.inspect()["NetworkSettings"]["Networks"]
        assert set(found) == {network, added}
        assert "api" in found[added]["Aliases"]
        assert "web" in found[network]["Aliases"]
        text = deployer.text(row.id)
        assert f"Attached to the network {added}, as the previous container" in text
        assert f"Has the aliases of the previous container in {network}: web" in text
        away = "The application was away for" in text
        assert away is (first == "old")
        assert ("stopped first: the new image has no HEALTHCHECK" in text) is away
    finally:
        client.disconnect_container_from_network(app.container, added, force=True)
        client.remove_network(added)
