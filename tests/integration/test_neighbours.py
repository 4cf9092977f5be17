"""The tests leave everything else on the machine as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.conftest import engine_or_skip
from tests.support.service.neighbour import Neighbour
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

#: Does everything that tests do to an engine, and destroys it at the end of the input.
_USE: Final = """
import sys
from tests.support.service.engine import PrivateEngine
from tests.support.isolation import isolate
from tests.support.service.engine import wait_until
isolate()
engine = PrivateEngine()
try:
    engine.start()
    engine.load_image()
    engine.run("writer", "echo $http_proxy; while :; do sleep 1; done")
    engine.restart()
    engine.kill()
    engine.start()
    engine.say("writer", "echo second")
    print(*engine.lines("writer"), flush=True)
    sys.stdin.read()
finally:
    engine.destroy()
"""
_CONFIGURATION: Final = {
    "proxies": {"default": {"httpProxy": "http://proxy.example:3128"}},
    "credHelpers": {"registry.example": "no-such-helper"},
}


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    """An engine in use, with two containers on ``docker0``."""
    with engine_or_skip(Neighbour) as neighbour:
        neighbour.serve("one")
        neighbour.serve("two")
        yield neighbour


def test_a_private_engine_disturbs_nothing(neighbour: Neighbour, tmp_path: Path) -> None:
    """Bridge, firewall, settings, containers and their network stay unchanged throughout."""
    configuration = tmp_path / ".docker/config.json"
    configuration.parent.mkdir()
    configuration.write_text(json.dumps(_CONFIGURATION), "utf-8")
    surroundings = {
        "HOME": str(tmp_path),
        "DOCKER_HOST": neighbour.host,
        "PATH": os.environ["PATH"],
    }
    neighbour.reach("one", "two")
    # A new IPv6 address is tentative until duplicates have been ruled out (RFC 4862 §5.4).
    wait_until(lambda: "tentative" not in str(neighbour.facts()["docker0"]), "the bridge's address")
    before = neighbour.facts()
    with neighbour.start_python(_USE, surroundings) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == " second\n"
        assert neighbour.facts() == before
        neighbour.reach("one", "two")
        program.communicate("", timeout=60)
    assert program.returncode == 0
    assert neighbour.facts() == before
    neighbour.reach("two", "one")
    assert json.loads(configuration.read_text("utf-8")) == _CONFIGURATION
