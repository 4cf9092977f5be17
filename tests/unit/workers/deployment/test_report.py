"""Tests that the status and the row advance together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from mist.deployments.records import (
    BUILDING,
    CLONING,
    STARTING,
    STOPPING,
    is_final,
    records_of,
    status_of,
)
from mist.messages import DeploymentStatus
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Deployment, Store, open_store
from workers.deployment.log import DeploymentLogFile, RecordPublisher
from workers.deployment.report import Report
from workers.deployment.text import Redactor

HIDE = Redactor(["hunter2"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one pending deployment."""
    opened = open_store(Settings(), Paths(tmp_path, tmp_path))
    opened.migrate()
    opened.deployments.create(opened.apps.add("shop", git_url="file:///x").id, "ada@example.com")
    yield opened
    opened.close()


@pytest.fixture
def log(tmp_path: Path) -> DeploymentLogFile:
    """Its log."""
    return DeploymentLogFile(tmp_path / "1.ndjson", HIDE, 1_000_000)


@pytest.fixture
def report(store: Store, log: DeploymentLogFile) -> Report:
    """Its report."""
    return Report(store, row(store), log, HIDE)


def row(store: Store) -> Deployment:
    """The deployment."""
    found = store.deployments.get(1)
    assert found is not None
    return found


def statuses(log: DeploymentLogFile) -> list[DeploymentStatus]:
    """Return the statuses in the log."""
    return [status for record in log.records() if (status := status_of(record))]


def test_row_and_log_say_the_same(report: Report, store: Store, log: DeploymentLogFile) -> None:
    """The row and the log agree after each step."""
    report.begin()
    assert row(store).started_at is not None
    for stage in (CLONING, BUILDING, STOPPING, STARTING):
        report.enter(stage, f"In {stage.name}")
        now, said = row(store), statuses(log)[-1]
        assert (now.status, now.stage, now.progress, now.message) == (
            *(said.status, said.stage, said.progress, said.message),
        )
    report.succeed()
    assert (row(store).status, row(store).progress) == ("success", 100)
    assert log.finished()


@pytest.mark.parametrize("status", ["success", "failed"])
def test_who_is_told_of_the_end_finds_it_in_the_row(
    store: Store, tmp_path: Path, status: str
) -> None:
    """The final record is in the file before the row has ended, and on the bus afterwards."""
    path, told = tmp_path / "1.ndjson", list[tuple[str, bool]]()

    class Publisher:
        def catch_up(self) -> None:
            ended = any(is_final(record) for record in records_of(path))
            told.append((row(store).status, ended))

    publisher = cast(RecordPublisher, Publisher())
    report = Report(store, row(store), DeploymentLogFile(path, HIDE, 1_000_000, publisher), HIDE)
    report.enter(STARTING, "Starting")
    if status == "success":
        report.succeed()
    else:
        report.fail("It broke")
    assert told == [("pending", False), (status, True)]


def test_the_commits_message_holds_no_secret(report: Report, store: Store) -> None:
    """Secrets are redacted from the commit's subject."""
    report.note({"commit_hash": "cafe", "commit_message": "Use hunter2"})
    assert (row(store).commit_hash, row(store).commit_message) == ("cafe", "Use ***")


def test_progress_is_a_share_of_the_stage_and_never_goes_back(
    report: Report, log: DeploymentLogFile
) -> None:
    """Progress is a share of the stage and never decreases."""
    report.enter(BUILDING, "Building")
    for share in (0.5, 0.2, 1.0, 0.0):
        report.progress(share, f"{share}")
    assert [status.progress for status in statuses(log)] == [25, 50, 50, 75, 75]


def test_what_has_been_said_is_not_said_again(report: Report, log: DeploymentLogFile) -> None:
    """An unchanged status is not repeated."""
    report.enter(BUILDING, "Building")
    report.progress(0, "Building")
    assert len(statuses(log)) == 1


def test_a_failure_stays_where_it_happened(
    report: Report, store: Store, log: DeploymentLogFile
) -> None:
    """A failure keeps its stage and has a reason without secrets."""
    report.enter(BUILDING, "Building")
    report.progress(0.5, "Half of it, with hunter2")
    report.fail("It broke on hunter2")
    now = row(store)
    assert (now.status, now.stage, now.progress) == ("failed", "building_image", 50)
    assert now.error_message == "It broke on ***"
    assert statuses(log)[-2].message == "Half of it, with ***"
    assert now.finished_at is not None


def test_another_runner_goes_on_from_the_log(
    report: Report, store: Store, log: DeploymentLogFile
) -> None:
    """Another runner continues from the log, because the row may be behind."""
    report.enter(STARTING, "Starting")
    report.progress(1, "It is up")
    store.deployments.update(1, status="building", stage="building_image", progress=30)
    again = Report(store, row(store), log, HIDE)
    assert again.touches_containers
    assert again.stayed_up
    again.fail("Interrupted by a restart")
    assert row(store).progress == 90


def test_a_nul_is_not_stored(report: Report, store: Store) -> None:
    """A NUL, which PostgreSQL does not store, is replaced in the row; the log keeps it."""
    report.begin()
    report.note({"commit_message": "a\0b"})
    report.postpone("engine\0", "waiting\0")
    report.fail("unknown instruction: F\0R\0O\0M\0")
    now = row(store)
    assert now.commit_message == "a\ufffdb"
    assert now.error_message == "unknown instruction: F\ufffdR\ufffdO\ufffdM\ufffd"
