"""``mist deploy``: how a deployment's log and its row reach the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from cli import deploy, terminal
from cli.deploy import Screen, follow
from mist import messages
from mist.apps import management
from mist.apps.management import NewApp
from mist.messages import DeploymentStatus
from mist.paths import Paths
from mist.store import Deployment, DeploymentState, Store
from tests.support.store import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a store with one application."""
    with opened(tmp_path) as store:
        management.add(store, NewApp(name="web", git_url="https://example.com/web.git"))
        yield store


@pytest.fixture
def row(store: Store) -> Deployment:
    """Return a deployment that waits."""
    return store.deployments.create(1, "ada@example.com")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Return paths with a folder for logs, and no service behind them."""
    paths = Paths(tmp_path, tmp_path)
    paths.deployment_log(1).parent.mkdir()
    return paths


def status(row: Deployment, state: DeploymentState, progress: int, text: str) -> bytes:
    """Return a status of the deployment."""
    error = text if state == "failed" else ""
    return messages.status(DeploymentStatus(row.id, state, "", progress, text, error))


def test_a_log_is_shown_to_its_end(
    store: Store, paths: Paths, row: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal each new status is a line; control characters are visible."""
    records = [
        status(row, "building", 25, "Cloning"),
        messages.log("2025-01-15T10:30:00Z", "Cloning into \x1b]0;x\x07'shop'", "stdout"),
        status(row, "building", 25, "Cloning"),
        status(row, "success", 100, "Deployed [/b]"),
    ]
    paths.deployment_log(row.id).write_bytes(b"\n".join(records) + b"\n")
    with Screen("Deployment 1 of web") as screen:
        assert follow(store, paths, row, screen).status == "success"
    assert capsys.readouterr().out.splitlines() == [
        "Deployment 1 of web",
        "[ 25 %] Cloning",
        r"Cloning into \x1b]0;x\x07'shop'",
        "[100 %] Deployed [/b]",
    ]


def test_a_row_tells_the_end_that_the_log_lacks(
    store: Store, paths: Paths, row: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk was full, or the runner was killed."""
    store.deployments.update(row.id, status="failed", error_message="Interrupted by a restart")
    with Screen("Deployment 1 of web") as screen:
        assert follow(store, paths, row, screen).status == "failed"
    assert "Interrupted by a restart" in capsys.readouterr().out


def test_a_queue_that_nobody_works_on_is_told(
    store: Store,
    paths: Paths,
    row: Deployment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once; the place in the queue is shown as well."""
    store.deployments.update(row.id, message="Queued: 1st of 1")
    monkeypatch.setattr(deploy, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(deploy, "_ROW_SECONDS", 0.0)
    asked: list[Paths] = []

    def service_runs(asked_paths: Paths) -> bool:
        asked.append(asked_paths)
        store.deployments.update(row.id, status="failed", error_message="over")
        return False

    monkeypatch.setattr(deploy, "service_runs", service_runs)
    with Screen("Deployment 1 of web") as screen:
        follow(store, paths, row, screen)
    out = capsys.readouterr().out
    assert "Queued: 1st of 1" in out
    assert out.count("mist up") == 1
    assert len(asked) == 1


def test_a_message_in_the_bar_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar shows markup, emoji codes and backslashes as they are."""
    written = io.StringIO()
    console = partial(Console, file=written, force_terminal=True, width=100)
    monkeypatch.setattr(deploy, "Console", console)
    text = ":warning: [red]x[/red] [/b] \\[x] \\"
    with Screen("Deployment 1 of web") as screen:
        screen.status(DeploymentStatus(1, "building", "", 30, text))
    assert text in written.getvalue()


def test_a_question_gives_no_orders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters in a question, such as one with a stored name, are visible."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert terminal.confirmed("Remove a\x9b6n\x1b]0;x\x07?")
    assert "Remove a\\x9b6n\\x1b]0;x\\x07? [y/N]: " in capsys.readouterr().out
