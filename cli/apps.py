"""The applications that ``mist app`` manages: of this machine's service, or of another's."""

# ruff: noqa: D102 - the protocol Apps describes the methods

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cli.deploy import service_runs
from cli.remote.choice import chosen_service
from cli.state import note_change, opened_store, user_name
from mist.adoptable import Adoptable
from mist.apps import management
from mist.apps.management import AppChanges, NewApp, PublicApp
from mist.errors import NotFound
from mist.paths import resolve_paths
from mist.settings import load_settings
from mist.store import App, Right, Store


class Apps(Protocol):
    """The applications of a service, and what the commands do with them."""

    def all(self) -> Sequence[PublicApp]:
        """Return the applications in the order of their ids."""

    def find(self, text: str) -> PublicApp:
        """Return the application with this name or id, or raise NotFound."""

    def add(self, new: NewApp) -> PublicApp:
        """Add an application."""

    def edit(self, app: PublicApp, changes: AppChanges) -> PublicApp:
        """Change fields of an application, and return it as it is then."""

    def new_hook(self, app: PublicApp) -> tuple[str, str]:
        """Turn the webhook on, and return its URL and its new secret."""

    def end_hook(self, app: PublicApp) -> None:
        """Turn the webhook off."""

    def grant(self, app: PublicApp, email: str, right: Right) -> str:
        """Give a user a right; return what the user may do now."""

    def revoke(self, app: PublicApp, email: str) -> str:
        """Withdraw a grant; return what the user may still do."""

    def adoptable(self, app: PublicApp) -> Adoptable:
        """Describe the container that the application may adopt; raise an error without one."""

    def adopt(self, app: PublicApp, found: Adoptable) -> None:
        """Let the next deployment replace exactly this container."""

    def count_deployments(self, app: PublicApp) -> str:
        """Return how many deployments the application has, in words."""

    def request_removal(self, app: PublicApp) -> None:
        """Ask the service to remove the application."""

    def look(self, app: PublicApp) -> PublicApp | None:
        """Return the application as it is now; None once it is gone."""

    def service_runs(self) -> bool:
        """Return True if the supervisor answers."""


@contextmanager
def opened_apps() -> Iterator[Apps]:
    """Yield the applications of the service that ``--url`` names, or of this machine's."""
    service = chosen_service()
    if service is not None:
        from cli.remote.apps import RemoteApps  # noqa: PLC0415 - as for every command from afar

        yield RemoteApps(service)
        return
    with opened_store() as store:
        yield LocalApps(store)


class LocalApps:
    """The applications in this machine's store; every change is recorded."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> Sequence[PublicApp]:
        return list(map(management.public, self._store.apps.all()))

    def find(self, text: str) -> PublicApp:
        return management.public(management.find_app(self._store, text))

    def add(self, new: NewApp) -> PublicApp:
        app = management.add(self._store, new, load_settings().deployments)
        note_change(self._store)
        return management.public(app)

    def edit(self, app: PublicApp, changes: AppChanges) -> PublicApp:
        after = management.edit(self._store, app.id, changes, load_settings().deployments)
        note_change(self._store)
        return management.public(after)

    def new_hook(self, app: PublicApp) -> tuple[str, str]:
        stored = self._stored(app)
        secret = management.new_hook(self._store, stored)
        note_change(self._store)
        return f"https://YOUR-HOST{management.hook_path(stored)}", secret

    def end_hook(self, app: PublicApp) -> None:
        self._store.apps.set_hook_secret(app.id, None)
        note_change(self._store)

    def grant(self, app: PublicApp, email: str, right: Right) -> str:
        user = management.find_user(self._store, email)
        said = management.grant(self._store, self._stored(app), user, right)
        note_change(self._store)
        return said

    def revoke(self, app: PublicApp, email: str) -> str:
        user = management.find_user(self._store, email)
        said = management.revoke(self._store, self._stored(app), user)
        note_change(self._store)
        return said

    def adoptable(self, app: PublicApp) -> Adoptable:
        # The engine's client is slow to load, and no other command here needs it.
        from workers.deployment import adopting  # noqa: PLC0415

        return adopting.look(self._store, load_settings(), self._stored(app))

    def adopt(self, app: PublicApp, found: Adoptable) -> None:
        self._store.apps.adopt(app.id, found.container_id)
        note_change(self._store)

    def count_deployments(self, app: PublicApp) -> str:
        return str(len(self._store.deployments.ids(app.id)))

    def request_removal(self, app: PublicApp) -> None:
        self._store.apps.request_removal(app.id, user_name())
        note_change(self._store)

    def look(self, app: PublicApp) -> PublicApp | None:
        stored = self._store.apps.get(app.id)
        return None if stored is None else management.public(stored)

    def service_runs(self) -> bool:
        return service_runs(resolve_paths())

    def _stored(self, app: PublicApp) -> App:
        stored = self._store.apps.get(app.id)
        if stored is None:
            raise NotFound(f"the application {app.name!r} was removed meanwhile")
        return stored
