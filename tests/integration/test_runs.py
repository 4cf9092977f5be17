"""Test runs themselves: in the background, interrupted, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import janitor
from tests.support.service.programs import program
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

ROOT: Final = Path(__file__).parents[2]
#: Holds an engine, a restarted container, a service and a runner until the program is ended.
_HANGS: Final = """
import json, threading
from pathlib import Path
from tests.support.service.deployments import Deployer, dockerfile

def test_hangs(engine, service):
    engine.run("writer", "while :; do sleep 1; done", restart="always")
    deployer = Deployer(engine)
    repository = deployer.repository({"Dockerfile": dockerfile("RUN sleep 600")})
    deployment = deployer.create(deployer.app(repository.url))
    deployer.start(deployment)
    deployer.wait_for(deployment, "building_image", " ---> Running in")
    runner = deployer.processes[0].pid
    directories = [engine.directory, service.directory, deployer.directory]
    network = Path(f"/proc/{engine.pid}/ns/net").readlink()
    facts = [*map(str, directories)], str(network), runner
    Path(__file__).with_name("part").write_text(json.dumps(facts))
    Path(__file__).with_name("part").rename(Path(__file__).with_name("facts"))
    threading.Event().wait()
"""


def _run(*arguments: str | Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run tests from a shell that ignores ^C, as shells do for background jobs."""
    shell = ("sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh")
    command = (*shell, sys.executable, "-m", "pytest", "-q", *arguments)
    pipe = subprocess.PIPE
    return program(command, 100, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT)


def test_tests_of_interrupts_pass_in_the_background() -> None:
    """Processes that such a run starts have the default signal handlers."""
    folder = Path("tests/integration")
    files = folder / "test_commands.py", folder / "test_deployment_service.py"
    with _run(*files, "-k", "interrupt or terminal") as run:
        output, _ = run.communicate(timeout=90)
    assert run.returncode == 0, output
    assert "6 passed" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """An ended run leaves no process, mount, network namespace or directory."""
    (tmp_path / "test_hangs.py").write_text(_HANGS, "utf-8")
    plugins = ("-p", "tests.conftest", "-p", "tests.integration.conftest")
    configuration = (f"--rootdir={ROOT}", "-c", ROOT / "pyproject.toml")
    command = (sys.executable, "-m", "pytest", "-q", *plugins, *configuration)
    pipe = subprocess.PIPE
    facts = tmp_path / "facts"
    with program(
        (*command, tmp_path / "test_hangs.py"), 100, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT
    ) as run:
        wait_until(lambda: facts.exists() or run.poll() is not None, "the run", 60)
        assert facts.exists(), run.communicate(timeout=30)[0]
        names, network, runner = json.loads(facts.read_text("utf-8"))
        directories = [Path(name) for name in names]
        assert network in _networks()
        run.send_signal(number)
        run.communicate(timeout=60)
    for directory in directories:
        wait_until(lambda one=directory: not one.exists(), f"{directory} to go")  # type: ignore[misc]
        assert list(janitor.processes(directory)) == []
        assert janitor.mounts_below(directory) == []
    wait_until(lambda: not Path(f"/proc/{runner}").exists(), "the deployment's runner to end")
    wait_until(lambda: network not in _networks(), "the network namespace to go")


def _networks() -> set[str]:
    """Return the network namespaces that processes are in."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.readlink(f"/proc/{name}/ns/net"))
        except OSError:
            continue
    return found
