"""Decide which containers a deployment may stop, rename and remove.

These are the containers whose labels name this installation and the application, and the
one that was adopted (``mist app adopt``).  The store knows an adopted container by its full
id, because the engine cannot change a container's labels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mist.ids import parse_id
from mist.store import Store
from mist.store.records import App
from workers import labels
from workers.deployment.errors import DeploymentError
from workers.references import Inspection

INSTALLATION: Final = labels.INSTALLATION
APP: Final = labels.APP
DEPLOYMENT: Final = labels.DEPLOYMENT
QUEUED: Final = labels.QUEUED


class NotReplaceable(DeploymentError):
    """The application may not replace the container that has its name."""


class Stranger(NamedTuple):
    """A container that a deployment leaves alone."""

    text: str
    """Whose container it is, and what the user can do."""
    adoptable: bool
    """``mist app adopt`` is allowed."""


def check(store: Store, app: App, found: Inspection | None) -> None:
    """Raise NotReplaceable unless a deployment may replace ``found``.

    ``found`` is the container that has the application's container name, or None.
    """
    if found is None:
        _check_name(store, app)
    elif not may_replace(store, app, found):
        text, adoptable = stranger(store, app, found)
        advice = f"; `mist app adopt {app.name}` lets the next deployment replace it"
        raise NotReplaceable(text + (advice if adoptable else ""))


def may_replace(store: Store, app: App, found: Inspection) -> bool:
    """Return True if a deployment of the application made the container, or it was adopted."""
    return owner(store, found) == app.id or store.apps.adopted(app.id) == found["Id"]


def owner(store: Store, found: Inspection) -> int | None:
    """Return the id of the application for which this installation made it, or None."""
    labels = labels_of(found)
    installation = labels.get(INSTALLATION)
    if installation is None:
        return _owner_by_row(store, labels)
    return _number(labels.get(APP)) if installation == store.installation else None


def stranger(store: Store, app: App, found: Inspection) -> Stranger:
    """Describe a container that is neither the application's own nor adopted."""
    head = f"The container {app.container!r}"
    made_for = owner(store, found)
    other = store.apps.get(made_for) if made_for is not None else None
    if other is not None:
        advice = "choose another container for one of the two"
        return Stranger(f"{head} belongs to the application {other.name}: {advice}", False)
    if labels_of(found).get(INSTALLATION, store.installation) != store.installation:
        advice = f"choose another container for {app.name}, or `docker rename` that one"
        return Stranger(f"{head} belongs to another installation of Mist: {advice}", False)
    return Stranger(f"{head} was not made by a deployment of {app.name} and is left alone", True)


def labels_of(found: Inspection) -> dict[str, str]:
    """Return the container's labels, those of its image among them."""
    return found["Config"]["Labels"] or {}


def _check_name(store: Store, app: App) -> None:
    """Raise NotReplaceable if an older application deploys to the same name.

    The store refuses such applications, but an earlier version may have accepted one.
    """
    for other in store.apps.all():
        if other.id < app.id and other.git_url is not None and other.container == app.container:
            raise NotReplaceable(
                f"The applications {other.name} and {app.name} both deploy to the container "
                f"{app.container!r}: choose another container for {app.name}"
            )


def _owner_by_row(store: Store, labels: dict[str, str]) -> int | None:
    """Return the owner of a container whose labels do not name an installation, or None.

    Earlier versions made such containers.  This store must have the deployment with the
    same application and the same time, which another installation's store does not.
    """
    app, deployment = _number(labels.get(APP)), _number(labels.get(DEPLOYMENT))
    row = store.deployments.get(deployment) if app and deployment else None
    known = row is not None and (row.app_id, row.created_at) == (app, labels.get(QUEUED))
    return app if known else None


def _number(text: str | None) -> int | None:
    # A label is arbitrary text.
    return None if text is None else parse_id(text)
