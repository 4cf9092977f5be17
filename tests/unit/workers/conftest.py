"""An engine with prepared answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engine_server import EngineServer, serving


@pytest.fixture
def server() -> Iterator[EngineServer]:
    """Run an engine for one test."""
    with serving() as engine:
        yield engine
