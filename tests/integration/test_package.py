"""The wheel that `make install` installs, in an environment that contains nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from cli.main import COMMANDS
from tests.integration.conftest import MakeService
from tests.support.service.clients import WebsocketsClient
from tests.support.service.deployments import Repository, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import run
from tests.support.service.service import Service

ROOT = Path(__file__).parents[2]

#: Loads every module of the wheel except Alembic's, which only a migration can run,
#: and prints where each loaded module comes from.
_LOAD_EVERYTHING = """
import importlib, pkgutil, sys
for name in ("mist", "supervisor", "workers", "api"):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not found.name.startswith("mist.store.migrations."):
            importlib.import_module(found.name)
print(*{module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)})
"""


class Environment:
    """A virtual environment with the wheel, and the variables that its programs see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin/python"
        self.mist = folder / "bin/mist"

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command outside the source tree."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=untouched(dict(os.environ)) | variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=110,
        )


def untouched(environ: dict[str, str]) -> dict[str, str]:
    """Return the variables without those that lead Python or a shell to the tests' environment."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    kept.pop("VIRTUAL_ENV", None)
    folders = [each for each in kept["PATH"].split(":") if not each.startswith(sys.prefix)]
    return kept | {"PATH": ":".join(folders)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment with the wheel, installed as `make install` does it."""
    folder = tmp_path_factory.mktemp("package")
    here = Environment(folder / "environment")
    here.folder.mkdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    for command in (
        (sys.executable, "-I", "-m", "venv", here.folder),
        (here.python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel),
    ):
        done = here.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    return here


@pytest.fixture
def installed(
    engine: PrivateEngine, make_service: MakeService, environment: Environment
) -> Service:
    """A service from the wheel that has not been started."""
    service = make_service(engine, {"deployments.settle_seconds": 0.5}, start=False)
    service.program = environment.mist
    service.environment = untouched(service.environment)
    return service


def test_every_requirement_is_declared(environment: Environment) -> None:
    """All modules load, and none of them comes from outside the environment."""
    done = environment.run(environment.python, "-I", "-c", _LOAD_EVERYTHING)
    assert done.returncode == 0, done.stderr
    standard = Path(os.__file__).parent
    strangers = [
        file
        for file in map(Path, done.stdout.split())
        if not file.is_relative_to(environment.folder)
        and (not file.is_relative_to(standard) or "site-packages" in file.parts)
    ]
    assert strangers == []
    check = environment.run(environment.python, "-m", "pip", "check")
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(environment: Environment, name: str) -> None:
    """Each command loads everything it needs."""
    done = environment.run(environment.mist, name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: mist {name}")


@pytest.mark.engine
def test_the_service_runs_from_the_wheel(
    engine: PrivateEngine, installed: Service, environment: Environment, tmp_path: Path
) -> None:
    """Every kind of process works without the source tree."""
    installed.start()
    cookie = installed.login()
    findings = json.loads(installed.mist("doctor", "--json").stdout)
    assert [each for each in findings if each["verdict"] == "fail"] == []

    _assert_page(installed)

    metrics = WebsocketsClient(installed.ws_url("metrics"), cookie)
    metrics.wait_for(len)
    metrics.close()

    repository = Repository(tmp_path / "site", {"Dockerfile": dockerfile()})
    app = installed.add_app("site", None, "--git", repository.url)
    try:
        installed.mist("deploy", "site")
        log = WebsocketsClient(installed.ws_url("container/logs", appId=app), cookie)
        assert log.wait_lines(1) == ["serving"]
        _assert_all_from(environment, installed)
        log.close()
    finally:
        remove_deployed(engine)
    assert installed.stop() == 0


def _assert_page(service: Service) -> None:
    """Check that the wheel contains the page and every file that it references."""
    page = requests.get(f"{service.url}/", timeout=10)
    assert page.status_code == 200, page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    names = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.text)
    assert len(names) >= 3
    for name in names:
        answer = requests.get(f"{service.url}/{name}", timeout=10)
        assert answer.status_code == 200
        assert answer.headers["Content-Encoding"] == "gzip"


def _assert_all_from(environment: Environment, service: Service) -> None:
    """Check that no process of the service uses the tests' environment or the source tree."""
    processes = service.processes()
    (configuration,) = environment.folder.glob("lib/*/site-packages/mist/_etc/gunicorn.conf.py")
    assert any(str(configuration) in process.cmdline() for process in processes)
    for process in processes:
        mapped = {each.path for each in process.memory_maps()}
        assert not [path for path in mapped if path.startswith((str(ROOT), sys.prefix))]
        assert "PYTHONPATH" not in process.environ()
