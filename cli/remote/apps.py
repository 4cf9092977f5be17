"""The applications of a service on another machine, for ``mist app``."""

# ruff: noqa: D102 - the protocol Apps describes the methods

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from api.http.openapi.shapes import Account, Application, Hook
from cli import terminal
from cli.remote.service import Missing, RemoteError, RemoteService, Unreachable
from mist.adoptable import Adoptable
from mist.apps import management
from mist.apps.management import AppChanges, NewApp, PublicApp
from mist.emails import canonical
from mist.store import Deployment, Right

# The largest number of deployments that the service lists.
_MOST: Final = 500
# Between two attempts to reach a service that is away, in seconds.
_PAUSE_SECONDS: Final = 1.0


class RemoteApps:
    """An implementation of :class:`cli.apps.Apps` over HTTP."""

    def __init__(self, service: RemoteService) -> None:
        self._service = service

    def all(self) -> Sequence[Application]:
        return self._service.read(list[Application], "GET", "/api/apps")

    def find(self, text: str) -> Application:
        return self._service.find_app(text, Application)

    def add(self, new: NewApp) -> PublicApp:
        return self._service.read(PublicApp, "POST", "/api/apps", new)

    def edit(self, app: PublicApp, changes: AppChanges) -> PublicApp:
        return self._service.read(PublicApp, "PATCH", _path(app), changes)

    def new_hook(self, app: PublicApp) -> tuple[str, str]:
        hook = self._service.read(Hook, "POST", f"{_path(app)}/hook")
        return f"{self._service.url}{hook.path}", hook.secret

    def end_hook(self, app: PublicApp) -> None:
        self._service.call("DELETE", f"{_path(app)}/hook")

    def grant(self, app: PublicApp, email: str, right: Right) -> str:
        return self._service.answer("PUT", self._grant(app, email), {"right": right}).message

    def revoke(self, app: PublicApp, email: str) -> str:
        return self._service.answer("DELETE", self._grant(app, email)).message

    def adoptable(self, app: PublicApp) -> Adoptable:
        return self._service.read(Adoptable, "GET", f"{_path(app)}/adoption")

    def adopt(self, app: PublicApp, found: Adoptable) -> None:
        body = {"container_id": found.container_id}
        self._service.call("POST", f"{_path(app)}/adoption", body)

    def count_deployments(self, app: PublicApp) -> str:
        path = f"{_path(app)}/deployments?limit={_MOST}"
        found = len(self._service.read(list[Deployment], "GET", path))
        return str(found) if found < _MOST else f"{_MOST} or more"

    def request_removal(self, app: PublicApp) -> None:
        self._service.call("DELETE", _path(app))

    def look(self, app: PublicApp) -> PublicApp | None:
        told = False
        while True:
            try:
                return self._service.read(PublicApp, "GET", _path(app))
            except Missing:
                return None
            except Unreachable as error:  # such as a restart
                if not told:
                    terminal.note(f"mist: {error}; trying again")
                told = True
                time.sleep(_PAUSE_SECONDS)

    def service_runs(self) -> bool:
        try:
            self._service.call("GET", "/api/status")
        except Unreachable:
            return False
        except RemoteError:  # an earlier version does not tell
            return True
        return True

    def _grant(self, app: PublicApp, email: str) -> str:
        # By the user's id: an address may have a slash, which no path can carry.
        for user in self._service.read(list[Account], "GET", "/api/users"):
            if user.email == canonical(email):
                return f"{_path(app)}/grants/{user.id}"
        raise management.no_user(email)


def _path(app: PublicApp) -> str:
    return f"/api/apps/{app.id}"
