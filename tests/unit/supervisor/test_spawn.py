"""Tests of specifications that cannot be started."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from pathlib import Path

import pytest

from mist.paths import Paths
from mist.settings import Settings
from supervisor import specs
from supervisor.broker_link import BrokerLink
from supervisor.notices import Notices
from supervisor.spawn import Spawner
from supervisor.workers import ForkServer


class NoApps:
    """A store without applications."""

    def containers(self, _app_ids: Collection[int]) -> dict[int, str]:
        """Return no containers."""
        return {}


@pytest.mark.parametrize("error", [OSError("no descriptors"), OSError(24, "Too many open files")])
def test_collector_that_cannot_be_started_gives_its_page_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    """A collector that cannot be started returns its page, even after many attempts."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ForkServer, "start", refuse)
    settings, notices = Settings(), Notices(NoApps())
    spawn = Spawner(settings, Paths(tmp_path, tmp_path), BrokerLink(), notices, count().__next__)
    for _ in range(3):
        with pytest.raises(type(error)):
            spawn(specs.container(settings, 1), False)
    assert notices.open(1).collectors() == 1
    notices.end()
