"""A store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mist.store import Store
from tests.support import store as store_rig


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with its tables."""
    with store_rig.opened(tmp_path) as store:
        yield store
