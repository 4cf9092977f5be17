"""Clone a repository with the real ``git``; submodules are not fetched."""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

import psutil

from mist import validation
from mist.errors import UsageError
from workers.deployment import git_program, worktree
from workers.deployment.bounds import Bounds
from workers.deployment.errors import GitFailed, RepositoryRefused
from workers.deployment.text import Lines, without_credentials
from workers.deployment.worktree import Commit

_PERCENT: Final = re.compile(r"Receiving objects:\s+(\d+)%")
# What ``git lfs install`` would write to the user's configuration, which Git does not read.
_LFS_OPTIONS: Final = (
    "filter.lfs.clean=git-lfs clean -- %f",
    "filter.lfs.smudge=git-lfs smudge -- %f",
    "filter.lfs.process=git-lfs filter-process",
    "filter.lfs.required=true",
)
# Git's message for a repository of another owner (git-config(1), "safe.directory").
_DUBIOUS: Final = "detected dubious ownership"
# The end of Git's messages for a server that only serves files (gitprotocol-http(5), "dumb"),
# and for one without the capability (gitprotocol-capabilities(5), "shallow").
_NOT_SHALLOW: Final = "does not support shallow"
# Git's message if the remote's HEAD names a branch without a commit.
_UNBORN: Final = "does not have any commits yet"


class CloneWatcher(Protocol):
    """A receiver of a clone's progress."""

    def lines(self, texts: list[str]) -> None:
        """Take lines of Git's output."""

    def percent(self, number: int) -> None:
        """Take the percentage of the objects that have arrived."""


def clone(
    url: str, branch: str | None, into: Path, bounds: Bounds, watcher: CloneWatcher
) -> Commit:
    """Clone the newest commit of ``branch``, or of the repository's default branch.

    Raise RepositoryRefused, GitFailed, DiskNearlyFull, or the cancellation's exceptions.
    """
    check_address(url, branch)
    arguments = ["clone", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules"]
    # The files are written once their number and size are known.
    arguments += ["--no-checkout"]
    # An empty template, so that the machine's template directory adds no hooks.
    arguments += ["--template=", "--progress", *([f"--branch={branch}"] if branch else [])]
    arguments += ["--", without_credentials(url), into.name]
    environment = _trusting(url, into)
    status, output = _fetch(arguments, into.parent, environment, bounds, watcher)
    if status and _NOT_SHALLOW in output.reason:
        # The server cannot do shallow clones, so fetch the whole history.
        arguments.remove("--depth=1")
        status, output = _fetch(arguments, into.parent, environment, bounds, watcher)
    if status and _DUBIOUS in output.reason:
        raise GitFailed(
            f"{url} belongs to another user than the service's; if that user may decide what is "
            "deployed, add the repository's path to deployments.trusted_repositories"
        )
    if status:
        raise GitFailed(output.reason or f"git ended with status {status}")
    if branch:
        worktree.check_branch(branch, into, bounds)
    try:
        commit = worktree.head(into, bounds)
    except GitFailed as error:
        if _UNBORN not in str(error):
            raise
        raise GitFailed(
            "the repository has no commit in its default branch; if it has other branches, set "
            "the application's branch"
        ) from None
    worktree.check_out(into, bounds)
    worktree.check_submodules(into, bounds)
    return commit


def has_lfs() -> bool:
    """Return True if Git LFS is installed."""
    return shutil.which("git-lfs") is not None


def fetch_lfs(url: str, root: Path, bounds: Bounds, watcher: CloneWatcher) -> None:
    """Replace the pointers in a checkout of ``url`` by their content from Git LFS.

    The server is the repository's own, or the one that its ``.lfsconfig`` names; only the
    former gets the address's credentials.  Raise GitFailed, DiskNearlyFull,
    RepositoryRefused, or the cancellation's exceptions.
    """
    arguments = [part for option in _LFS_OPTIONS for part in ("-c", option)]
    arguments += ["lfs", "pull"]
    status, output = _fetch(arguments, root, _trusting(url, root), bounds, watcher)
    if status:
        reason = output.reason or output.last or f"git lfs ended with status {status}"
        raise GitFailed(f"Git LFS: {reason}")
    bounds.measure()


def check_address(url: str, branch: str | None) -> None:
    """Raise RepositoryRefused unless both are safe to pass to Git.

    The API checks them, too, but the row may be of an earlier version.
    """
    try:
        validation.git_url(url)
        if branch:
            validation.branch(branch)
    except UsageError as error:
        raise RepositoryRefused(f"The repository's address is refused: {error}") from None


def refuse_private(url: str, private: Path) -> None:
    """Raise RepositoryRefused if the URL names a repository in ``private``, however spelled.

    The web tier's user may write to the store's directory, and a repository there must not
    be read with the service's rights.
    """
    scheme, _, name = url.partition("://")
    if scheme.lower() != "file":
        return
    # Git decodes the path and tries these endings itself (gitrepository-layout(5)).
    spellings = (text + end for text in (name, unquote(name)) for end in ("", ".git", "/.git"))
    for spelling in spellings:
        place = Path(os.path.realpath(spelling))
        if any(_is_same(folder, private) for folder in (place, *place.parents)):
            raise RepositoryRefused(
                f"The repository {url} lies in MIST_HOME, which holds the service's "
                "own files: refused; move the repository to another directory"
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False  # a parent that does not exist, or a path with a NUL byte


def trust(repositories: Iterable[str], into: Path) -> None:
    """Let a clone to ``into`` read these repositories of other owners.

    Git takes the exception only from a configuration file, and never from the repository's
    own (git-config(1), "safe.directory").
    """
    # Git compares the object directory, which is ``.git`` in a repository with a work tree.
    real = [os.path.realpath(path) for path in repositories]
    places = [place for path in real for place in (path, f"{path}/.git")]
    lines = [f"\tdirectory = {json.dumps(place, ensure_ascii=False)}\n" for place in places]
    _configuration(into).write_text("[safe]\n" + "".join(lines), "utf-8")


def _configuration(into: Path) -> Path:
    return into.with_suffix(".gitconfig")


def _trusting(url: str, into: Path) -> dict[str, str]:
    """Return the environment of a program that talks to the server of ``url``."""
    environment = git_program.environment(url)
    if _configuration(into).exists():
        environment["GIT_CONFIG_GLOBAL"] = str(_configuration(into))
    return environment


def _fetch(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    bounds: Bounds,
    watcher: CloneWatcher,
) -> tuple[int, _Output]:
    output = _Output(watcher)
    status = git_program.run(arguments, folder, environment, bounds, output.feed)
    output.finish()
    return status, output


class _Output:
    """A parser of Git's output: lines for the log, percentages, and the fatal error."""

    def __init__(self, watcher: CloneWatcher) -> None:
        self.reason = ""
        self.last = ""
        self._lines = Lines(git_program.LINE_BYTES)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._watcher = watcher

    def feed(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        # Git overwrites its progress line; only the last percentage of a read matters.
        for percent in _PERCENT.findall(text)[-1:]:
            self._watcher.percent(int(percent))
        self._take(self._lines.feed(text))

    def finish(self) -> None:
        self._take(self._lines.rest())

    def _take(self, lines: list[str]) -> None:
        # The path of the checkout is internal to this machine.
        lines = [line.rstrip() for line in lines if not line.startswith("Cloning into ")]
        for line in lines:
            fatal = git_program.FATAL.match(line)
            if fatal and not self.reason:
                # Whatever follows the first error is advice.
                self.reason = fatal[1]
        if lines:
            self.last = lines[-1]
            self._watcher.lines(lines)


def kill_leftovers(folder: Path) -> None:
    """Kill the processes that a killed runner left in ``folder``: git and its helpers."""
    for process in psutil.process_iter():
        # A process may end meanwhile, and other users' processes cannot be inspected.
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
