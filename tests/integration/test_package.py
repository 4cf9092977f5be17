"""The wheel that `make install` installs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.integration.harness.clients import WebsocketsClient
from tests.integration.harness.engine import PrivateEngine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """What the wheel holds, as it lies in site-packages."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.engine
def test_the_service_runs_from_the_wheel(
    engine: PrivateEngine, make_service: MakeService, unpacked: Path
) -> None:
    """Migrations, gunicorn's configuration, every worker: nothing is left behind in the sources."""
    service = make_service(engine, start=False)
    service.environment["PYTHONPATH"] = str(unpacked)
    service.start()
    client = WebsocketsClient(service.ws_url("metrics"), service.login())
    client.wait_for(len)
    client.close()
    configurations = [
        argument
        for process in service.processes()
        for argument in process.cmdline()
        if argument.endswith("gunicorn.conf.py")
    ]
    assert str(unpacked / "mist/_etc/gunicorn.conf.py") in configurations
    assert service.stop() == 0
