"""A hundred containers that end in the same moment: everybody is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.many_ends import end_all, waiting

pytestmark = pytest.mark.engine

COUNT = 100

#: How long after the engine has reported an exit the client may get its ``end``.
SECONDS = 2.0


@pytest.mark.timeout(400)
def test_a_hundred_ends(engine: PrivateEngine, make_service: MakeService, tmp_path: Path) -> None:
    """Each client gets its ``end`` within two seconds of its container's exit."""
    service = make_service(engine)
    with waiting(engine, tmp_path, COUNT) as names:
        ended = end_all(service, engine, names, tmp_path)
    print(f"engine {ended.engine[0]:.2f}..{ended.engine[-1]:.2f} s")
    print("clients", *(f"{seconds:.2f}" for seconds in ended.clients[:: COUNT // 10]))
    assert ended.clients[-1] < SECONDS
