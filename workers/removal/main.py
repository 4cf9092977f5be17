"""The worker that removes one application: containers, images, logs, and last its row.

The row is what starts this worker, so a worker that dies, or an engine that is away, only
means that another worker continues.  Volumes are kept, and so are containers that no
deployment of this installation made.
"""

from __future__ import annotations

from contextlib import suppress

import requests
import structlog
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound

from mist import folders, heartbeat
from mist.errors import EngineError
from mist.paths import Paths
from mist.process import Assignment
from mist.settings import Settings
from mist.store import App, Store, open_store
from workers import labels
from workers.deployment import ownership
from workers.deployment.client import connect
from workers.deployment.errors import explain
from workers.deployment.images import Images

log = structlog.get_logger(__name__)

# How long the removal of a large checkout may take on a slow disk, in seconds.
_REMOVE_SECONDS = 60.0


def main(assignment: Assignment, settings: Settings, paths: Paths) -> None:
    """Remove the application ``assignment.target``, as far as the engine allows it now."""
    store = open_store(settings, paths)
    try:
        app = store.apps.get(assignment.target)
        if app is not None and app.removed_by is not None:
            _remove(store, settings, paths, app)
    finally:
        store.close()


def _remove(store: Store, settings: Settings, paths: Paths, app: App) -> None:
    try:
        client = connect(settings)
        _remove_containers(client, settings, store, app)
        Images(store, app.id).prune(client, keep=0)
    except (EngineError, DockerException, requests.RequestException) as error:
        problem = _told(error)
        # A later worker tries again; the command and the API show why.
        store.apps.note_removal_problem(app.id, problem)
        log.warning("removal_postponed", app=app.id, reason=problem)
        return
    for number in store.deployments.ids(app.id):
        heartbeat.beat(_REMOVE_SECONDS)
        folders.remove(paths.work_folder(number))
        _remove_logs(paths, number)
    folders.remove(paths.kept_log(app.id, 1).parent)
    store.apps.remove(app.id)
    log.info("app_removed", app=app.id, name=app.name, by=app.removed_by)


def _remove_containers(client: APIClient, settings: Settings, store: Store, app: App) -> None:
    """Stop and remove the containers that deployments of the application made."""
    wanted = {"label": [f"{labels.APP}={app.id}"]}
    for listed in client.containers(all=True, filters=wanted):
        # Gone meanwhile, such as one that was started with --rm.
        with suppress(NotFound):
            found = client.inspect_container(listed["Id"])
            # The label may be that of another installation's application.
            if ownership.owner(store, found) == app.id:
                client.stop(found["Id"], timeout=round(settings.deployments.stop_seconds))
                # Never with its volumes: ``v`` is off.
                client.remove_container(found["Id"], force=True)


def _remove_logs(paths: Paths, number: int) -> None:
    """Remove the log of a deployment, and other files that have its number."""
    file = paths.deployment_log(number)
    for each in file.parent.glob(f"{number}.*"):
        each.unlink(missing_ok=True)


def _told(error: Exception) -> str:
    """Return the error as shown to users, without the engine's address."""
    if isinstance(error, APIError):
        return f"The Docker Engine refused: {explain(error)}"
    return "The Docker Engine is unreachable; the removal is tried again"
