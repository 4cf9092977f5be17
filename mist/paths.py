"""Where the state, the sockets and the bundled files are, and who may change them."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mist.errors import UnsafePath

#: The kernel follows as many symbolic links in one path (path_resolution(7)).
_MAX_LINKS: Final = 40


class Paths(NamedTuple):
    """``home`` holds the state that survives, ``runtime`` the sockets that do not."""

    home: Path
    runtime: Path

    @property
    def database(self) -> Path:
        """The SQLite file of the store, in the only folder that the web tier may write to."""
        return self.home / "store" / "mist.db"

    @property
    def old_database(self) -> Path:
        """Where the database was before it had a folder of its own."""
        return self.home / "mist.db"

    @property
    def secret(self) -> Path:
        """The key that signs sessions; shared with a Mist installation, its log-ins work here."""
        return self.home / "secret"

    @property
    def lock(self) -> Path:
        """Held while a supervisor works on this state."""
        return self.home / "supervisor.lock"

    def deployment_log(self, deployment_id: int) -> Path:
        """The messages of a deployment, newline-delimited JSON."""
        return self.home / "deployments" / f"{deployment_id}.ndjson"

    def work_folder(self, deployment_id: int) -> Path:
        """The checkout and build context of a running deployment, for its runner alone."""
        return self.home / "work" / str(deployment_id)

    @property
    def notify(self) -> Path:
        """The socket on which the supervisor hears of its web tier (:mod:`mist.notify`)."""
        return self.runtime / "notify"

    def endpoint(self, name: str) -> str:
        """The ZeroMQ address of ``events``, ``ingest``, ``replay`` or ``control``."""
        return f"ipc://{self.runtime / name}"


def out_of_reach(path: Path) -> bool:
    """Whether the path is there, or may be, but is not for this user to read and write."""
    try:
        return path.exists() and not os.access(path, os.R_OK | os.W_OK)
    except PermissionError:
        return True


def resolve_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the directories of :func:`locate`; UnsafePath if other users could change one."""
    found = locate_paths(environ)
    refuse_unsafe(found.home, "MIST_HOME", found.home)
    refuse_unsafe(found.runtime, "MIST_RUNTIME", found.home)
    return found


def refuse_unsafe(directory: Path, variable: str, home: Path) -> None:
    """Raise UnsafePath if other users could change the directory that ``variable`` names.

    The owner of ``home`` may: root, and the web tier's user, use that user's service.
    """
    problem = tampering(directory, home)
    if problem:
        raise UnsafePath(variable, directory, problem)


def tampering(directory: Path, home: Path) -> str:
    """Say how another user could put files of their own into ``directory``; empty if none could.

    Every directory and link on the way counts, as the path is written and as its links
    lead on.  Below a folder in which everybody may create (such as /tmp) each has to
    belong to root or to this user.  The last directory has to belong to one of these or
    to the owner of ``home``, and neither everybody nor a foreign group may write to it.
    """
    user = os.geteuid()
    owner = user
    with suppress(OSError):  # it is still to be made, or this user may not look
        owner = home.stat().st_uid
    real = Path(os.path.realpath(directory))
    for path in _way(directory):
        try:
            found, parent = path.lstat(), path.parent.stat()
        except OSError:
            continue  # what is not there yet is made, and what cannot be seen cannot be used
        trusted = {0, user} if parent.st_mode & stat.S_IWOTH else {0, user, owner}
        if found.st_uid not in trusted and (path == real or parent.st_mode & stat.S_IWOTH):
            return f"{path} belongs to user {found.st_uid}, who is neither root nor this user"
        if stat.S_ISLNK(found.st_mode):
            continue
        if found.st_mode & stat.S_IWOTH and (path == real or not found.st_mode & stat.S_ISVTX):
            return f"every user may write to {path}; run: chmod o-w {path}"
        if path == real and found.st_mode & stat.S_IWGRP and _is_foreign_group(found):
            return f"group {found.st_gid} may write to {path}; run: chmod g-w {path}"
    return ""


def _way(directory: Path) -> Iterator[Path]:
    """Yield each path that the kernel passes on its way, links and what they lead to."""
    here, rest, links = Path("/"), list(reversed(Path.cwd().joinpath(directory).parts[1:])), 0
    yield here
    while rest:
        name = rest.pop()
        here = here.parent if name == ".." else here / name
        yield here
        if os.path.islink(here) and links < _MAX_LINKS:
            links += 1
            target = here.readlink()
            rest += reversed(target.parts[target.is_absolute() :])
            here = Path("/") if target.is_absolute() else here.parent


def _is_foreign_group(found: os.stat_result) -> bool:
    """Return True unless the group is the owner's own, as Debian gives each user one."""
    own = {0, found.st_uid}
    if found.st_uid == os.geteuid():
        own.add(os.getegid())
    with suppress(KeyError):
        own.add(pwd.getpwuid(found.st_uid).pw_gid)
    return found.st_gid not in own


def owner_of_new(folder: Path) -> tuple[int, int]:
    """Return user and group for what is made in ``folder``: as os.chown takes them.

    What root makes in the folder of a service's user belongs to that user, so
    that trying something as root leaves nothing that the service cannot write.
    """
    if os.geteuid() != 0:
        return -1, -1
    status = folder.stat()
    return status.st_uid, status.st_gid


def locate_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the directories that the environment names, or the usual ones of this user."""
    root = os.geteuid() == 0
    state = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    volatile = Path(environ.get("XDG_RUNTIME_DIR") or f"/tmp/mist-{os.geteuid()}")  # noqa: S108 - made with mode 0700, and checked
    home = environ.get("MIST_HOME") or ("/var/lib/mist" if root else state / "mist")
    runtime = environ.get("MIST_RUNTIME") or ("/run/mist" if root else volatile / "mist")
    return Paths(Path(home), Path(runtime))


def bundled(name: str) -> Path:
    """A file of ``etc/``, from the installed package or the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "_etc" / name
    return installed if installed.exists() else here.parent / "etc" / name
