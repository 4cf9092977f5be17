"""Tests of the removal of work folders at the start of the service."""

from __future__ import annotations

from pathlib import Path

from mist.paths import Paths
from mist.settings import Settings
from mist.store import open_store
from supervisor import orphans


def test_only_folders_without_an_unfinished_deployment_are_removed(tmp_path: Path) -> None:
    """A finished deployment's folder goes, as does what has no deployment."""
    paths = Paths(tmp_path, tmp_path)
    store = open_store(Settings(), paths)
    store.migrate()
    app = store.apps.add("shop", git_url="https://example.com/shop.git")
    finished = store.deployments.create(app.id, "joe@example.com").id
    store.deployments.update(finished, status="failed", finished_at="2026-01-01T00:00:00Z")
    unfinished = store.deployments.create(app.id, "joe@example.com").id
    work = paths.work_folder(1).parent
    for name in (str(finished), str(unfinished), "99", "strange"):
        (work / name / "checkout/deep").mkdir(parents=True)
    (work / "file").touch()
    orphans.remove(store, paths).join()
    assert [path.name for path in work.iterdir()] == [str(unfinished)]
    store.close()


def test_a_service_without_work_folders_starts(tmp_path: Path) -> None:
    """A missing directory is no trouble."""
    store = open_store(Settings(), Paths(tmp_path, tmp_path))
    store.migrate()
    orphans.remove(store, Paths(tmp_path / "missing", tmp_path)).join()
    store.close()
