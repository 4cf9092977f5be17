"""The replacement of a container, step by step, and the way back from each step."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest
from docker import APIClient
from docker.errors import APIError

from mist.settings import DeploymentSettings, Settings
from mist.store import App, Deployment, Store
from tests.support.fake_engine import FakeEngine
from workers.deployment import ownership
from workers.deployment.cancellation import CancellationToken
from workers.deployment.containers import Swap, explain
from workers.deployment.errors import Cancelled, DidNotStay
from workers.deployment.ownership import NotReplaceable
from workers.references import NoSuchNetwork

SETTINGS = Settings(deployments=DeploymentSettings(settle_seconds=0.01, health_seconds=0.01))
#: What containers are called while the first deployment runs.
OLD, NEW, BEFORE = "shop", "shop-new-1", "shop-before-1"


class Rig(NamedTuple):
    """An engine, and a store with one application and its deployments."""

    engine: FakeEngine
    store: Store
    app: App

    def deploy(self, settings: Settings = SETTINGS) -> Swap:
        """The change of containers of one more deployment."""
        row: Deployment = self.store.deployments.create(self.app.id, "ada")
        client = cast(APIClient, self.engine)
        return Swap(client, settings, self.store, self.app, row)

    def old(self, **more: Any) -> str:
        """Put the application's own container there; return its id."""
        labels = {ownership.INSTALLATION: self.store.installation, ownership.APP: str(self.app.id)}
        return str(self.engine.add(OLD, labels=labels, **more)["Id"])

    def names(self) -> dict[str, bool]:
        """The containers, and whether each runs."""
        found = self.engine.containers_by_id.values()
        return {each["Name"][1:]: each["State"]["Running"] for each in found}


@pytest.fixture
def rig(store: Store, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An application ``shop`` that has no container yet."""
    app = store.apps.add(
        "shop", container=OLD, git_url="https://h/r.git", port=80, restart_policy="on-failure:3"
    )
    return Rig(FakeEngine(monkeypatch), store, app)


def never() -> CancellationToken:
    """A token that nobody uses."""
    return CancellationToken(lambda: None, 0.0)


def replace(swap: Swap) -> None:
    """Go all the way up to the commit."""
    swap.prepare("image")
    swap.stop_old()
    swap.start_new()
    swap.watch(never())


def test_the_first_container(rig: Rig) -> None:
    """Nothing is replaced, and only the commit gives it its restart policy."""
    swap = rig.deploy()
    replace(swap)
    made = rig.engine.named(OLD)
    assert made is not None
    assert "RestartPolicy" not in made["HostConfig"]
    swap.commit()
    assert rig.names() == {OLD: True}
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert made["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"] == "80"


@pytest.mark.parametrize("auto_remove", [False, True])
def test_a_container_is_replaced(rig: Rig, auto_remove: bool) -> None:
    """The new one is made before the old one stops; one with --rm loses its name before."""
    old = rig.old(auto_remove=auto_remove)
    swap = rig.deploy()
    replace(swap)
    swap.commit()
    assert rig.names() == {OLD: True}
    assert old not in rig.engine.containers_by_id
    steps = ["create", "rename", "stop"] if auto_remove else ["create", "stop", "rename"]
    assert [method for method, _ in rig.engine.calls][:3] == steps


def test_the_old_one_is_set_aside_until_the_commit(rig: Rig) -> None:
    """It can come back as long as it is there."""
    rig.old()
    replace(rig.deploy())
    assert rig.names() == {BEFORE: False, OLD: True}


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("running", [True, False])
def test_every_step_can_be_undone(rig: Rig, steps: int, running: bool) -> None:
    """The old container is back as it was, running or not, and the new one is gone."""
    old = rig.old(running=running)
    swap = rig.deploy()
    if steps > 0:
        swap.prepare("image")
    if steps > 1:
        swap.stop_old()
    if steps > 2:
        swap.start_new()
    assert swap.undo()
    assert rig.names() == {OLD: running}
    assert old in rig.engine.containers_by_id
    assert swap.undo(), "undoing twice does no harm"
    assert rig.names() == {OLD: running}


def test_an_undo_without_the_old_one_keeps_the_new(rig: Rig) -> None:
    """It alone has the volumes, so it gets the application's name."""
    rig.old(auto_remove=True)
    swap = rig.deploy()
    swap.prepare("image")
    swap.stop_old()
    assert not swap.undo()
    assert rig.names() == {OLD: False}


def test_what_an_earlier_deployment_left_is_undone_first(rig: Rig) -> None:
    """One that was killed in the middle, with the engine away for its cleaning up."""
    old = rig.old()
    first = rig.deploy()
    replace(first)
    rig.deploy().prepare("image")
    found = rig.engine.named(OLD)
    assert found is not None
    assert found["Id"] == old
    assert rig.names() == {OLD: True, "shop-new-2": False}


def test_volumes_go_along(rig: Rig) -> None:
    """What the image wants besides is named if it stays behind."""
    mount = {"Type": "volume", "Name": "data", "Source": "/v/data", "Destination": "/data"}
    rig.old(mounts=[mount | {"RW": True, "Mode": "", "Propagation": ""}])
    rig.engine.image_volumes = ["/cache", "/data/inner"]
    swap = rig.deploy()
    swap.prepare("image")
    assert swap.notes[0] == "Keeping volume data at /data"
    assert "hides what volume data at /data has there" in swap.notes[1]
    swap.undo()
    assert swap.notes[2] == "Left behind by the new container: volume fresh/cache at /cache"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"Running": False, "ExitCode": 3}, "exited with status 3"),
        ({"Health": {"Status": "unhealthy"}}, "is unhealthy"),
        ({"Health": {"Status": "starting"}}, r"not healthy within 0\.01 seconds"),
    ],
)
def test_one_that_does_not_stay(rig: Rig, state: dict[str, Any], text: str) -> None:
    """Its last lines can be had for the log."""
    rig.engine.on_start = state
    swap = rig.deploy()
    with pytest.raises(DidNotStay, match=text):
        replace(swap)
    assert swap.last_lines() == ["first", "last \ufffd"]


def test_health_ends_the_watch(rig: Rig) -> None:
    """However long it may take."""
    rig.engine.on_start = {"Health": {"Status": "healthy"}}
    replace(rig.deploy(Settings(deployments=DeploymentSettings(health_seconds=1000.0))))


def test_a_watch_can_be_cancelled(rig: Rig) -> None:
    """By the one who is named."""
    swap = rig.deploy()
    swap.prepare("image")
    swap.start_new()
    with pytest.raises(Cancelled, match="bob"):
        swap.watch(CancellationToken(lambda: "bob", 0.0))


def test_one_that_was_not_started_has_no_last_lines(rig: Rig) -> None:
    """The engine would answer with an error."""
    swap = rig.deploy()
    assert swap.last_lines() == []
    swap.prepare("image")
    assert swap.last_lines() == []


def test_a_failing_engine_is_told_in_its_own_words(rig: Rig) -> None:
    """And what was done before can be undone."""
    rig.old()
    rig.engine.fails_on = {"start"}
    swap = rig.deploy()
    with pytest.raises(APIError) as error:
        replace(swap)
    assert "start fails" in explain(error.value)
    rig.engine.fails_on = set()
    assert swap.undo()
    assert rig.names() == {OLD: True}


def test_a_network_that_is_not_there(rig: Rig) -> None:
    """It is noticed before anything is touched."""
    swap = rig.deploy(Settings(deployments=DeploymentSettings(network="backend")))
    with pytest.raises(NoSuchNetwork, match="backend"):
        swap.prepare("image")
    assert rig.engine.calls == []


class TestOwnership:
    """Whose container it is decides whether it is touched at all."""

    def test_of_nobody(self, rig: Rig) -> None:
        """It is left alone, with the way to change that."""
        rig.engine.add(OLD)
        with pytest.raises(NotReplaceable, match="mist app adopt shop"):
            rig.deploy().prepare("image")
        assert rig.engine.calls == []

    def test_adopted(self, rig: Rig) -> None:
        """The store knows it by its id."""
        found = rig.engine.add(OLD)
        rig.store.apps.adopt(rig.app.id, found["Id"])
        swap = rig.deploy()
        replace(swap)
        swap.commit()
        assert found["Id"] not in rig.engine.containers_by_id

    @pytest.mark.parametrize(
        ("installation", "text"), [("", "belongs to the application other"), ("x", "another inst")]
    )
    def test_of_another(self, rig: Rig, installation: str, text: str) -> None:
        """Another application's, or another installation's."""
        other = rig.store.apps.add("other")
        labels = {
            ownership.INSTALLATION: installation or rig.store.installation,
            ownership.APP: str(other.id),
        }
        rig.engine.add(OLD, labels=labels)
        with pytest.raises(NotReplaceable, match=text):
            rig.deploy().prepare("image")
        assert rig.engine.calls == []

    @pytest.mark.parametrize("same_moment", [True, False])
    def test_of_a_version_that_named_no_installation(self, rig: Rig, same_moment: bool) -> None:
        """The row of its deployment has to be this store's."""
        row = rig.store.deployments.create(rig.app.id, "ada")
        labels = {
            ownership.APP: str(rig.app.id),
            ownership.DEPLOYMENT: str(row.id),
            ownership.QUEUED: row.created_at if same_moment else "another",
        }
        found = rig.engine.add(OLD, labels=labels)
        owner = ownership.owner(rig.store, found)
        assert owner == (rig.app.id if same_moment else None)

    @pytest.mark.parametrize("text", ["", "0", "x", "²", "9" * 40])
    def test_labels_that_are_no_numbers(self, rig: Rig, text: str) -> None:
        """Anybody can write labels."""
        labels = {ownership.INSTALLATION: rig.store.installation, ownership.APP: text}
        assert ownership.owner(rig.store, rig.engine.add(OLD, labels=labels)) is None
