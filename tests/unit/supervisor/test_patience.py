"""Tests of the bounds of deployments, and of the supervisor that applies them."""

from __future__ import annotations

import signal

import pytest

from mist.settings import DeploymentSettings, Settings, SupervisorSettings
from supervisor.patience import Patience
from tests.support.supervisor import FakeRows, History, deployment

LIMITS = DeploymentSettings(clone_seconds=100.0, build_seconds=1_000.0, end_seconds=10.0)
SETTINGS = Settings(deployments=LIMITS, supervisor=SupervisorSettings(stop_seconds=5.0))


@pytest.mark.parametrize(
    ("stage", "seconds"), [("cloning_repo", 110.0), ("building_image", 1_010.0)]
)
def test_stage_over_its_limit(stage: str, seconds: float) -> None:
    """A stage may take its limit and the time to end by itself."""
    patience = Patience(LIMITS)
    row = deployment(1, 1, status="building", stage=stage)
    for now in (0.0, 50.0, seconds - 1):
        assert patience.over([row], {1}, now) == {}
    (reason,) = patience.over([row], {1}, seconds).values()
    assert reason == f"{stage} took longer than {seconds - 10:g} s"


def test_next_stage_has_its_own_limit() -> None:
    """The time of a stage begins with the stage."""
    patience = Patience(LIMITS)
    patience.over([deployment(1, 1, status="building", stage="cloning_repo")], {1}, 0.0)
    building = deployment(1, 1, status="building", stage="building_image")
    assert patience.over([building], {1}, 105.0) == {}
    assert patience.over([building], {1}, 1_100.0) == {}
    assert patience.over([building], {1}, 1_115.0)


@pytest.mark.parametrize("stage", ["", "pending", "cloning_repo", "building_image"])
def test_cancelled_runner_that_does_not_end(stage: str) -> None:
    """A cancelled deployment has some seconds to end by itself."""
    patience = Patience(LIMITS)
    row = deployment(1, 1, status="building", stage=stage, cancelled_by="ann")
    assert patience.over([row], {1}, 0.0) == {}
    assert patience.over([row], {1}, 9.9) == {}
    assert patience.over([row], {1}, 10.0) == {1: "cancelled, and did not end by itself"}


@pytest.mark.parametrize("stage", ["stopping_old", "starting_new"])
def test_an_undo_is_not_cut_short(stage: str) -> None:
    """Once containers are touched, a runner that is alive may take the time that it needs."""
    patience = Patience(LIMITS)
    row = deployment(1, 1, status="deploying", stage=stage, cancelled_by="ann")
    for now in (0.0, 1e4, 1e5):
        assert patience.over([row], {1}, now) == {}


def test_the_next_runner_has_its_own_time() -> None:
    """One that records a cancellation in place of another is not ended as soon as it starts."""
    history = History(SETTINGS, FakeRows(deployment(1, 1, cancelled_by="a newer push")))
    history.passes(13.0)
    first = history.world.last
    assert first.signals == [signal.SIGTERM]
    history.ends(first, -signal.SIGTERM)
    history.passes(9.0)
    second = history.world.last
    assert second is not first
    assert second.signals == []


def test_supervisor_ends_what_was_cancelled() -> None:
    """First SIGTERM, then SIGKILL, then a runner that cleans up, which is left alone."""
    rows = FakeRows(deployment(1, 1))
    history = History(SETTINGS, rows)
    history.passes(1.0)
    runner = history.world.last
    rows.update(1, status="building", stage="cloning_repo", cancelled_by="ann")
    history.passes(9.0)
    assert runner.signals == []
    history.passes(4.0)
    assert runner.signals == [signal.SIGTERM]
    history.passes(6.0)
    assert runner.signals == [signal.SIGTERM, signal.SIGKILL]
    history.ends(runner, -signal.SIGKILL)
    history.passes(2.0)
    cleaner = history.world.last
    assert cleaner is not runner
    assert cleaner.resume
    assert cleaner.spec.reason == "cancelled, and did not end by itself"
    history.passes(60.0)
    assert cleaner.signals == []


def test_two_that_hang_do_not_stop_the_queue() -> None:
    """Runners that neither turn nor end make room for the next deployments."""
    rows = FakeRows(*(deployment(number, number) for number in (1, 2, 3)))
    history = History(SETTINGS, rows)
    history.passes(1.0)
    hanging = list(history.world.started)
    assert len(hanging) == 2
    for process in hanging:
        process.beat = history.world.now
    rows.update(1, status="building", stage="building_image")
    rows.update(2, status="building", stage="building_image")
    history.passes(12.0)
    for process in hanging:
        assert process.signals == [signal.SIGKILL]
        history.ends(process, -signal.SIGKILL)
    history.passes(1.0)
    cleaners = history.world.started[2:4]
    assert [process.resume for process in cleaners] == [True, True]
    assert cleaners[0].spec.reason.startswith("its process did not respond for 10")
    for process in cleaners:
        rows.update(process.spec.target, status="failed", finished_at="now")
        history.ends(process, 0)
    history.passes(2.0)
    assert history.world.last.spec.target == 3
