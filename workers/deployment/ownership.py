"""Decides which containers a deployment may stop, rename and remove.

They are those whose labels name this installation and the application, and the one
that was adopted (``mist app adopt``), which the store knows by its full id: the
engine cannot change the labels of a container.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mist.store import Store
from mist.store.records import App
from mist.topics import MAX_ID
from workers.deployment.errors import DeploymentError
from workers.references import Inspection

#: The labels of every container that a deployment makes.
INSTALLATION: Final = "mist.installation"
APP: Final = "mist.app"
DEPLOYMENT: Final = "mist.deployment"
#: When the deployment was asked for, to the nanosecond.
QUEUED: Final = "mist.queued"


class NotReplaceable(DeploymentError):
    """The application's container is not the application's to replace."""


class Stranger(NamedTuple):
    """A container that a deployment leaves alone: whose it is, and whether it can be adopted."""

    text: str
    adoptable: bool


def check(store: Store, app: App, found: Inspection | None) -> None:
    """Raise NotReplaceable unless a deployment may take the place of ``found``.

    ``found`` is the container that has the application's container name, None
    if none has.
    """
    if found is None:
        _check_name(store, app)
    elif owner(store, found) != app.id and store.apps.adopted(app.id) != found["Id"]:
        text, adoptable = stranger(store, app, found)
        advice = f"; `mist app adopt {app.name}` lets the next deployment replace it"
        raise NotReplaceable(text + (advice if adoptable else ""))


def owner(store: Store, found: Inspection) -> int | None:
    """Return the id of the application that this installation made the container for, or None."""
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

    The store refuses such applications; one that an earlier version took may be there.
    """
    for other in store.apps.all():
        if other.id < app.id and other.git_url is not None and other.container == app.container:
            raise NotReplaceable(
                f"The applications {other.name} and {app.name} both deploy to the container "
                f"{app.container!r}: choose another container for {app.name}"
            )


def _owner_by_row(store: Store, labels: dict[str, str]) -> int | None:
    """Return the owner of a container of a version that did not name the installation.

    The deployment has to be in this store with the same application and the same
    moment, which another installation's is not.
    """
    app, deployment = _number(labels.get(APP)), _number(labels.get(DEPLOYMENT))
    row = store.deployments.get(deployment) if app and deployment else None
    known = row is not None and (row.app_id, row.created_at) == (app, labels.get(QUEUED))
    return app if known else None


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_ID)):
        return None
    return int(text) if 0 < int(text) <= MAX_ID else None
