"""The runner: one deployment, from its row in the queue to its last status."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import requests
import structlog
import zmq
from docker import APIClient
from docker.errors import APIError, DockerException

from bus import topics
from bus.publisher import Publisher
from mist import folders, heartbeat
from mist.deployments.records import BUILDING, CLONING, STARTING, STOPPING, text_of
from mist.errors import EngineError, EngineUnreachable, MistError, StoreError
from mist.paths import PathHider, Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import Store, open_store
from mist.store.records import App, Deployment
from workers import kept_logs
from workers.deployment import (
    build,
    buildkit,
    context,
    git,
    images,
    keeping,
    leftovers,
    registries,
    worktree,
)
from workers.deployment.bounds import Bounds
from workers.deployment.cancellation import CancellationToken
from workers.deployment.client import connect
from workers.deployment.containers import Swap, explain
from workers.deployment.errors import (
    BuildBrokenOff,
    BuildFailed,
    Cancelled,
    DeploymentError,
    DidNotStay,
    DiskNearlyFull,
    Interrupted,
    LogFailed,
    NotRecorded,
    UndoPending,
)
from workers.deployment.keeping import Keeper
from workers.deployment.log import DeploymentLogFile, RecordPublisher
from workers.deployment.report import Report
from workers.deployment.text import Redactor, url_secrets
from workers.references import Inspection, network_mode

log = structlog.get_logger(__name__)

# The wait between two attempts to reach an engine that is away, in seconds.
_RETRY_SECONDS: Final = 1.0

# How long the removal of a large checkout may take on a slow disk, in seconds.
_REMOVE_SECONDS: Final = 60.0
# The status of a deployment that cannot be undone yet.
_WAITING: Final = "Waiting for the Docker Engine, to restore the previous container"

# A clone reports its progress in steps of this many percent.
_PERCENT_STEP: Final = 10

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
        job = Job(app, deployment, paths)
        runner = Runner(store, job, settings, report)
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


class Job(NamedTuple):
    """One deployment to run, and its working directory, which is private to the service."""

    app: App
    deployment: Deployment
    paths: Paths


class Runner:
    """The stages of one deployment, in order."""

    def __init__(
        self,
        store: Store,
        job: Job,
        settings: Settings,
        report: Report,
    ) -> None:
        self._store = store
        self._app, self._deployment, self._paths = job
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
        self._stopped = False
        # If it fails, unless the build itself has failed, or has ended before.
        self._broke_off = not report.touches_containers
        self._cancellation = CancellationToken(self._cancelled_by, self._limits.cancel_poll_seconds)
        self._bounds = Bounds(self._folder, self._limits, self._cancellation)
        self._images = images.Images(store, job.app.id)
        self._tag = self._images.tag(job.deployment.id)

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
            self._stopped = True
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
        self._tidy_images(failed=error is not None)

    def _attempt(self) -> str | None:
        """Deploy; return the error after undoing everything, or None on success."""
        try:
            self._deploy()
        except (MistError, DockerException, requests.RequestException, OSError) as error:
            reason = _words(error)
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

        It has succeeded if the new container stayed up and the old one is gone.  Only the
        final record was missing then.
        """
        undone, trouble = self._undo(reason)
        if not undone and self._report.stayed_up:
            return None
        return f"{reason} ({trouble})" if trouble else reason

    def _deploy(self) -> None:
        self._report.begin()
        self._cancellation.check()
        client = connect(self._settings)
        # Before the clone, so that a deployment that cannot succeed costs no build.
        self._swap_with(client).check()
        if self._deployment.rollback_to is None:
            self._clone()
            image = self._build()
        else:
            image = self._reuse(client, self._deployment.rollback_to)
        self._report.note({"image": image})
        self._swap(client, image)

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
                _CloneWatcher(self._report, self._hide),
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
            watcher = _CloneWatcher(self._report, self._hide)
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
            watcher = _BuildWatcher(self._report)
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

    def _swap_with(self, client: APIClient) -> Swap:
        return Swap(client, self._settings, self._store, self._app, self._deployment)

    def _swap(self, client: APIClient, image: str) -> None:
        swap = self._swap_with(client)
        self._report.enter(STOPPING, "Stopping previous container...")
        swap.prepare(image)
        self._report.line(*swap.notes)
        # The last check before the application is interrupted.
        self._cancellation.check()
        if swap.old_removes_itself and self._limits.kept_log_bytes:
            self._keep_log(swap.old)
            self._report.line("It ran with --rm: what it writes from now on is not kept")
        swap.stop_old()
        # A deployment cancelled during the stop must not start its container.
        self._cancellation.check()
        self._report.enter(STARTING, "Starting new container...")
        try:
            swap.start_new()
            self._report.progress(0.5, "Waiting for the new container to stay up...")
            swap.watch(self._cancellation)
        except (DidNotStay, APIError):
            lines = swap.last_lines()
            if lines:
                self._report.line("The new container's last lines:", *lines, stream="stderr")
            raise
        self._report.progress(1, "New container is up")
        if not swap.old_removes_itself:
            self._keep_log(swap.old)
        # The last chance to cancel; commit() cannot be undone.
        self._cancellation.check()
        swap.commit()

    def _keep_log(self, old: Inspection | None) -> None:
        """Keep the log of the old container; a failure does not fail the deployment."""
        if old is None or not self._limits.kept_log_bytes:
            return
        keeper = Keeper(
            self._settings, self._paths, self._app.id, self._deployment.id, self._cancellation.check
        )
        try:
            self._bounds.check_free()
            keeper.keep(old)
        except EngineError as error:
            problem = keeping.reason(error)
        except (OSError, DiskNearlyFull) as error:
            problem = self._hide(_words(error))
        except MistError:
            raise  # cancelled, or the service stops
        except Exception as error:
            log.exception("log_not_kept")
            problem = f"internal error: {type(error).__name__}: {error}"
        else:
            self._report.line(keeper.text())
            return
        self._report.line(f"The previous container's log is not kept: {problem}", stream="stderr")

    def _undo(self, reason: str) -> tuple[bool, str]:
        """Restore the old container; return whether it is there, and what went wrong.

        Raise UndoPending with ``reason`` if the engine stays away.
        """
        if not self._report.touches_containers:
            return True, ""
        # The engine may be restarting, and answer with errors at first.
        deadline = time.monotonic() + self._limits.recovery_seconds
        while True:
            try:
                swap = self._swap_with(connect(self._settings))
                undone = swap.undo()
            except (EngineError, DockerException, requests.RequestException) as error:
                refused = isinstance(error, APIError) and error.is_client_error()
                if time.monotonic() < deadline and not (self._stopped or refused):
                    time.sleep(_RETRY_SECONDS)
                    continue
                # An engine that answers may refuse for ever; one that does not will be back.
                if not isinstance(error, APIError):
                    raise UndoPending(reason) from None
                return True, f"the previous container could not be brought back: {_words(error)}"
            if undone:  # the old container still has its log
                with suppress(OSError):
                    kept_logs.discard(self._paths, self._app.id, self._deployment.id)
            # The containers are restored even if the log cannot be written.
            with suppress(LogFailed):
                self._report.line(*swap.notes)
            return undone, "" if undone else "the previous container is gone, the new one stays"

    def _tidy_images(self, *, failed: bool) -> None:
        """Remove old images; a failure here does not fail the deployment.

        Wait for an engine that is away, or still ends a build, if a build has broken off.
        """
        left = leftovers.named_in(self._log_lines() if failed and self._broke_off else ())
        deadline = time.monotonic() + self._limits.recovery_seconds
        while True:
            try:
                client = connect(self._settings)
                if failed:
                    images.forget(client, self._tag)
                whole = leftovers.remove(client, left, self._deployment.created_at)
                self._images.prune(client, self._limits.keep_images)
                reason = "" if whole else "a build that broke off is still in use"
            except (EngineError, DockerException, requests.RequestException) as error:
                reason = _words(error)
            if not reason:
                return
            if not left.images + left.containers or self._stopped or time.monotonic() > deadline:
                log.warning("image_cleanup_failed", reason=reason)
                return
            time.sleep(_RETRY_SECONDS)

    def _log_lines(self) -> Iterator[str]:
        for record in self._report.log.records():
            if (text := text_of(record)) is not None:
                yield text

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


class _CloneWatcher:
    """Passes Git's output on to the report."""

    def __init__(self, report: Report, hide: PathHider) -> None:
        self._report = report
        self._hide = hide
        self._shown = 0

    def lines(self, texts: list[str]) -> None:
        self._report.line(*map(self._hide, texts))

    def percent(self, number: int) -> None:
        if number >= self._shown + _PERCENT_STEP:
            self._shown = number
            self._report.progress(number / 100, f"Cloning Git repository... {number} %")


class _BuildWatcher:
    """Passes the build's output and steps on to the report."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def lines(self, texts: list[str]) -> None:
        self._report.line(*texts)

    def step(self, number: int, count: int) -> None:
        # A step is reported when it begins, so the ones before it are done.
        share = min(1.0, (number - 1) / max(1, count))
        self._report.progress(share, f"Building Docker image... step {number} of {count}")


def _words(error: BaseException) -> str:
    """Return an error in words for the deployment's viewers."""
    if isinstance(error, APIError):
        return f"The Docker Engine refused: {explain(error)}"
    if isinstance(error, EngineUnreachable | BuildFailed | DeploymentError | MistError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__
