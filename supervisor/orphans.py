"""Remove the work folders that runners of an earlier service have left."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from mist import folders
from mist.errors import StoreError
from mist.ids import parse_id
from mist.paths import Paths
from mist.store import Store

log = structlog.get_logger(__name__)


def remove(store: Store, paths: Paths) -> threading.Thread:
    """Begin to remove them, and return the thread that does it; call this before any runner.

    The folders of unfinished deployments stay, because the runners that clean up after them
    end the processes in there first.
    """
    found = _orphans(store, paths)
    # A thread, because a checkout may have very many files, and the service must not wait.
    thread = threading.Thread(target=_remove, args=(found,), name="orphans", daemon=True)
    thread.start()
    return thread


def _orphans(store: Store, paths: Paths) -> list[Path]:
    try:
        kept = {row.id for row in store.deployments.unfinished()}
        everything = list(paths.work_folder(1).parent.iterdir())
    except (StoreError, OSError) as error:
        log.warning("orphans_not_read", reason=str(error))
        return []
    return [path for path in everything if parse_id(path.name) not in kept]


def _remove(found: list[Path]) -> None:
    for path in found:
        log.info("orphan_removed", folder=path.name, whole=folders.remove(path))
