"""The supervisor as a program: locks the directories, opens the store and runs the loop."""

from __future__ import annotations

import os
from collections.abc import Callable

from mist import logs, process
from mist.errors import Exit, MistError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, location, open_store
from supervisor import directories, orphans
from supervisor.loop import Loop


class ServiceEnded(MistError):
    """An essential process could not be kept running."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_status = Exit(status) if status in set(Exit) else Exit.FAILURE

    def __str__(self) -> str:
        return f"the service has ended: {self.reason}"


def serve(
    settings: Settings,
    paths: Paths,
    *,
    web: tuple[str, ...] = (),
    before: Callable[[Store], None] | None = None,
) -> None:
    """Run a service until it is asked to end; raise MistError if it cannot start or go on.

    ``before`` is called when the directories are locked and the store has its tables,
    before any process starts.
    """
    process.raise_file_limit()
    logs.configure(settings)
    logs.name_process("supervisor")
    # Keep Python processes started from here on from importing modules of the current
    # directory.  A folder named ``api`` or ``workers`` there would replace our packages.
    os.environ["PYTHONSAFEPATH"] = "1"
    directories.prepare(paths)
    with directories.lock(paths):
        if not settings.store.url:
            location.move(paths)  # earlier versions kept the database elsewhere
        store = open_store(settings, paths)
        # Under the lock, so that no two supervisors migrate one store at a time.
        store.migrate()
        if before is not None:
            before(store)
        orphans.remove(store, paths)
        loop = Loop(settings, paths, store, web)
        status = loop.run()
        store.close()
    if status:
        raise ServiceEnded(loop.reason, status)
