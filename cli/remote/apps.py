"""``mist app`` of a service on another machine."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from cli import terminal
from cli.remote.service import RemoteService
from mist.apps.management import NewApp
from mist.store import Right


def add(service: RemoteService, new: NewApp) -> None:
    """Add an application."""
    app = service.call("POST", "/api/apps", msgspec.to_builtins(new))
    terminal.say(f"Added {app['name']}, id {app['id']}, container {app['container']}.")


def show(service: RemoteService, as_json: bool) -> None:
    """List the applications that the token may see, with the right to each."""
    apps: list[dict[str, Any]] = service.call("GET", "/api/apps")
    if as_json:
        terminal.write_json(apps)
        return
    terminal.show_table(
        ("ID", "NAME", "CONTAINER", "REPOSITORY", "RIGHT", "SINCE"),
        [
            (
                str(app["id"]),
                app["name"],
                app["container"],
                app["git_url"] or "",
                app["right"],
                app["created_at"][:10],
            )
            for app in apps
        ],
    )


def grant(service: RemoteService, text: str, email: str, right: Right) -> None:
    """Give a user a right to an application."""
    app = service.find_app(text)
    grant = service.call("PUT", _grant(app, email), {"right": right})
    may = "see and deploy" if right == "deployer" else "see"
    terminal.say(f"{grant['email']} may now {may} {app['name']}.")


def revoke(service: RemoteService, text: str, email: str) -> None:
    """Withdraw a grant."""
    app = service.find_app(text)
    service.call("DELETE", _grant(app, email))
    terminal.say(f"Withdrew the grant of {email} for {app['name']}.")


def _grant(app: dict[str, Any], email: str) -> str:
    return f"/api/apps/{app['id']}/grants/{quote(email, safe='')}"
