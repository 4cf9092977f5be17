"""Deployments leave containers alone that they neither made nor adopted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from mist.store.records import App
from tests.support.service.deployment_checks import change, check_clean, container_id, failed
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import PrivateEngine

Labels = dict[str, str]


@pytest.fixture
def other(engine: PrivateEngine) -> Iterator[Deployer]:
    """Another installation on the same engine."""
    made = Deployer(engine, keep_images=1)
    yield made
    made.destroy()


@pytest.fixture
def app(deployer: Deployer, container: str) -> App:
    """An application that has not been deployed yet."""
    files = {"Dockerfile": dockerfile("RUN echo it was built")}
    return deployer.app(deployer.repository(files).url, container=container)


@pytest.fixture
def untouched(deployer: Deployer, container: str) -> Iterator[Callable[..., str]]:
    """Start a container with ``untouched(labels)``, which must be unchanged after the test."""
    before: list[dict[str, Any]] = []

    def run(labels: Labels | None = None, name: str = container) -> str:
        deployer.engine.run(name, SERVE, stop_signal="SIGTERM", labels=labels)
        before.append(deployer.engine.client.inspect_container(name))
        return str(before[-1]["Id"])

    yield run
    for each in before:
        assert deployer.engine.client.inspect_container(each["Id"]) == each
        deployer.engine.remove(each["Id"])


def refused(deployer: Deployer, app: App, error: str) -> None:
    """Check that the deployment fails before anything is cloned, built or created."""
    row = deployer.deploy(app)
    failed(deployer, row, error)
    assert row.stage == "pending"
    assert "built" not in deployer.text(row.id)
    assert deployer.tags() == set()
    assert no_side_names(deployer, app)


def no_side_names(deployer: Deployer, app: App) -> bool:
    """Return True if no other container has a name made from the application's."""
    listed = deployer.engine.client.containers(all=True)
    names = {name for each in listed for name in each["Names"]}
    return not [name for name in names if name.startswith(f"/{app.container}-")]


class TestStrangers:
    """A container that has the application's name but does not belong to it."""

    def test_made_by_hand(
        self, deployer: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """The error says how to adopt the container."""
        untouched()
        refused(deployer, app, f"'{app.container}' was not made by .*`mist app adopt {app.name}`")

    @pytest.mark.parametrize(
        "labels",
        [
            {"mist.app": "1"},
            {"mist.app": "1", "mist.deployment": "1"},
            {"mist.app": "1", "mist.deployment": "1", "mist.queued": "2025-01-15T10:30:00Z"},
            {"mist.app": "1", "mist.deployment": "x" * 99, "mist.queued": ""},
            {"mist.app": "x", "mist.installation": "OWN"},
            {"mist.app": "", "mist.installation": "OWN"},
            {"mist.app": "0", "mist.installation": "OWN"},
            {"mist.app": "9" * 30, "mist.installation": "OWN"},
            {"mist.app": "7", "mist.installation": "OWN"},
            {"mist.app": "\N{FULLWIDTH DIGIT ONE}", "mist.installation": "OWN"},
            {"mist.installation": "OWN"},
        ],
    )
    def test_with_labels_that_prove_nothing(
        self, deployer: Deployer, app: App, untouched: Callable[..., str], labels: Labels
    ) -> None:
        """Incomplete, malformed or foreign labels do not make the container the application's."""
        own = deployer.store.installation
        untouched({key: value.replace("OWN", own) for key, value in labels.items()})
        refused(deployer, app, "mist app adopt")

    def test_of_another_application(
        self, deployer: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """The error names the other application."""
        second = deployer.app(app.git_url or "")
        untouched({"mist.installation": deployer.store.installation, "mist.app": str(second.id)})
        refused(deployer, app, f"belongs to the application {second.name}: choose another")

    def test_of_another_installation(
        self, deployer: Deployer, other: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """The error names the other installation, even if both have an application with this id."""
        untouched({"mist.installation": other.store.installation, "mist.app": str(app.id)})
        refused(deployer, app, "belongs to another installation of Mist: choose another")

    @pytest.mark.parametrize("length", [2, 6, 64])
    def test_whose_id_begins_with_the_name(
        self, deployer: Deployer, untouched: Callable[..., str], length: int
    ) -> None:
        """A container whose id begins with the name has another name, so it does not matter."""
        stranger = untouched(name="a-stranger")
        repository = deployer.repository({"Dockerfile": dockerfile()})
        app = deployer.app(repository.url, container=stranger[:length])
        deployer.store.apps.adopt(app.id, stranger)
        for _ in range(2):
            assert deployer.deploy(app).status == "success"
            found = deployer.engine.client.containers(filters={"label": f"mist.app={app.id}"})
            assert [each["Names"] for each in found] == [[f"/{app.container}"]]

    def test_that_come_while_it_is_built(
        self, deployer: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """The name is checked again before anything is stopped."""
        slow = dockerfile("RUN echo now; sleep 3")
        repository = deployer.repository({"Dockerfile": slow}, "slow")
        app = deployer.app(repository.url, container=f"{app.container}-slow")
        deployment = deployer.create(app)
        deployer.start(deployment)
        deployer.wait_for(deployment, "building_image", "now")
        untouched(name=app.container)
        deployer.join()
        failed(deployer, deployer.row(deployment), "mist app adopt")
        assert deployer.row(deployment).stage == "stopping_old"
        assert no_side_names(deployer, app)
        assert deployer.tags() == set()

    def test_whose_name_two_applications_deploy_to(self, deployer: Deployer, app: App) -> None:
        """If two applications share a name, as was once possible, only the older one deploys."""
        second = deployer.app(app.git_url or "", container=f"{app.container}-2")
        share_container(deployer, second, app)
        second = deployer.store.apps.by_name(second.name) or second
        assert second.container == app.container
        refused(deployer, second, f"{app.name} and {second.name} both deploy to the container")
        assert deployer.deploy(app).status == "success"
        row = deployer.deploy(second)
        failed(deployer, row, f"belongs to the application {app.name}: choose another")
        assert deployer.deploy(app).status == "success"

    def test_whose_name_the_younger_application_has_deployed_to(
        self, deployer: Deployer, app: App, container: str
    ) -> None:
        """After an upgrade, the application that already has the container keeps it."""
        second = deployer.app(app.git_url or "", container=f"{container}-2")
        assert deployer.deploy(second).status == "success"
        deployer.engine.client.rename(f"{container}-2", container)
        share_container(deployer, second, app)
        second = deployer.store.apps.by_name(second.name) or second
        failed(deployer, deployer.deploy(app), f"belongs to the application {second.name}")
        assert deployer.deploy(second).status == "success"
        check_clean(deployer, app, containers=1)


def share_container(deployer: Deployer, second: App, first: App) -> None:
    """Write a row that the store itself would refuse."""
    database = create_engine(f"sqlite:///{deployer.paths.database}")
    with database.begin() as connection:
        values = {"container": first.container, "id": second.id}
        connection.execute(text("UPDATE apps SET container = :container WHERE id = :id"), values)
    database.dispose()


class TestAdoption:
    """A container that may be replaced although no deployment made it."""

    def test_replaces_exactly_that_container(
        self, deployer: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """Another container that has taken the name since then is not replaced."""
        first = deployer.engine.run(app.container, SERVE, stop_signal="SIGTERM")
        deployer.store.apps.adopt(app.id, first)
        deployer.engine.remove(first)
        untouched()
        refused(deployer, app, "mist app adopt")

    def test_is_not_another_applications(
        self, deployer: Deployer, app: App, untouched: Callable[..., str]
    ) -> None:
        """Only the application that adopted the container may replace it."""
        second = deployer.app(app.git_url or "")
        deployer.store.apps.adopt(second.id, untouched())
        refused(deployer, app, "mist app adopt")

    def test_survives_a_failed_deployment(self, deployer: Deployer, app: App) -> None:
        """A container that was restored after a failure may be replaced by the next deployment."""
        running = deployer.engine.run(app.container, SERVE, stop_signal="SIGTERM")
        deployer.store.apps.adopt(app.id, running)
        deployer.limits["health_seconds"] = 0.3
        repository = deployer.directory / "repo"
        good = (repository / "Dockerfile").read_text()
        unhealthy = dockerfile("HEALTHCHECK --interval=1s --retries=1 CMD false")
        for content, status in ((unhealthy, "failed"), (good + "\n", "success")):
            change(deployer, content)
            assert deployer.deploy(app).status == status
        assert container_id(deployer, app.container) != running
        check_clean(deployer, app, containers=1)


class TestUpgrade:
    """Containers and images of the previous version, which did not name the installation."""

    @pytest.fixture
    def before(self, deployer: Deployer, app: App) -> Labels:
        """The labels of a deployment by that version, whose row is in the store."""
        row = deployer.row(deployer.create(app))
        deployer.store.deployments.update(row.id, status="success", image=f"mist-app-{app.id}:1")
        labels = {"mist.app": str(app.id), "mist.deployment": str(row.id)}
        labels |= {"mist.queued": row.created_at}
        return labels | {"mist.replaces": "", "mist.replaces-running": "no"}

    def test_replaces_its_own(self, deployer: Deployer, app: App, before: Labels) -> None:
        """The row in the store proves which application owns the container."""
        running = deployer.engine.run(app.container, SERVE, labels=before)
        assert deployer.deploy(app).status == "success"
        assert container_id(deployer, app.container) != running
        assert deployer.engine.state(running) == "missing"
        check_clean(deployer, app, containers=1)

    def test_ends_what_was_begun(self, deployer: Deployer, app: App, before: Labels) -> None:
        """A deployment is completed if a runner of that version died between the two containers."""
        engine = deployer.engine
        old = engine.run(f"{app.container}-before-2", "exit 0", labels=before)
        deployment = deployer.create(app)
        row = deployer.row(deployment)
        labels = before | {"mist.deployment": str(deployment), "mist.queued": row.created_at}
        labels |= {"mist.replaces": old, "mist.replaces-running": "yes"}
        new = engine.create(app.container, SERVE, labels=labels)
        log = deployer.paths.deployment_log(deployment)
        log.parent.mkdir()
        stage = '"status":"deploying","stage":"starting_new","progress":80,"message":""'
        log.write_text(f'{{"type":"status","data":{{"deployment_id":{deployment},{stage}}}}}\n')
        failed(deployer, deployer.run(deployment, resume=True), "Interrupted by a restart")
        assert engine.client.inspect_container(app.container)["Id"] == old
        assert engine.state(new) == "missing"

    def test_goes_back_to_its_images(self, deployer: Deployer, app: App, before: Labels) -> None:
        """Images are found under the name in the store, and are pruned with the others."""
        client = deployer.engine.client
        stranger = client.import_image_from_data(b"\0" * 1024, "mist-app-1", "99")
        assert "error" not in stranger
        assert deployer.deploy(app).status == "success"
        client.tag(deployer.tag(app, 2), f"mist-app-{app.id}", "1")
        try:
            row = deployer.deploy(app, rollback_to=1)
            assert row.status == "success"
            assert row.image == deployer.tag(app, row.id)
            deployer.limits["keep_images"] = 2
            assert deployer.deploy(app).status == "success"
            assert deployer.tags() == {deployer.tag(app, 3), deployer.tag(app, 4)}
            left = {tag for image in client.images("mist-app-1") for tag in image["RepoTags"]}
            assert "mist-app-1:1" not in left
            assert "mist-app-1:99" in left
        finally:
            client.remove_image("mist-app-1:99")


class TestTwoInstallations:
    """Two installations on one engine, with the same ids in both stores."""

    def test_have_images_of_their_own(self, deployer: Deployer, other: Deployer) -> None:
        """Neither installation overwrites, prunes or loses track of the other's images."""
        for installation in (deployer, other):
            installation.repository({"Dockerfile": dockerfile(f"RUN echo {id(installation)}")})
        url = "file://{}/repo".format
        ours = deployer.app(url(deployer.directory), container="installation-one")
        theirs = other.app(url(other.directory), container="installation-two")
        assert ours.id == theirs.id == 1
        assert deployer.deploy(ours).status == "success"
        client: Any = deployer.engine.client
        image = client.inspect_image(deployer.tag(ours, 1))["Id"]
        for _ in range(2):
            assert other.deploy(theirs).status == "success"
        change(other, dockerfile(run="exit 1"))
        assert other.deploy(theirs).status == "failed"
        assert other.tags() == {other.tag(theirs, 2)}
        assert deployer.tags() == {deployer.tag(ours, 1)}
        assert client.inspect_image(deployer.tag(ours, 1))["Id"] == image
        change(deployer, dockerfile("RUN echo second"))
        assert deployer.deploy(ours).status == "success"
        row = deployer.deploy(ours, rollback_to=1)
        assert row.status == "success"
        found = deployer.engine.client.inspect_container("installation-one")
        assert found["Image"] == image

    def test_do_not_meet_in_the_usual_name(self, deployer: Deployer, other: Deployer) -> None:
        """The second one's error names the owner of ``mist-app-1``, which keeps running."""
        apps = []
        for installation in (deployer, other):
            repository = installation.repository({"Dockerfile": dockerfile()})
            apps.append(installation.app(repository.url))
        assert deployer.deploy(apps[0]).status == "success"
        before = deployer.engine.client.inspect_container("mist-app-1")
        refused(other, apps[1], "'mist-app-1' belongs to another installation of Mist")
        assert deployer.engine.client.inspect_container("mist-app-1") == before
        assert deployer.deploy(apps[0]).status == "success"


@pytest.mark.parametrize("setting", ["network", "build_network"])
def test_a_network_that_is_not_there(deployer: Deployer, app: App, setting: str) -> None:
    """The beginning of a network's id is rejected before anything is created."""
    networks = {each["Name"]: each["Id"] for each in deployer.engine.client.networks()}
    deployer.limits[setting] = networks["none"][:4]
    row = deployer.deploy(app)
    failed(deployer, row, f"no network '{networks['none'][:4]}'")
    assert deployer.tags() == set()
    deployer.limits[setting] = "none"
    assert deployer.deploy(app).status == "success"
