"""The locations of state, sockets and bundled files, and checks on who may change them."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mist.errors import UnsafePath, UsageError

# The kernel's limit on symbolic links in one path (path_resolution(7)).
_MAX_LINKS: Final = 40


class Paths(NamedTuple):
    """``home`` holds persistent state, ``runtime`` the sockets of the running service."""

    home: Path
    runtime: Path

    @property
    def database(self) -> Path:
        """The SQLite file, in the only directory that the web tier may write to."""
        return self.home / "store" / "mist.db"

    @property
    def old_database(self) -> Path:
        """The location of the database in earlier versions."""
        return self.home / "mist.db"

    @property
    def secret(self) -> Path:
        """The session key.  With the key of a Mist installation, its log-ins are valid here."""
        return self.home / "secret"

    @property
    def lock(self) -> Path:
        """The lock that a supervisor holds while it uses this state."""
        return self.home / "supervisor.lock"

    @property
    def fencing(self) -> Path:
        """The last fencing token of the supervisor."""
        return self.home / "fencing"

    def deployment_log(self, deployment_id: int) -> Path:
        """The log of a deployment: its messages as newline-delimited JSON."""
        return self.home / "deployments" / f"{deployment_id}.ndjson"

    def kept_log(self, app_id: int, deployment_id: int) -> Path:
        """The log of the container that a deployment of the application replaced."""
        return self.home / "kept-logs" / str(app_id) / f"{deployment_id}.zip"

    def work_folder(self, deployment_id: int) -> Path:
        """The directory for the checkout of a running deployment; only its runner uses it."""
        return self.home / "work" / str(deployment_id)  # named by id: ids are never reused

    @property
    def notify(self) -> Path:
        """The socket on which the web tier notifies the supervisor (:mod:`mist.notify`)."""
        return self.runtime / "notify"

    @property
    def health(self) -> Path:
        """The supervisor's report on its processes (:mod:`mist.health`)."""
        return self.runtime / "health"

    @property
    def readers(self) -> Path:
        """The socket on which the web tier requests older lines (:mod:`mist.read_request`)."""
        return self.runtime / "readers"

    def endpoint(self, name: str) -> str:
        """Return the ZeroMQ address of ``events``, ``ingest``, ``replay`` or ``control``."""
        return f"ipc://{self.runtime / name}"


class PathHider:
    """Replaces the paths of the service's directories, which are not for users to know.

    ``names`` maps paths to what is shown instead, longer paths first.
    """

    def __init__(self, names: Mapping[Path, str]) -> None:
        # Programs may print a path with its links resolved.
        self._names = {
            text: name
            for path, name in names.items()
            for text in (os.path.realpath(path), str(path))
            if len(text) > 1
        }

    def __call__(self, text: str) -> str:
        """Return the text without the paths."""
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text


def out_of_reach(path: Path) -> bool:
    """Return True if the path exists, or may exist, but this user cannot read and write it."""
    try:
        # os.access checks the real user, which is the effective one here.
        return path.exists() and not os.access(path, os.R_OK | os.W_OK)
    except PermissionError:
        return True


def resolve_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the paths of :func:`locate_paths`, or raise UnsafePath if they are unsafe."""
    found = locate_paths(environ)
    refuse_unsafe(found.home, "MIST_HOME", found.home)
    refuse_unsafe(found.runtime, "MIST_RUNTIME", found.home)
    return found


def refuse_unsafe(directory: Path, variable: str, home: Path) -> None:
    """Raise UnsafePath if another user could change the directory named by ``variable``.

    The owner of ``home`` is trusted, because root and the web tier's user both use the
    service of that user.
    """
    problem = tampering(directory, home)
    if problem:
        raise UnsafePath(variable, directory, problem)


def tampering(directory: Path, home: Path) -> str:
    """Describe how another user could place files in ``directory``; empty if none could.

    Check every directory and link on the path, following links as the kernel does.  Below
    a world-writable directory such as /tmp, each must belong to root or this user.  The
    last directory must belong to root, this user or the owner of ``home``, and be
    writable by neither everyone nor a foreign group.
    """
    user = os.geteuid()
    owner = user
    with suppress(OSError):  # it does not exist yet, or this user may not search the path
        owner = home.stat().st_uid
    real = Path(os.path.realpath(directory))  # the directory itself, after all links
    for path in _way(directory):
        try:
            found, parent = path.lstat(), path.parent.stat()
        except OSError:
            continue  # a missing part is created later; an invisible one cannot be used
        trusted = {0, user} if parent.st_mode & stat.S_IWOTH else {0, user, owner}
        if found.st_uid not in trusted and (path == real or parent.st_mode & stat.S_IWOTH):
            return f"{path} belongs to user {found.st_uid}, who is neither root nor this user"
        if stat.S_ISLNK(found.st_mode):
            # The mode of a link means nothing; its owner was checked, its target comes next.
            continue
        # In a sticky directory other users cannot replace what is not theirs.
        if found.st_mode & stat.S_IWOTH and (path == real or not found.st_mode & stat.S_ISVTX):
            return f"every user may write to {path}; run: chmod o-w {path}"
        if path == real and found.st_mode & stat.S_IWGRP and _is_foreign_group(found):
            return f"group {found.st_gid} may write to {path}; run: chmod g-w {path}"
    return ""


def _way(directory: Path) -> Iterator[Path]:
    """Yield every path that the kernel visits on its way, including links and their targets."""
    here, rest, links = Path("/"), list(reversed(Path.cwd().joinpath(directory).parts[1:])), 0
    yield here
    while rest:
        name = rest.pop()
        here = here.parent if name == ".." else here / name
        yield here
        if os.path.islink(here) and links < _MAX_LINKS:
            links += 1
            # A relative link starts from the directory that contains it.
            target = here.readlink()
            rest += reversed(target.parts[target.is_absolute() :])
            here = Path("/") if target.is_absolute() else here.parent


def _is_foreign_group(found: os.stat_result) -> bool:
    """Return True unless the group is the owner's primary group (user private groups)."""
    # User private groups usually have the user's number.
    own = {0, found.st_uid}
    if found.st_uid == os.geteuid():
        own.add(os.getegid())
    with suppress(KeyError):
        own.add(pwd.getpwuid(found.st_uid).pw_gid)
    return found.st_gid not in own


def owner_of_new(folder: Path) -> tuple[int, int]:
    """Return the owner and group, as os.chown takes them, for a new file in ``folder``.

    A file that root creates in a service user's directory belongs to that user, so that
    running a command as root leaves nothing behind that the service cannot write.
    """
    if os.geteuid() != 0:
        return -1, -1  # unchanged (chown(2))
    status = folder.stat()
    return status.st_uid, status.st_gid


def locate_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the directories named in the environment, or this user's default directories."""
    root = os.geteuid() == 0
    state = Path(environ.get("XDG_STATE_HOME") or user_home() / ".local" / "state")
    volatile = Path(environ.get("XDG_RUNTIME_DIR") or f"/tmp/mist-{os.geteuid()}")  # noqa: S108 - created with mode 0700, and checked
    home = environ.get("MIST_HOME") or ("/var/lib/mist" if root else state / "mist")
    runtime = environ.get("MIST_RUNTIME") or ("/run/mist" if root else volatile / "mist")
    for variable, path in (("MIST_HOME", home), ("MIST_RUNTIME", runtime)):
        try:
            str(path).encode()
        except UnicodeEncodeError:  # SQLite and ZeroMQ take no other paths
            raise UsageError(f"the path {path} is not UTF-8; set {variable} to another") from None
    return Paths(Path(home), Path(runtime))


def user_home() -> Path:
    """Return this user's home directory, or ``/`` for a user who has none."""
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd
        return Path("/")  # as in a container


def bundled(name: str) -> Path:
    """Return the path of a file of ``etc/``, in the installed package or the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "_etc" / name
    return installed if installed.exists() else here.parent / "etc" / name  # in the wheel first
