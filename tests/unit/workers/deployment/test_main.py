"""Tests of a runner that cannot write its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from mist.errors import Exit
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from workers.deployment.errors import NotRecorded
from workers.deployment.main import main


def test_a_store_that_fails_is_a_crash(tmp_path: Path) -> None:
    """A store failure is a crash, so that another runner corrects the row."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mist.db").write_text(
        "This is no database, however much it may look like one."
    )
    with pytest.raises(NotRecorded) as caught:
        main(Assignment("deployment", 1, 1, resume=False), Settings(), Paths(tmp_path, tmp_path))
    assert caught.value.exit_status is Exit.FAILURE
