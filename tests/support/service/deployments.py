"""Deployments without the service: repositories, a store, and runners as real processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import msgspec
from docker.errors import APIError

from mist import process
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import Store, open_store
from mist.store.records import App, Deployment
from tests.support.service.engine import IMAGE, PrivateEngine
from tests.support.service.janitor import scratch
from tests.support.service.programs import kill, run
from tests.support.wait import wait_until

#: The fork server of the runners, as in the supervisor.
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["workers.deployment.main"])

#: A program that serves until SIGTERM, on which it ends at once.
SERVE: Final = "trap exit TERM; echo serving; while :; do sleep 0.1; done"


def dockerfile(*steps: str, run: str = SERVE) -> str:
    """Return a Dockerfile, based on the tests' image, that runs ``run`` in a shell."""
    return "\n".join([f"FROM {IMAGE}", *steps, f'CMD ["/bin/sh", "-c", "{run}"]', ""])


Files = Mapping[str, str | Path]


class Repository:
    """A real Git repository; ``files`` maps names to texts, or to a Path for a symbolic link."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit(files, "First commit")

    def commit(self, files: Files, subject: str) -> str:
        """Commit additional files and return the commit's hash."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_text(content)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "-m", subject)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Run Git in the repository."""
        who = {
            f"GIT_{role}_{what}": "t@example.com"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        environment = os.environ | who
        # A file name may be any bytes.
        return run("git", *arguments, cwd=self.folder, env=environment, errors="surrogateescape")


def remove_deployed(engine: PrivateEngine) -> None:
    """Remove every container and image that deployments made."""
    client = engine.client
    for container in client.containers(all=True, filters={"label": "mist.app"}):
        engine.remove(container["Id"])
    for image in client.images():
        for tag in image["RepoTags"] or ():
            if tag.startswith("mist-app-"):
                with contextlib.suppress(APIError):
                    client.remove_image(tag, force=True)


def _run(umask: int, assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Run a runner as the supervisor's fork server does."""
    os.umask(umask)
    process.run("workers.deployment.main:main", assignment, settings, paths)


class Deployer:
    """A store and a home of their own, and runners that use them.

    ``limits`` are settings of the section ``deployments``. They can be changed at any time,
    as can ``umask``, the runners' umask (by default that of ``mist up``).
    """

    def __init__(self, engine: PrivateEngine, **limits: object) -> None:
        self.engine = engine
        self.directory = scratch("mist-dep-")
        self.paths = Paths(self.directory / "home", self.directory / "run")
        self.paths.home.mkdir()
        self.paths.runtime.mkdir()
        self.store: Store = open_store(Settings(), self.paths)
        self.store.migrate()
        self.limits: dict[str, object] = {"settle_seconds": 0.4, "stop_seconds": 2}
        self.limits |= limits
        self.umask = 0o077
        self.processes: list[BaseProcess] = []

    def repository(self, files: Files, name: str = "repo") -> Repository:
        """Return a repository below this deployer's directory."""
        return Repository(self.directory / name, files)

    def app(self, git_url: str, **fields: Any) -> App:
        """Add an application with a generated name."""
        return self.store.apps.add(f"app-{len(self.store.apps.all())}", git_url=git_url, **fields)

    def tag(self, app: App, deployment: int) -> str:
        """Return the name of a deployment's image."""
        return f"mist-app-{app.id}-{self.store.installation[:12]}:{deployment}"

    def tags(self) -> set[str]:
        """Return the names of all images that deployments of this store made."""
        tags = {tag for image in self.engine.client.images() for tag in image["RepoTags"] or ()}
        return {tag for tag in tags if f"-{self.store.installation[:12]}:" in tag}

    def create(self, app: App, rollback_to: int | None = None) -> int:
        """Add a pending deployment."""
        return self.store.deployments.create(app.id, "somebody@example.com", rollback_to).id

    def start(self, deployment: int, *, resume: bool = False) -> BaseProcess:
        """Start a runner as a process of its own."""
        assignment = Assignment("deployment", deployment, time.time_ns(), resume)
        raw = {"deployments": self.limits, "engine": {"host": self.engine.host}}
        arguments = (assignment, msgspec.convert(raw, Settings), self.paths)
        runner = _FORKS.Process(target=_run, args=(self.umask, *arguments))
        runner.start()
        self.processes.append(runner)
        return runner

    def join(self, seconds: float = 60.0) -> None:
        """Wait until the newest runner has ended with status 0."""
        self.processes[-1].join(seconds)
        assert self.processes[-1].exitcode == 0

    def kill(self) -> None:
        """Send SIGKILL to the newest runner."""
        kill(self.processes[-1])

    def run(self, deployment: int, *, resume: bool = False) -> Deployment:
        """Run a deployment to its end."""
        self.start(deployment, resume=resume)
        self.join()
        return self.row(deployment)

    def deploy(self, app: App, rollback_to: int | None = None) -> Deployment:
        """Queue a deployment and run it to its end."""
        return self.run(self.create(app, rollback_to))

    def row(self, deployment: int) -> Deployment:
        """Return the deployment's row."""
        found = self.store.deployments.get(deployment)
        assert found is not None
        return found

    def log(self, deployment: int) -> list[dict[str, Any]]:
        """Return the messages of the log's file."""
        path = self.paths.deployment_log(deployment)
        if not path.exists():
            return []
        return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]

    def text(self, deployment: int) -> str:
        """Return the log lines."""
        messages = self.log(deployment)
        return "\n".join(m["data"]["line"] for m in messages if m["type"] == "log")

    def statuses(self, deployment: int) -> list[dict[str, Any]]:
        """Return the data of the log's status messages."""
        return [m["data"] for m in self.log(deployment) if m["type"] == "status"]

    def wait_for(self, deployment: int, stage: str, line: str = "") -> None:
        """Wait until the log has the stage and then a line that starts with ``line``."""

        def shown() -> bool:
            stages = [status["stage"] for status in self.statuses(deployment)]
            lines = self.text(deployment).splitlines()
            return stage in stages and any(
                text.startswith(line) for text in ["", *lines] if text or not line
            )

        wait_until(shown, f"deployment {deployment} to reach {stage} {line!r}")

    def destroy(self) -> None:
        """End every runner, and remove all containers, images and files."""
        for runner in self.processes:
            kill(runner)
        self.close()
        remove_deployed(self.engine)

    def close(self) -> None:
        """Delete the state, but keep what was deployed."""
        self.store.close()
        shutil.rmtree(self.directory, ignore_errors=True)
