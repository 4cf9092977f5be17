"""Request a deployment: check its preconditions and add it to the queue."""

from __future__ import annotations

from mist.errors import Conflict, NotFound
from mist.settings import HookSettings, Settings
from mist.store import App, Deployment, Store
from mist.store.deployments import Pushed


def request_deployment(
    store: Store,
    settings: Settings,
    app: App,
    created_by: str,
    rollback_to: int | None = None,
) -> Deployment:
    """Add a pending deployment of ``app``, from its repository or an earlier image.

    Raise NotFound or Conflict with the reason if the deployment could never succeed.
    """
    if rollback_to is not None:
        _check_rollback(store, app, rollback_to)
    elif app.git_url is None:
        raise Conflict(f"{app.name} has no Git repository to deploy from")
    waiting = sum(each.app_id == app.id for each in store.deployments.pending())
    if waiting >= settings.deployments.max_pending:
        raise Conflict(f"{waiting} deployments of {app.name} are already waiting; cancel one first")
    return store.deployments.create(app.id, created_by, rollback_to)


def request_pushed(
    store: Store, settings: HookSettings, app: App, created_by: str, digest: str
) -> Pushed:
    """Add a pending deployment of ``app`` for a push, in place of those that wait.

    ``digest`` identifies the delivery: one that was seen before adds none.  Raise Conflict if
    the deployment could never succeed.
    """
    if app.git_url is None:
        raise Conflict(f"{app.name} has no Git repository to deploy from")
    return store.deployments.create_pushed(app.id, created_by, digest, settings.deliveries)


def _check_rollback(store: Store, app: App, deployment_id: int) -> None:
    earlier = store.deployments.get(deployment_id)
    if earlier is None or earlier.app_id != app.id:
        raise NotFound(f"{app.name} has no deployment {deployment_id}")
    if earlier.status != "success" or earlier.image is None:
        # Old images are removed, except for the last ``deployments.keep_images``.
        raise Conflict(f"deployment {deployment_id} has no image to roll back to")
