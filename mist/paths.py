"""Where the state, the sockets and the bundled files are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Paths(NamedTuple):
    """``home`` holds the state that survives, ``runtime`` the sockets that do not."""

    home: Path
    runtime: Path

    @property
    def database(self) -> Path:
        """The SQLite file of the store."""
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
    """The directories that the environment names, or the usual ones of this user."""
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
