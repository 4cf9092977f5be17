"""Containers that end in the same moment; the whole hundred is in ``tests/faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.many_ends import end_all, waiting

pytestmark = pytest.mark.engine


@pytest.mark.timeout(120)
def test_twenty_ends(engine: PrivateEngine, make_service: MakeService, tmp_path: Path) -> None:
    """Each client gets its ``end`` within two seconds of its container's exit."""
    service = make_service(engine)
    with waiting(engine, tmp_path, 20) as names:
        ended = end_all(service, engine, names, tmp_path)
    assert ended.clients[-1] < 2.0
