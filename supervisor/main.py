"""The supervisor as a program: takes the place, opens the store, and runs the loop."""

from __future__ import annotations

import os
from collections.abc import Callable

from mist import logs, process
from mist.errors import Exit, MistError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, location, open_store
from supervisor import directories
from supervisor.loop import Loop


class ServiceEnded(MistError):
    """A process without which the service is none could not be kept running."""

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
    """Run a service until it is asked to end; MistError if it cannot start or go on.

    ``before`` is called when the place is taken and the store has its tables,
    and before any process is started.
    """
    process.raise_file_limit()
    logs.configure(settings)
    logs.name_process("supervisor")
    # No Python that is started from here on takes modules from the current directory: in one
    # with a folder ``api`` or ``workers`` of its own that would be the code that runs.
    os.environ["PYTHONSAFEPATH"] = "1"
    directories.prepare(paths)
    with directories.lock(paths):
        if not settings.store.url:
            location.move(paths)
        store = open_store(settings, paths)
        store.migrate()
        if before is not None:
            before(store)
        loop = Loop(settings, paths, store, web)
        status = loop.run()
        store.close()
    if status:
        raise ServiceEnded(loop.reason, status)
