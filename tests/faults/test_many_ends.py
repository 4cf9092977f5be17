"""A hundred containers that end in the same moment: each client is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import engine_or_skip
from tests.support.service.engine import PrivateEngine
from tests.support.service.many_ends import end_all, waiting
from tests.support.service.service import Service

pytestmark = [pytest.mark.engine, pytest.mark.whole]

COUNT = 100

#: How long after the engine has reported an exit the client may get its ``end``.
SECONDS = 2.0


@pytest.mark.timeout(400)
def test_a_hundred_ends(tmp_path: Path) -> None:
    """Each client gets its ``end`` within two seconds of its container's exit."""
    with engine_or_skip(PrivateEngine) as engine:
        service = Service(engine.host)
        try:
            service.start()
            with waiting(engine, tmp_path, COUNT) as names:
                ended = end_all(service, engine, names, tmp_path)
        finally:
            service.destroy()
    print(f"engine {ended.engine[0]:.2f}..{ended.engine[-1]:.2f} s")
    print("clients", *(f"{seconds:.2f}" for seconds in ended.clients[:: COUNT // 10]))
    assert ended.clients[-1] < SECONDS
