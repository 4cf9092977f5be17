"""Clone a repository with the real ``git``, restricted to that one task.

Strangers control the address and the repository.  Therefore no option can come in through
an argument, and no transport can run a program named in the address.  Hooks, filters and
configuration other than ours are disabled, submodules are not fetched, and Git prompts for
no password.

Credentials of an HTTP address are passed in the environment, because every user of the
machine can see arguments, and the build can read ``.git/config``.  Git asks our credential
helper for them when the address's own server wants them, so that a server to which it is
redirected never receives them.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

import psutil

from mist import validation
from mist.errors import UsageError
from workers.deployment import programs
from workers.deployment.bounds import Bounds
from workers.deployment.errors import GitFailed, RepositoryRefused
from workers.deployment.text import Lines, credentials, origin, without_credentials

# Without ``ext``, which runs a program (git-remote-ext(1)).
_PROTOCOLS: Final = "https:http:ssh:git:file"
_PERCENT: Final = re.compile(r"Receiving objects:\s+(\d+)%")
_FATAL: Final = re.compile(r"^(?:fatal|error): (.*)")

# Git itself gives up a transfer that stays below one byte per second for this long.
_STALL_SECONDS: Final = 60

_OPTIONS: Final = (
    # Hooks, monitors, askpass helpers and external transports are programs that Git runs.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "http.lowSpeedLimit=1",
    f"http.lowSpeedTime={_STALL_SECONDS}",
    # Read larger files in pieces instead of into memory.
    "core.bigFileThreshold=32m",
    # Check out links as links, whatever Git finds out about the file system.
    "core.symlinks=true",
    # Maintenance would outlive the clone in the background.
    "gc.auto=0",
    "advice.detachedHead=false",
)
# What ``git lfs install`` would write to the user's configuration, which Git does not read.
_LFS_OPTIONS: Final = (
    "filter.lfs.clean=git-lfs clean -- %f",
    "filter.lfs.smudge=git-lfs smudge -- %f",
    "filter.lfs.process=git-lfs filter-process",
    "filter.lfs.required=true",
)
# Git gets only these variables of the service: where programs, keys and proxies are.
_INHERITED: Final = (
    *("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
)
# Without a terminal ssh must fail instead of asking.  ServerAlive* ends a dead connection
# after a minute.
_SSH: Final = (
    "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15"
    " -o ServerAliveCountMax=4 -o StrictHostKeyChecking=accept-new"
)
# Prints the credentials in its environment (git-credential(1)).  Git appends the operation
# ("get", "store" or "erase"), which the ``#`` turns into a comment.
_CREDENTIAL_HELPER: Final = (
    r"""!printf 'username=%s\npassword=%s\n' "$MIST_GIT_USER" "$MIST_GIT_PASSWORD" #"""
)
# The only permission bit that Git records for a regular file (git-fast-import(1), "filemodify").
_EXECUTABLE: Final = b"100755 "
# The limit of one line of Git's output; its lines are short.
_LINE_BYTES: Final = 4_096
# The limit of an answer that is kept as a whole.
_ANSWER_BYTES: Final = 1_048_576
# Git's message for a repository of another owner (git-config(1), "safe.directory").
_DUBIOUS: Final = "detected dubious ownership"
# Git's message for a server that only serves files (gitprotocol-http(5), "dumb").
_DUMB: Final = "dumb http transport does not support shallow"


class Commit(NamedTuple):
    """The checked-out commit: its hash in hexadecimal, and the first line of its message."""

    hash: str
    subject: str


class Tree(NamedTuple):
    """A checked-out commit: its directory, and what Git records besides the contents."""

    root: Path
    executables: frozenset[str]
    """The paths of the files with mode 755; all others have 644."""
    committed: int
    """The commit's time in seconds since the epoch; its author can set any number."""


class CloneWatcher(Protocol):
    """A receiver of a clone's progress."""

    def lines(self, texts: list[str]) -> None:
        """Take lines of Git's output."""

    def percent(self, number: int) -> None:
        """Take the percentage of the objects that have arrived."""


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


def lfs_pointers(root: Path, bounds: Bounds) -> int:
    """Return the number of files whose content is in Git LFS."""
    count = 0

    def take(piece: bytes) -> None:
        nonlocal count
        count += piece.count(b"\0")

    _stream(["ls-files", "-z", "--", ":(attr:filter=lfs)"], root, bounds, take)
    return count


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
    if status and _DUMB in output.reason:
        # A server that only serves files cannot do shallow clones, so fetch the whole history.
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
        _check_branch(branch, into, bounds)
    commit = _head(into, bounds)
    _check_out(into, bounds)
    check_submodules(into, bounds)
    return commit


def _check_out(root: Path, bounds: Bounds) -> None:
    """Write the commit's files, if they are within the bounds."""
    # With -t, because the entries of a directory without files count, too.
    _stream(["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "HEAD"], root, bounds, bounds.list)
    bounds.check_listed()
    # As ``git clone`` does it: from an empty index, and without a question of what to keep.
    _ask(["reset", "--hard", "--quiet", "HEAD"], root, bounds)
    bounds.measure()


def _fetch(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    bounds: Bounds,
    watcher: CloneWatcher,
) -> tuple[int, _Output]:
    output = _Output(watcher)
    status = _run(arguments, folder, environment, bounds, output.feed)
    output.finish()
    return status, output


def _trusting(url: str, into: Path) -> dict[str, str]:
    """Return the environment of a program that talks to the server of ``url``."""
    environment = _environment(url)
    if _configuration(into).exists():
        environment["GIT_CONFIG_GLOBAL"] = str(_configuration(into))
    return environment


def tree(root: Path, bounds: Bounds) -> Tree:
    """Return what Git records about the files of the checked-out commit."""
    executables: set[str] = set()
    rest = b""

    def take(piece: bytes) -> None:
        nonlocal rest
        *records, rest = (rest + piece).split(b"\0")
        # One record: mode SP type SP hash TAB path NUL (git-ls-tree(1), "Output Format").
        heads = (record.partition(b"\t") for record in records)
        executables.update(os.fsdecode(path) for head, _, path in heads if head[:7] == _EXECUTABLE)

    _stream(["ls-tree", "-r", "-z", "--full-tree", "HEAD"], root, bounds, take)
    committed = _ask(["log", "-1", "--no-show-signature", "--format=%ct"], root, bounds)
    return Tree(root, frozenset(executables), int(committed.strip() or 0))


class _Output:
    """A parser of Git's output: lines for the log, percentages, and the fatal error."""

    def __init__(self, watcher: CloneWatcher) -> None:
        self.reason = ""
        self.last = ""
        self._lines = Lines(_LINE_BYTES)
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
            fatal = _FATAL.match(line)
            if fatal and not self.reason:
                # Whatever follows the first error is advice.
                self.reason = fatal[1]
        if lines:
            self.last = lines[-1]
            self._watcher.lines(lines)


def check_submodules(root: Path, bounds: Bounds) -> None:
    """Refuse submodules that lead out of the repository or run a program when fetched.

    Submodules are never fetched.  One of these is an attack, and reported as such.
    """
    modules = root / ".gitmodules"
    # Git would read a file outside the checkout.
    if modules.is_symlink():
        raise RepositoryRefused("The repository's .gitmodules is a symbolic link: refused")
    if not modules.is_file():
        return
    found = _text(["config", "--file", ".gitmodules", "--null", "--list"], root, bounds)
    for entry in filter(None, found.split("\0")):
        key, _, value = entry.partition("\n")
        name = key.removeprefix("submodule.").rpartition(".")[0]
        escapes = key.endswith(".path") and _escapes(value)
        runs = key.endswith(".url") and ("::" in value or value.startswith("-"))
        if escapes or runs or ".." in PurePosixPath(name).parts:
            raise RepositoryRefused(f"The submodule {name!r} leads out of the repository: refused")


def _escapes(path: str) -> bool:
    return path.startswith(("/", "-")) or ".." in PurePosixPath(path).parts


def _check_branch(branch: str, root: Path, bounds: Bounds) -> None:
    """Raise GitFailed for a tag, which ``git clone --branch`` accepts in place of a branch."""
    head = _text(["rev-parse", "--symbolic-full-name", "HEAD"], root, bounds).strip()
    if head != f"refs/heads/{branch}":
        raise GitFailed(f"{branch!r} is a tag, not a branch, and only a branch can be deployed")


def _head(root: Path, bounds: Bounds) -> Commit:
    begun = bytearray()

    def take(piece: bytes) -> None:
        # A subject has any length; like Git's other output, it is cut to the limit of a line.
        if len(begun) <= _ANSWER_BYTES:
            begun.extend(piece)

    arguments = ["log", "-1", "--no-show-signature", "--format=%H%x00%s"]
    _stream(arguments, root, bounds, take)
    text = begun.decode(errors="replace")
    commit, _, subject = text.strip("\n").partition("\0")
    [subject] = Lines(_LINE_BYTES).feed(f"{subject}\n")
    return Commit(commit, subject)


def _text(arguments: list[str], folder: Path, bounds: Bounds) -> str:
    return _ask(arguments, folder, bounds).decode(errors="replace")


def _ask(arguments: list[str], folder: Path, bounds: Bounds) -> bytes:
    """Return Git's answer to a question that has a short one."""
    output = bytearray()

    def take(piece: bytes) -> None:
        output.extend(piece)
        if len(output) > _ANSWER_BYTES:
            raise GitFailed(f"the answer of git {arguments[0]} has more than {_ANSWER_BYTES} bytes")

    _stream(arguments, folder, bounds, take)
    return bytes(output)


def _stream(
    arguments: list[str], folder: Path, bounds: Bounds, take: Callable[[bytes], object]
) -> None:
    """Pass Git's output on piece by piece; raise GitFailed with the last piece at an error."""
    last = b""

    def remember(piece: bytes) -> None:
        nonlocal last
        last = piece
        take(piece)

    if _run(arguments, folder, _environment(""), bounds, remember):
        raise GitFailed(_reason(last))


def _reason(output: bytes) -> str:
    """Return the first error in Git's output, or the end of it."""
    lines = output.decode(errors="replace").strip().splitlines()
    errors = [fatal[1] for line in lines if (fatal := _FATAL.match(line))]
    [reason] = Lines(_LINE_BYTES).feed(f"{(errors or lines or ['git failed'])[0]}\n")
    return reason


def _environment(url: str) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "LC_ALL": "C.UTF-8",  # the messages are matched in English
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": _SSH,
        # Only ``fetch_lfs`` fetches the content of LFS files.
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    found = credentials(url)
    if found is not None:
        # As variables, which /proc shows to this user only; arguments are public.
        environment |= {
            # Limited to the origin, so that the target of a redirect does not get them.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"credential.{origin(url)}.helper",
            "GIT_CONFIG_VALUE_0": _CREDENTIAL_HELPER,
            "MIST_GIT_USER": found[0],
            "MIST_GIT_PASSWORD": found[1],
        }
    return environment


def _run(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    bounds: Bounds,
    on_output: Callable[[bytes], object],
) -> int:
    """Return Git's exit status; its process group has ended when this returns or raises."""
    options = [part for option in _OPTIONS for part in ("-c", option)]
    bounds.check()
    try:
        with programs.running(
            ["git", *options, *arguments],
            environment,
            folder=folder,
            memory_bytes=bounds.limits.git_memory_bytes,
        ) as process:
            programs.pump(process, bounds.check, on_output)
    except FileNotFoundError:
        raise GitFailed("git is not installed on this machine") from None
    return process.returncode


def kill_leftovers(folder: Path) -> None:
    """Kill the processes that a killed runner left in ``folder``: git and its helpers."""
    for process in psutil.process_iter():
        # A process may end meanwhile, and other users' processes cannot be inspected.
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
