"""Tests of the removal of an application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from mist.errors import EngineUnreachable
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import App, Store
from tests.support.fake_engine import FakeEngine
from workers import labels
from workers.removal import main as removal


@pytest.fixture
def app(store: Store) -> App:
    """An application that is to be removed, after two deployments."""
    app = store.apps.add("web", git_url="https://h/r.git")
    for _ in range(2):
        row = store.deployments.create(app.id, "ada")
        store.deployments.update(row.id, status="failed")
    store.apps.request_removal(app.id, "ada")
    return app


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine without images, which the worker connects to."""
    engine = FakeEngine(monkeypatch)
    monkeypatch.setattr(engine, "images", lambda **_options: [], raising=False)
    monkeypatch.setattr(removal, "connect", lambda _settings: engine)
    return engine


def run(app: App, tmp_path: Path) -> None:
    """Run the worker once."""
    removal.main(Assignment("removal", app.id, 1, False), Settings(), Paths(tmp_path, tmp_path))


def made_by(store: Store, app_id: int, **more: str) -> dict[str, Any]:
    """Return the labels of a container of an application."""
    return {labels.INSTALLATION: store.installation, labels.APP: str(app_id)} | more


def test_everything_of_the_application_goes(
    store: Store, app: App, engine: FakeEngine, tmp_path: Path
) -> None:
    """Its containers go under whatever name, its logs and its rows; nothing of others does."""
    other = store.apps.add("other")
    mine = [
        engine.add("mist-app-1", labels=made_by(store, app.id)),
        engine.add("former-name", labels=made_by(store, app.id), running=False),
    ]
    kept = [
        engine.add("by-hand", labels={}),
        engine.add("others", labels=made_by(store, other.id)),
        engine.add("foreign", labels=made_by(store, app.id, **{labels.INSTALLATION: "x"})),
    ]
    folder = tmp_path / "deployments"
    folder.mkdir()
    for name in ("1.ndjson", "2.ndjson", "1.more", "11.ndjson", "3.ndjson"):
        (folder / name).write_text("")
    (tmp_path / "work" / "2" / "checkout").mkdir(parents=True)
    for each in (app, other):
        (tmp_path / "kept-logs" / str(each.id)).mkdir(parents=True)
        (tmp_path / "kept-logs" / str(each.id) / "2.zip").touch()
    run(app, tmp_path)
    assert [each["Id"] for each in engine.containers_by_id.values()] == [k["Id"] for k in kept]
    assert ("stop", "mist-app-1") in engine.calls
    assert not {each["Id"] for each in mine} & engine.containers_by_id.keys()
    assert sorted(path.name for path in folder.iterdir()) == ["11.ndjson", "3.ndjson"]
    assert not (tmp_path / "work" / "2").exists()
    assert [path.name for path in (tmp_path / "kept-logs").iterdir()] == [str(other.id)]
    assert store.apps.all() == [other]
    assert store.deployments.unfinished() == []
    run(app, tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineUnreachable("unix:///secret/path", "refused"), "is unreachable"),
        (APIError("permission denied"), "refused: permission denied"),
    ],
)
def test_an_engine_that_does_not_obey(
    store: Store,
    app: App,
    engine: FakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    """The application stays with the reason, and a later worker removes it."""
    engine.add("mist-app-1", labels=made_by(store, app.id))
    with monkeypatch.context() as patch:

        def fail(_full_id: str, timeout: int) -> None:
            assert timeout == 10
            raise error

        patch.setattr(engine, "stop", fail)
        run(app, tmp_path)
    after = store.apps.get(app.id)
    assert after is not None
    assert words in after.removal_problem
    assert "secret" not in after.removal_problem
    run(app, tmp_path)
    assert store.apps.get(app.id) is None
    assert not engine.containers_by_id


def test_nothing_is_removed_that_was_not_asked_for(
    store: Store, engine: FakeEngine, tmp_path: Path
) -> None:
    """A worker for an application that is to stay, or is gone, does nothing."""
    app = store.apps.add("web")
    engine.add("mist-app-1", labels=made_by(store, app.id))
    run(app, tmp_path)
    assert store.apps.get(app.id) == app
    assert len(engine.containers_by_id) == 1
