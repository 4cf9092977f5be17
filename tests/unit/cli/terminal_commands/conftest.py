"""A broker for the tests of the commands that read the bus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import bus as bus_rig
from tests.support.bus import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A broker, and the means to play collectors."""
    with bus_rig.running() as rig:
        yield rig
