"""An application ``shop`` on a fake engine."""

from __future__ import annotations

import pytest

from mist.store import Store
from tests.support.fake_engine import FakeEngine
from tests.support.swap_rig import OLD, Rig


@pytest.fixture
def swap_rig(store: Store, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An application ``shop`` without a container."""
    app = store.apps.add(
        "shop", container=OLD, git_url="https://h/r.git", port=80, restart_policy="on-failure:3"
    )
    return Rig(FakeEngine(monkeypatch), store, app)
