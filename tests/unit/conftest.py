"""Fixtures: a store and a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.store import Store
from tests.support import bus as bus_rig
from tests.support import store as store_rig
from tests.support.bus import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A broker, and helpers that play collectors."""
    with bus_rig.running() as rig:
        yield rig


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with its tables."""
    with store_rig.opened(tmp_path) as store:
        yield store
