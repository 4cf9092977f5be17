"""Checks that apply to every deployment, however it ended, and to what it leaves."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from mist.store.records import App, Deployment
from tests.support.service.deployments import Deployer
from tests.support.service.programs import run
from tests.support.wait import wait_until

#: The progress that the document allows for each status.
RANGES = {"pending": (0, 0), "building": (25, 75), "deploying": (75, 90), "success": (100, 100)}


def container_id(deployer: Deployer, name: str) -> str:
    """Return the id of the container with this name, which must be running."""
    found = deployer.engine.client.inspect_container(name)
    assert found["State"]["Running"]
    return str(found["Id"])


_AUTHOR: Final = ("-c", "user.name=t", "-c", "user.email=t@example.com")


def change(deployer: Deployer, content: str) -> None:
    """Commit another Dockerfile to the deployer's repository."""
    folder = deployer.directory / "repo"
    (folder / "Dockerfile").write_text(content)
    run("git", *_AUTHOR, "commit", "-qam", "Change", cwd=folder)


def add_deep_file(deployer: Deployer, depth: int) -> None:
    """Commit a file below ``depth`` directories in each other, which is not checked out."""
    folder = deployer.directory / "repo"
    blob = run("git", "rev-parse", "HEAD:Dockerfile", cwd=folder).strip()
    entry = f"100644,{blob},{'d/' * depth}file"
    run("git", "update-index", "--add", "--cacheinfo", entry, cwd=folder)
    run("git", *_AUTHOR, "commit", "-qm", "Go deep", cwd=folder)


def check_log(deployer: Deployer, row: Deployment) -> None:
    """Check the rules for every deployment's log."""
    statuses = deployer.statuses(row.id)
    assert statuses[-1]["status"] == row.status
    assert statuses[-1]["error_message"] == row.error_message
    assert all(a["progress"] <= b["progress"] for a, b in pairwise(statuses))
    for status in statuses:
        low, high = RANGES.get(status["status"], (0, 100))
        assert low <= status["progress"] <= high
    last = deployer.log(row.id)[-1]
    if row.status == "failed":
        assert last["data"] == {"message": row.error_message}
    assert last["type"] == ("error" if row.status == "failed" else "status")


def check_clean(deployer: Deployer, app: App, containers: int) -> None:
    """Check that a deployment left no files, containers or half-built images."""
    assert not list(deployer.paths.home.glob("work/*"))
    wait_until(lambda: no_build(deployer), "the engine to give the build up")
    check_containers(deployer, app, containers)


def check_containers(deployer: Deployer, app: App, count: int) -> None:
    """Check that the application has this many containers."""
    everything = deployer.engine.client.containers(all=True)
    own = [c for c in everything if any(app.container in name for name in c["Names"])]
    assert len(own) == count


def failed(deployer: Deployer, row: Deployment, error: str) -> None:
    """Check that the deployment failed with a matching error."""
    assert row.status == "failed"
    assert re.search(error, row.error_message), row.error_message
    assert row.finished_at is not None
    check_log(deployer, row)


def no_build(deployer: Deployer) -> bool:
    """Return True if no build container is left."""
    return not [
        c for c in deployer.engine.client.containers(all=True) if "never-ends" in c["Command"]
    ]
