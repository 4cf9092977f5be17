"""Deployments without the service: repositories, a store, and a runner as a real process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from docker.errors import APIError

from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, open_store
from mist.store.records import App, Deployment
from tests.integration.harness.engine import IMAGE, PrivateEngine, wait_until

#: What the supervisor's fork server does, as a command.
_RUNNER: Final = """
import sys, time
from mist import paths, process, settings
assignment = process.Assignment("deployment", int(sys.argv[1]), time.time_ns(), sys.argv[2] == "1")
process.run("workers.deployment.main:main", assignment, settings.load(), paths.resolve())
"""

#: A program that serves until it is stopped, at once.
SERVE: Final = "trap exit TERM; echo serving; while :; do sleep 0.1; done"


def dockerfile(*steps: str, run: str = SERVE) -> str:
    """A Dockerfile on the tests' image whose container runs ``run`` in a shell."""
    return "\n".join([f"FROM {IMAGE}", *steps, f'CMD ["/bin/sh", "-c", "{run}"]', ""])


Files = Mapping[str, str | Path]


class Repository:
    """A real Git repository; ``files`` are texts by name, a Path value is a symbolic link."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit(files, "First commit")

    def commit(self, files: Files, subject: str) -> str:
        """Commit files beside those that are there; the commit's hash."""
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
        environment = os.environ | who | {"GIT_CONFIG_GLOBAL": "/dev/null"}
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True
        ).stdout


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


class Deployer:
    """A store and a home of their own, and runners that work on them."""

    def __init__(self, engine: PrivateEngine, settings: dict[str, object] | None = None) -> None:
        self.engine = engine
        self.directory = Path(tempfile.mkdtemp(prefix="mist-dep-", dir="/tmp"))
        self.paths = Paths(self.directory / "home", self.directory / "run")
        self.paths.home.mkdir()
        self.paths.runtime.mkdir()
        self.store: Store = open_store(Settings(), self.paths)
        self.store.migrate()
        self.settings = {"deployments.settle_seconds": 0.6, "deployments.stop_seconds": 2}
        self.settings |= settings or {}  # type: ignore[arg-type] # whatever the environment takes
        self.processes: list[subprocess.Popen[bytes]] = []

    def repository(self, files: Files, name: str = "repo") -> Repository:
        """A repository below this deployer's directory."""
        return Repository(self.directory / name, files)

    def app(self, git_url: str, **fields: Any) -> App:
        """An application; its name is made up."""
        return self.store.apps.add(f"app-{len(self.store.apps.all())}", git_url=git_url, **fields)

    def create(self, app: App, rollback_to: int | None = None) -> int:
        """A pending deployment."""
        return self.store.deployments.create(app.id, "somebody@example.com", rollback_to).id

    def start(self, deployment: int, *, resume: bool = False) -> subprocess.Popen[bytes]:
        """A runner, as a process of its own."""
        overrides = {
            f"MIST_{k.upper().replace('.', '_')}": str(v) for k, v in self.settings.items()
        }
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MIST_")},
            "MIST_HOME": str(self.paths.home),
            "MIST_RUNTIME": str(self.paths.runtime),
            "DOCKER_HOST": self.engine.host,
            **overrides,
        }
        command = [sys.executable, "-c", _RUNNER, str(deployment), "1" if resume else "0"]
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        self.processes.append(process)
        return process

    def run(self, deployment: int, *, resume: bool = False, seconds: float = 60.0) -> Deployment:
        """Run it to its end."""
        assert self.start(deployment, resume=resume).wait(seconds) == 0
        return self.row(deployment)

    def deploy(self, app: App, rollback_to: int | None = None) -> Deployment:
        """A deployment from the queue to its end."""
        return self.run(self.create(app, rollback_to))

    def row(self, deployment: int) -> Deployment:
        """What the store says."""
        found = self.store.deployments.get(deployment)
        assert found is not None
        return found

    def log(self, deployment: int) -> list[dict[str, Any]]:
        """The messages of the log's file."""
        path = self.paths.deployment_log(deployment)
        if not path.exists():
            return []
        return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]

    def text(self, deployment: int) -> str:
        """The log lines."""
        messages = self.log(deployment)
        return "\n".join(m["data"]["line"] for m in messages if m["type"] == "log")

    def statuses(self, deployment: int) -> list[dict[str, Any]]:
        """The data of the log's status messages."""
        return [m["data"] for m in self.log(deployment) if m["type"] == "status"]

    def wait_for(self, deployment: int, stage: str, line: str = "") -> None:
        """Wait until the log shows the stage, and then a line that begins with ``line``."""

        def shown() -> bool:
            stages = [status["stage"] for status in self.statuses(deployment)]
            lines = self.text(deployment).splitlines()
            return stage in stages and any(
                text.startswith(line) for text in ["", *lines] if text or not line
            )

        wait_until(shown, f"deployment {deployment} to reach {stage} {line!r}")

    def destroy(self) -> None:
        """End what runs, and remove every container, image and file that was made."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        remove_deployed(self.engine)
        self.store.close()
        shutil.rmtree(self.directory, ignore_errors=True)
