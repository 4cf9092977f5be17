"""Tests of replacing a container, and of undoing each step."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError
from msgspec import structs

from mist.settings import DeploymentSettings, Settings
from tests.support.swap_rig import BEFORE, NEW, OLD, Rig
from workers.deployment import ownership
from workers.deployment.cancellation import CancellationToken
from workers.deployment.containers import Swap
from workers.deployment.errors import Cancelled, DidNotStay, explain
from workers.deployment.ownership import NotReplaceable
from workers.references import NoSuchNetwork


@pytest.fixture
def rig(swap_rig: Rig) -> Rig:
    """The application."""
    return swap_rig


def never() -> CancellationToken:
    """A token that is never cancelled."""
    return CancellationToken(lambda: None, 0.0)


def replace(swap: Swap) -> None:
    """Run every step up to the commit."""
    swap.prepare("image")
    swap.stop_old()
    swap.start_new()
    swap.watch(never())


def test_the_first_container(rig: Rig) -> None:
    """The first container replaces nothing, and gets its restart policy at the commit."""
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
    """The new container is made before the old one stops; one with --rm is renamed before."""
    old = rig.old(auto_remove=auto_remove)
    swap = rig.deploy()
    replace(swap)
    swap.commit()
    assert rig.names() == {OLD: True}
    assert old not in rig.engine.containers_by_id
    steps = ["create", "rename", "stop"] if auto_remove else ["create", "stop", "rename"]
    assert [method for method, _ in rig.engine.calls][:3] == steps


def test_the_old_one_is_set_aside_until_the_commit(rig: Rig) -> None:
    """The old container is kept until the commit."""
    rig.old()
    replace(rig.deploy())
    assert rig.names() == {BEFORE: False, OLD: True}


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("running", [True, False])
def test_every_step_can_be_undone(rig: Rig, steps: int, running: bool) -> None:
    """An undo restores the old container and its state, and removes the new one."""
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


class TestNewFirst:
    """A new container that is started while the old one runs."""

    @pytest.fixture
    def old(self, rig: Rig) -> str:
        """The old container; new ones have a health check and are healthy at once."""
        rig.engine.health_check = True
        rig.engine.on_start = {"Health": {"Status": "healthy"}}
        return rig.old()

    @pytest.fixture
    def swap(self, rig: Rig, old: str) -> Swap:
        """The replacement of an application that publishes no port."""
        assert old
        return rig._replace(app=structs.replace(rig.app, port=None)).deploy()

    def test_it_takes_over_before_the_old_one_stops(self, rig: Rig, old: str, swap: Swap) -> None:
        """The new container has the name when the old one is stopped."""
        swap.prepare("image")
        assert swap.new_first
        swap.start_new()
        swap.watch(never())
        assert rig.names() == {OLD: True, NEW: True}
        assert swap.take_over()
        swap.drain(never())
        assert rig.names() == {OLD: True, BEFORE: True}
        swap.set_policy()
        swap.stop_old()
        swap.commit()
        assert rig.names() == {OLD: True}
        assert old not in rig.engine.containers_by_id

    @pytest.mark.parametrize("steps", range(5))
    def test_every_step_can_be_undone(self, rig: Rig, old: str, swap: Swap, steps: int) -> None:
        """The old container has its name again; it is not stopped unless it was asked to stop."""
        done = [lambda: swap.prepare("image"), swap.start_new, swap.take_over, swap.stop_old]
        for step in done[:steps]:
            step()
        for _ in range(2):
            assert swap.undo(stopping=steps > 3)
            assert rig.names() == {OLD: True}
            assert old in rig.engine.containers_by_id
        stops = [name for method, name in rig.engine.calls if method == "stop"]
        assert (BEFORE in stops, OLD in stops) == (steps > 3, False)
        assert ("The previous container went on running" in swap.notes) == (steps in {1, 2})
        assert any("was away for" in note for note in swap.notes) == (steps > 3)

    @pytest.mark.parametrize("spellings", [("Shop", OLD), ("Shop", "sHop"), (OLD, "sHop")])
    def test_a_runner_that_was_killed_while_it_renamed(
        self, rig: Rig, old: str, swap: Swap, spellings: tuple[str, str]
    ) -> None:
        """The next deployment undoes it first."""
        swap.prepare("image")
        swap.start_new()
        made = rig.engine.named(NEW)
        assert made is not None
        for found, name in zip((made, rig.engine.containers_by_id[old]), spellings, strict=True):
            found["Name"] = f"/{name}"
        rig.deploy().prepare("image")
        assert rig.names() == {OLD: True, "shop-new-2": False}
        assert rig.engine.containers_by_id[old]["Name"] == f"/{OLD}"

    @pytest.mark.parametrize("status", [404, 500])
    @pytest.mark.parametrize("spellings", [("Shop", "sHop"), ("shop", "shop-before-1")])
    def test_an_engine_that_cannot_rename_what_runs(
        self, rig: Rig, old: str, swap: Swap, spellings: tuple[str, str], status: int
    ) -> None:
        """Then the old container is stopped, and started again with its name."""
        swap.prepare("image")
        swap.start_new()
        made = rig.engine.named(NEW)
        assert made is not None
        for found, name in zip((made, rig.engine.containers_by_id[old]), spellings, strict=True):
            found["Name"] = f"/{name}"
        rig.engine.renames_running = False
        rig.engine.lost_status = status
        assert swap.undo()
        assert rig.names() == {OLD: True}
        assert rig.engine.containers_by_id[old]["State"]["Running"]
        assert any("was away for" in note for note in swap.notes)

    def test_a_new_one_that_is_removed(self, rig: Rig, old: str, swap: Swap) -> None:
        """If another program removes the new container, the deployment says so."""
        rig.engine.on_start = {}
        swap.prepare("image")
        swap.start_new()
        made = rig.engine.named(NEW)
        assert made is not None
        del rig.engine.containers_by_id[made["Id"]]
        for step in (swap.take_aliases, lambda: swap.drain(never())):
            with pytest.raises(DidNotStay, match="was removed"):
                step()
        assert swap.undo()
        assert rig.names() == {OLD: True}

    def test_an_old_one_that_has_gone(self, rig: Rig, old: str, swap: Swap) -> None:
        """If another program removes the old container, the new one takes its place."""
        swap.prepare("image")
        swap.start_new()
        del rig.engine.containers_by_id[old]
        assert not swap.take_over()
        swap.stop_old()
        swap.commit()
        assert rig.names() == {OLD: True}

    def test_an_old_one_that_does_not_run(self, rig: Rig, old: str, swap: Swap) -> None:
        """There is nothing to keep up, so the new container gets the name at once."""
        rig.engine.containers_by_id[old]["State"]["Running"] = False
        replace(swap)
        assert not swap.new_first
        assert rig.names() == {OLD: True, BEFORE: False}

    def test_one_that_becomes_unhealthy_after_it_took_over(self, rig: Rig, swap: Swap) -> None:
        """The old container still runs then."""
        swap.prepare("image")
        swap.start_new()
        swap.take_over()
        made = rig.engine.named(OLD)
        assert made is not None
        made["State"]["Health"]["Status"] = "unhealthy"
        with pytest.raises(DidNotStay):
            swap.drain(never())
        assert swap.undo()
        assert rig.names() == {OLD: True}


def test_an_undo_without_the_old_one_keeps_the_new(rig: Rig) -> None:
    """An undo without an old container keeps the new one, which has the only volumes."""
    rig.old(auto_remove=True)
    swap = rig.deploy()
    swap.prepare("image")
    swap.stop_old()
    assert not swap.undo()
    assert rig.names() == {OLD: False}


def test_what_an_earlier_deployment_left_is_undone_first(rig: Rig) -> None:
    """An earlier deployment that was killed is undone first."""
    old = rig.old()
    first = rig.deploy()
    replace(first)
    rig.deploy().prepare("image")
    found = rig.engine.named(OLD)
    assert found is not None
    assert found["Id"] == old
    assert rig.names() == {OLD: True, "shop-new-2": False}


def test_volumes_go_along(rig: Rig) -> None:
    """Volumes move to the new container; the image's other volumes are named if left behind."""
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
    """A container that does not stay up is reported, and its last lines can be read."""
    rig.engine.on_start = state
    swap = rig.deploy()
    with pytest.raises(DidNotStay, match=text):
        replace(swap)
    assert swap.last_lines() == ["first", "last \ufffd"]


def test_health_ends_the_watch(rig: Rig) -> None:
    """Healthiness ends the watch early."""
    rig.engine.on_start = {"Health": {"Status": "healthy"}}
    replace(rig.deploy(Settings(deployments=DeploymentSettings(health_seconds=1000.0))))


def test_a_watch_can_be_cancelled(rig: Rig) -> None:
    """Cancelling a watch names the user."""
    swap = rig.deploy()
    swap.prepare("image")
    swap.start_new()
    with pytest.raises(Cancelled, match="bob"):
        swap.watch(CancellationToken(lambda: "bob", 0.0))


def test_one_that_was_not_started_has_no_last_lines(rig: Rig) -> None:
    """A container that was not started has no last lines; the engine is not asked."""
    swap = rig.deploy()
    assert swap.last_lines() == []
    swap.prepare("image")
    assert swap.last_lines() == []


def test_a_failing_engine_is_told_in_its_own_words(rig: Rig) -> None:
    """An engine's failure is reported in its own words, and earlier steps can be undone."""
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
    """A missing network is reported before anything changes."""
    rig.engine.missing_networks = {"backend"}
    swap = rig.deploy(Settings(deployments=DeploymentSettings(network="backend")))
    with pytest.raises(NoSuchNetwork, match="backend"):
        swap.prepare("image")
    assert rig.engine.calls == []


class TestOwnership:
    """Only the application's own container is replaced."""

    def test_of_nobody(self, rig: Rig) -> None:
        """A container without an owner is left alone, with advice to adopt it."""
        rig.engine.add(OLD)
        with pytest.raises(NotReplaceable, match="mist app adopt shop"):
            rig.deploy().prepare("image")
        assert rig.engine.calls == []

    def test_adopted(self, rig: Rig) -> None:
        """An adopted container is recognised by its id in the store."""
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
        """A container of another application or installation is left alone."""
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
        """A container without an installation's label needs a deployment in this store."""
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
    def test_labels_that_are_not_numbers(self, rig: Rig, text: str) -> None:
        """Labels with invalid numbers are ignored, because any user can write labels."""
        labels = {ownership.INSTALLATION: rig.store.installation, ownership.APP: text}
        assert ownership.owner(rig.store, rig.engine.add(OLD, labels=labels)) is None
