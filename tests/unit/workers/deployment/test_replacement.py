"""Tests of a whole replacement on a fake engine that refuses, or that other programs use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from docker import APIClient
from docker.errors import APIError
from msgspec import structs

from mist.paths import Paths
from tests.support.fake_engine import refusal
from tests.support.swap_rig import BEFORE, NEW, OLD, SETTINGS, Rig
from workers.deployment import replacement
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import DidNotStay
from workers.deployment.job import Job
from workers.deployment.keeping import ReportingKeeper
from workers.deployment.log import DeploymentLogFile
from workers.deployment.report import Report
from workers.deployment.text import Redactor
from workers.references import Inspection

Rename = Callable[[str, str], None]


@pytest.fixture
def rig(swap_rig: Rig) -> Rig:
    """The application."""
    return swap_rig


class Keeper:
    """A keeper that remembers if the container ran when its log was kept."""

    def __init__(self) -> None:
        self.kept: list[bool] = []

    def keep(self, old: Inspection, check: Callable[[], None]) -> None:
        """Remember it."""
        check()
        self.kept.append(bool(old["State"]["Running"]))


class Scene(NamedTuple):
    """A replacement that is about to begin."""

    rig: Rig
    old: Inspection
    keeper: Keeper
    report: Report
    replacement: replacement.Replacement

    def run(self) -> None:
        """Run it."""
        self.replacement.run(cast(APIClient, self.rig.engine), "image")

    def lines(self) -> str:
        """Return the deployment's log."""
        return self.report.log.path.read_text()

    def intervene(self, at: str, do: Callable[[], None]) -> None:
        """Let another program do something before the first renaming to the name ``at``."""
        rename, done = self.rig.engine.rename, iter([do])

        def spied(full_id: str, name: str) -> None:
            if name == at:
                next(done, lambda: None)()
            rename(full_id, name)

        self.rig.engine.rename = spied  # type: ignore[method-assign]

    def remove(self, name: str) -> None:
        """Remove the container with this name."""
        found = self.rig.engine.named(name)
        assert found is not None
        del self.rig.engine.containers_by_id[found["Id"]]


def fail() -> None:
    """Fail as an engine that has lost a container's network."""
    raise refusal(500, "sandbox not found")


@pytest.fixture
def scene(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """An application with a health check, whose container runs in the network ``front``."""
    rig.engine.health_check = True
    rig.engine.on_start = {"Health": {"Status": "healthy"}}
    app = structs.replace(
        rig.app, port=None, options=structs.replace(rig.app.options, networks=("front",))
    )
    old = rig.engine.containers_by_id[rig.old()]
    rig.engine.connect_container_to_network(old["Id"], "front", ["web"])
    monkeypatch.setattr(replacement, "connect", lambda _settings: rig.engine)
    row = rig.store.deployments.create(app.id, "ada")
    redact = Redactor([])
    report = Report(rig.store, row, DeploymentLogFile(tmp_path / "1.ndjson", redact, 99999), redact)
    keeper = Keeper()
    made = replacement.Replacement(
        Job(app, row, rig.store, Paths(tmp_path, tmp_path)),
        structs.replace(
            SETTINGS, deployments=structs.replace(SETTINGS.deployments, recovery_seconds=0.01)
        ),
        report,
        CancellationToken(lambda: None, 0.0),
        cast(ReportingKeeper, keeper),
    )
    return Scene(rig, old, keeper, report, made)


def test_one_without_a_gap(scene: Scene) -> None:
    """The old container is stopped last."""
    scene.run()
    assert scene.rig.names() == {OLD: True}
    assert "has taken over without a gap" in scene.lines()
    assert "aliases of the previous container in front: web" in scene.lines()
    assert scene.keeper.kept == [False]


def test_aliases_that_the_engine_refuses(scene: Scene) -> None:
    """A new container that has lost a network does not take over."""
    connect = scene.rig.engine.connect_container_to_network
    refused: list[str] = []

    def fails_once(full_id: str, name: str, aliases: list[str] | None = None) -> None:
        if aliases and not refused:
            refused.append(name)
            raise refusal(500, "address pool exhausted")
        connect(full_id, name, aliases)

    scene.rig.engine.connect_container_to_network = fails_once  # type: ignore[method-assign]
    with pytest.raises(APIError, match="address pool exhausted"):
        scene.run()
    assert scene.replacement.undo("x") == (True, "")
    assert scene.rig.names() == {OLD: True}
    assert "web" in scene.old["NetworkSettings"]["Networks"]["front"]["Aliases"]
    assert "went on running" in scene.lines()


@pytest.mark.parametrize("status", [404, 500])
def test_an_engine_that_cannot_rename_the_old_one(scene: Scene, status: int) -> None:
    """The old container is stopped before the new one takes over."""
    engine, rename = scene.rig.engine, scene.rig.engine.rename

    def fails(full_id: str, name: str) -> None:
        if full_id == scene.old["Id"] and scene.old["State"]["Running"]:
            raise refusal(status, "sandbox not found")
        rename(full_id, name)

    engine.rename = fails  # type: ignore[method-assign]
    scene.run()
    assert scene.rig.names() == {OLD: True}
    assert scene.old["Id"] not in engine.containers_by_id
    made = engine.named(OLD)
    assert made is not None
    assert "web" in made["NetworkSettings"]["Networks"]["front"]["Aliases"]
    steps = [method for method, _ in engine.calls if method in {"update", "stop", "remove"}]
    assert steps == ["update", "stop", "update", "remove"]
    text = scene.lines()
    assert "is stopped first: The Docker Engine refused: sandbox not found" in text
    assert "was away for" in text
    assert "aliases of the previous container in front: web" in text
    assert "has taken over" not in text


def test_the_log_of_one_that_removes_itself(scene: Scene) -> None:
    """It is kept before the container may be stopped, whatever the renaming does after that."""
    scene.old["HostConfig"]["AutoRemove"] = True
    scene.intervene("Shop", fail)
    scene.run()
    assert scene.keeper.kept == [True]
    assert scene.rig.names() == {OLD: True}
    text = scene.lines()
    assert text.index("It ran with --rm") < text.index("stopping the previous one")


@pytest.mark.parametrize("at", ["Shop", OLD, BEFORE])
def test_a_new_one_that_another_program_removes(scene: Scene, at: str) -> None:
    """The old container is never stopped."""
    scene.intervene(at, lambda: scene.remove({"Shop": NEW, OLD: "Shop", BEFORE: OLD}[at]))
    with pytest.raises((APIError, DidNotStay)):
        scene.run()
    assert scene.replacement.undo("x") == (True, "")
    assert not [name for method, name in scene.rig.engine.calls if method == "stop"]
    assert not scene.report.stayed_up
    if at != OLD:  # it is found by its name, which is spelled differently then
        assert scene.rig.names() == {OLD: True}


def test_a_name_that_another_program_takes(scene: Scene) -> None:
    """The deployment has failed, although the new container runs under a name of its own."""

    def recreate() -> None:
        scene.remove(OLD)
        scene.rig.engine.add(OLD)

    scene.intervene("Shop", recreate)
    with pytest.raises(APIError):
        scene.run()
    assert not scene.report.stayed_up
    undone, trouble = scene.replacement.undo("x")
    assert not undone
    assert trouble == "the previous container is gone, the new one stays, without the name shop"
    assert scene.rig.names()[OLD]


@pytest.mark.parametrize("named", [True, False])
def test_an_old_one_that_is_gone_after_the_last_step(scene: Scene, named: bool) -> None:
    """The deployment has succeeded only if the new container has the name."""
    engine = scene.rig.engine
    engine.fails_on = {"remove"}
    with pytest.raises(APIError):
        scene.run()
    assert scene.report.stayed_up
    engine.fails_on = set()
    scene.remove(BEFORE)
    if not named:
        made = engine.named(OLD)
        assert made is not None
        made["Name"] = f"/{NEW}"
        engine.add(OLD)
    undone, trouble = scene.replacement.undo("x")
    assert not undone
    assert (trouble == "") is named
