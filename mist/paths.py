"""Where the state, the sockets and the bundled files are, and who may change them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mist.errors import UnsafePath


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


def resolve(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the directories of :func:`locate`; UnsafePath if other users could change one."""
    found = locate(environ)
    refuse_unsafe(found.home, "MIST_HOME")
    refuse_unsafe(found.runtime, "MIST_RUNTIME")
    return found


def refuse_unsafe(directory: Path, variable: str) -> None:
    """Raise UnsafePath if other users could change the directory that ``variable`` names."""
    problem = tampering(directory)
    if problem:
        raise UnsafePath(variable, directory, problem)


def tampering(directory: Path) -> str:
    """Say how another user could put files of their own into ``directory``; empty if none could.

    Below a folder in which everybody may create (such as /tmp) a directory is as
    good as its owner, who has to be root or this user.  One that everybody may
    write to is never good, not even with the sticky bit.
    """
    user = os.geteuid()
    real = Path(os.path.realpath(directory))
    for path in (real, *real.parents):
        try:
            found, parent = path.stat(), path.parent.stat()
        except OSError:
            continue  # what is not there yet is made, and what cannot be seen cannot be used
        if found.st_mode & stat.S_IWOTH and (path == real or not found.st_mode & stat.S_ISVTX):
            return f"every user may write to {path}; run: chmod o-w {path}"
        if parent.st_mode & stat.S_IWOTH and found.st_uid not in {0, user}:
            return f"{path} belongs to user {found.st_uid}, who is neither root nor this user"
    return ""


def owner_of_new(folder: Path) -> tuple[int, int]:
    """Return user and group for what is made in ``folder``: as os.chown takes them.

    What root makes in the folder of a service's user belongs to that user, so
    that trying something as root leaves nothing that the service cannot write.
    """
    if os.geteuid() != 0:
        return -1, -1
    status = folder.stat()
    return status.st_uid, status.st_gid


def locate(environ: Mapping[str, str] = os.environ) -> Paths:
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
