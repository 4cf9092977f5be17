"""A deployment's runner is killed, stopped or hung in each stage."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Outcome, Site
from tests.faults.faults import BLINK, HANG, KILL, PAUSE, TERM, Fault, inject, wake
from tests.integration.test_deployment_service import Site as Deployments
from tests.support.service.deployments import remove_deployed
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

#: Each stage lasts this long, in seconds, so that the fault meets it.
STAGE = 4
STAGES = ("building", "deploying")
#: The longest time until a viewer reads the outcome, in seconds: where the runner was killed,
#: and where it hung. The engine's work of the undoing is part of both. A runner that hangs in a
#: request to the engine is given the request's time limit (engine.timeout_seconds) as well.
KILLED, HUNG = 6.0, 24.0

CELLS = list(itertools.product(STAGES, (KILL, TERM, BLINK, PAUSE, HANG)))
SHORT = {("building", KILL), ("deploying", HANG)}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        pytest.param(
            *cell,
            id=f"{cell[0]}-{cell[1].name}".replace(" ", "_"),
            marks=[] if cell in SHORT else [pytest.mark.whole],
        )
        for cell in CELLS
    ],
)
def test_no_deployment_stays_unfinished(
    site: Site, name: str, outcome: Outcome, tmp_path: Path, stage: str, fault: Fault
) -> None:
    """The row says soon how it ended, the old container runs, and the next one succeeds."""
    engine, service, _ = site
    deployments = Deployments(service, engine, tmp_path)
    app, repository = deployments.app(name, f"RUN sleep {STAGE}")
    try:
        assert deployments.wait(deployments.deploy(app))["status"] == "success"
        old = engine.client.inspect_container(name)["Id"]
        repository.commit({"changed": fault.name}, "Change")
        deployment = deployments.deploy(app)
        deployments.wait(deployment, stage)
        [runner] = service.running("deployment/")
        targets = [psutil.Process(runner["pid"])]
        begun = time.monotonic()
        inject(fault, targets, None)
        ended = deployments.wait(deployment)
        seconds = time.monotonic() - begun
        wake(targets)
        outcome(stage, fault.name, ended["status"], seconds)
        if fault is BLINK:
            assert ended["status"] == "success", ended
        else:
            assert ended["status"] == "failed", ended
            wait_until(lambda: engine.state(name) == "running", "the old container to run")
            assert engine.client.inspect_container(name)["Id"] == old
        limit = HUNG if fault.number == signal.SIGSTOP else KILLED
        assert seconds <= limit + STAGE, ended
        assert deployments.wait(deployments.deploy(app))["status"] == "success"
    finally:
        remove_deployed(engine)
