"""The runner: one deployment, from its row in the queue to its last status."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import requests
import structlog
import zmq
from docker import APIClient
from docker.errors import DockerException

from bus import topics
from bus.publisher import Publisher
from mist import folders, heartbeat
from mist.deployments.records import BUILDING, CLONING
from mist.errors import MistError, StoreError
from mist.paths import PathHider, Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import open_store
from workers.deployment import (
    build,
    buildkit,
    context,
    git,
    images,
    registries,
    worktree,
)
from workers.deployment.bounds import Bounds
from workers.deployment.cancellation import CancellationToken
from workers.deployment.cleanup import Cleanup
from workers.deployment.client import connect
from workers.deployment.errors import (
    BuildBrokenOff,
    BuildFailed,
    Cancelled,
    DeploymentError,
    Interrupted,
    NotRecorded,
    UndoPending,
    words,
)
from workers.deployment.job import Job
from workers.deployment.keeping import ReportingKeeper
from workers.deployment.log import DeploymentLogFile, RecordPublisher
from workers.deployment.replacement import Replacement
from workers.deployment.report import Report
from workers.deployment.text import Redactor, url_secrets
from workers.deployment.watchers import BuildWatcher, CloneWatcher
from workers.references import network_mode

log = structlog.get_logger(__name__)

# How long the removal of a large checkout may take on a slow disk, in seconds.
_REMOVE_SECONDS: Final = 60.0
# The status of a deployment that cannot be undone yet.
_WAITING: Final = "Waiting for the Docker Engine, to restore the previous container"

# The part of a Dockerfile that is searched for base images and BuildKit features.
_DOCKERFILE_BYTES: Final = 1_048_576


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Run the deployment ``assignment.target``, or clean up after its dead runner.

    A failure of the store counts as a crash, so that the supervisor starts another runner.
    The deployment's end may be in the log but not in the row, which that runner repairs.
    """
    try:
        _run(assignment, settings, paths)
    except StoreError as error:
        raise NotRecorded(str(error)) from error


def _run(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    store = open_store(settings, paths)
    with ExitStack() as stack:
        stack.callback(store.close)
        deployment = store.deployments.get(assignment.target)
        # An earlier runner may have finished it and died before the supervisor noticed.
        if deployment is None or deployment.finished:
            folders.remove(paths.work_folder(assignment.target))
            return
        app = store.apps.get(deployment.app_id)
        if app is None:
            raise StoreError(f"deployment {deployment.id} is of an application that is gone")
        # The application's environment is passed to the build, which may print it.
        redact = Redactor([*url_secrets(app.git_url or ""), *app.env.values()])
        file = _open_log(stack, assignment, settings, paths, redact)
        report = Report(store, deployment, file, redact)
        runner = Runner(Job(app, deployment, store, paths), settings, report)
        if assignment.resume:
            runner.recover(assignment.reason)
        else:
            runner.run()


def _open_log(
    stack: ExitStack, assignment: Assignment, settings: Settings, paths: Paths, redact: Redactor
) -> DeploymentLogFile:
    """Return the log with its publisher; ``stack`` closes both."""
    context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
    topic = topics.deployment_log(assignment.target)
    publisher = Publisher(context, paths, settings, topic, assignment.term)
    path = paths.deployment_log(assignment.target)
    records = RecordPublisher(publisher, path, settings.bus.batch_bytes)
    file = DeploymentLogFile(path, redact, settings.deployments.log_bytes, records)
    stack.callback(file.close)
    return file


class Runner:
    """The stages of one deployment, in order."""

    def __init__(self, job: Job, settings: Settings, report: Report) -> None:
        self._app, self._deployment, self._store, self._paths = job
        self._folder = self._paths.work_folder(job.deployment.id)
        # The longest paths first.
        self._hide = PathHider(
            {
                self._folder / "checkout": "the checkout",
                self._paths.home: "MIST_HOME",
                self._paths.runtime: "MIST_RUNTIME",
            }
        )
        self._settings = settings
        self._limits = settings.deployments
        self._report = report
        # If it fails, unless the build itself has failed, or has ended before.
        self._broke_off = not report.touches_containers
        self._cancellation = CancellationToken(self._cancelled_by, self._limits.cancel_poll_seconds)
        self._bounds = Bounds(self._folder, self._limits, self._cancellation)
        keeper = ReportingKeeper(job, settings, report, self._bounds, self._hide)
        self._replacement = Replacement(job, settings, report, self._cancellation, keeper)
        self._images = images.Images(job.store, job.app.id)
        self._tag = self._images.tag(job.deployment.id)
        self._cleanup = Cleanup(job, settings, self._cancellation)

    def run(self) -> None:
        """Deploy; the outcome goes to the log and the store, not into an exception."""
        # A flag only: the deployment ends at the next check, and undoes what it did.
        self._handle_stop()
        self._finish(self._attempt)

    def recover(self, reason: str = "") -> None:
        """Finish a deployment whose runner died: undo its work, or complete the row.

        ``reason`` is empty unless the supervisor ended the runner.
        """
        self._handle_stop()
        heartbeat.beat(_REMOVE_SECONDS)
        # Earlier versions worked next to the log.
        for folder in (self._folder, self._report.log.path.with_suffix(".work")):
            git.kill_leftovers(folder)
            folders.remove(folder)
        # The log is written before the row, so its last record decides.
        if self._report.log.finished():
            self._report.repeat()
            return
        # An earlier runner that could not undo its work has recorded its error.  The
        # supervisor ends a runner that does not notice that it was cancelled.
        by = self._deployment.cancelled_by
        ended = str(Cancelled(by) if by else Interrupted(reason))
        error = self._deployment.error_message or ended
        self._finish(lambda: self._give_up(error))

    def _handle_stop(self) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._cancellation.stop()

        signal.signal(signal.SIGTERM, stop)

    def _finish(self, attempt: Callable[[], str | None]) -> None:
        """Record the error that ``attempt`` returns, or success with None.

        While the engine is away, the deployment stays unfinished.  The supervisor then starts
        another runner to clean up, also after a restart of the service.
        """
        try:
            error = attempt()
        except UndoPending as pending:
            self._report.postpone(self._hide(pending.reason), _WAITING)
            return
        if error is None:
            self._report.succeed()
        else:
            self._report.fail(self._hide(error))
        failed = error is not None
        self._cleanup.run(failed=failed, broke_off=failed and self._broke_off)

    def _attempt(self) -> str | None:
        """Deploy; return the error after undoing everything, or None on success."""
        try:
            self._deploy()
        except (MistError, DockerException, requests.RequestException, OSError) as error:
            reason = words(error)
        except Exception as error:
            log.exception("deployment_crashed")
            reason = f"Internal error: {type(error).__name__}: {error}"
        else:
            return None
        finally:
            # Before the last record, because the log may be on the same disk.
            self._remove_folder()
        return self._give_up(reason)

    def _give_up(self, reason: str) -> str | None:
        """Undo the deployment and return its error; None if it had succeeded after all.

        It has succeeded if the new container stayed up and has the name, and the old one is
        gone.  Only the final record was missing then.
        """
        undone, trouble = self._replacement.undo(reason)
        if not undone and not trouble:
            return None
        return f"{reason} ({trouble})" if trouble else reason

    def _deploy(self) -> None:
        self._report.begin()
        self._cancellation.check()
        client = connect(self._settings)
        # Before the clone, so that a deployment that cannot succeed costs no build.
        self._replacement.check(client)
        if self._deployment.rollback_to is None:
            self._clone()
            image = self._build()
        else:
            image = self._reuse(client, self._deployment.rollback_to)
        self._report.note({"image": image})
        self._replacement.run(client, image)

    def _clone(self) -> None:
        if not self._app.git_url:
            raise DeploymentError("The application has no Git repository to deploy from")
        self._report.enter(CLONING, "Cloning Git repository...")
        branch = f" (branch {self._app.branch})" if self._app.branch else ""
        self._report.line(f"Cloning {self._app.git_url}{branch}")
        git.refuse_private(self._app.git_url, self._paths.home)
        # An earlier attempt may have left its directory.
        self._remove_folder()
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        self._folder.mkdir(mode=0o700)
        git.trust(self._limits.trusted_repositories, self._checkout)
        with self._cancellation.at_most(self._limits.clone_seconds, "Cloning the Git repository"):
            commit = git.clone(
                self._app.git_url,
                self._app.branch,
                self._checkout,
                self._bounds,
                CloneWatcher(self._report, self._hide),
            )
        self._report.line(f"Checked out {commit.hash}: {commit.subject}")
        self._report.note({"commit_hash": commit.hash, "commit_message": commit.subject})
        self._fetch_lfs(self._app.git_url)

    def _fetch_lfs(self, url: str) -> None:
        """Fetch the files that are in Git LFS, or say that the build gets pointers to them."""
        count = worktree.lfs_pointers(self._checkout, self._bounds)
        if not count:
            return
        if not git.has_lfs():
            self._report.line(
                f"{count} files of the repository are in Git LFS, which is not installed: "
                "the build gets their pointers; install git-lfs to fetch them",
                stream="stderr",
            )
            return
        self._report.line(f"Fetching {count} files from Git LFS")
        with self._cancellation.at_most(self._limits.clone_seconds, "Fetching from Git LFS"):
            watcher = CloneWatcher(self._report, self._hide)
            git.fetch_lfs(url, self._checkout, self._bounds, watcher)

    def _build(self) -> str:
        self._report.enter(BUILDING, "Building Docker image...")
        archive = self._folder / "context.tar"
        with self._cancellation.at_most(self._limits.build_seconds, "Building the Docker image"):
            self._bounds.check_archive()
            dockerfile = context.pack(
                worktree.tree(self._checkout, self._bounds),
                self._app.dockerfile,
                archive,
                self._limits,
                self._cancellation.check,
            )
            # pack() has checked that the Dockerfile is inside the checkout.
            text = context.read_text(self._checkout / dockerfile, _DOCKERFILE_BYTES)
            network = network_mode(self._settings, self._limits.build_network)
            recipe = build.Recipe(
                archive,
                str(dockerfile),
                self._tag,
                self._app.env,
                network,
                self._logins(text),
                self._app.options.build,
            )
            watcher = BuildWatcher(self._report)
            try:
                build.build(self._settings, recipe, self._cancellation, watcher)
            except BuildFailed as error:
                # What a failed build has completed stays in the engine's cache for the next.
                self._broke_off = isinstance(error, BuildBrokenOff)
                raise buildkit.explain(error, text) from None
        self._broke_off = False
        self._report.progress(1, "Docker image built")
        return self._tag

    def _logins(self, dockerfile: str) -> dict[str, registries.Login]:
        seconds = self._limits.credential_seconds
        found, notes = registries.logins(registries.needed(dockerfile), seconds, self._cancellation)
        self._report.line(*notes, stream="stderr")
        return found

    def _reuse(self, client: APIClient, earlier: int) -> str:
        source = self._store.deployments.get(earlier)
        if source is None or source.app_id != self._app.id:
            raise DeploymentError(f"Deployment {earlier} does not belong to this application")
        self._report.line(f"Going back to deployment {earlier} ({source.commit_hash})")
        self._report.note(
            {"commit_hash": source.commit_hash, "commit_message": source.commit_message}
        )
        return self._images.reuse(client, source, self._deployment.id)

    @property
    def _checkout(self) -> Path:
        return self._folder / "checkout"

    def _remove_folder(self) -> None:
        heartbeat.beat(_REMOVE_SECONDS)
        folders.remove(self._folder)

    def _cancelled_by(self) -> str | None:
        # A busy store does not fail the deployment; the next check asks it again.
        with suppress(StoreError):
            now = self._store.deployments.get(self._deployment.id)
            return now.cancelled_by if now else None
        return None
