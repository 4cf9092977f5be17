"""Remove work folders that runners of an earlier service have left, and logs without an owner.

The log that a deployment kept is removed with the deployment.
"""

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
    found = _orphans(store, paths) + _kept_without_deployment(store, paths)
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


def _kept_without_deployment(store: Store, paths: Paths) -> list[Path]:
    """Return kept logs of deployments that are gone, and the folders of such applications."""
    found = []
    try:
        apps = {app.id for app in store.apps.all()}
        for folder in paths.kept_log(1, 1).parent.parent.iterdir():
            app = parse_id(folder.name)
            if app not in apps:
                found.append(folder)
                continue
            deployments = store.deployments.ids(app)
            found += [path for path in folder.iterdir() if parse_id(path.stem) not in deployments]
    except (StoreError, OSError) as error:
        log.warning("orphans_not_read", reason=str(error))
    return found


def _remove(found: list[Path]) -> None:
    for path in found:
        log.info("orphan_removed", folder=path.name, whole=folders.remove(path))
