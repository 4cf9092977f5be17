"""``mist deploy`` and ``mist cancel`` of a service on another machine."""

from __future__ import annotations

from typing import Final

from cli import terminal
from cli.deploy import Screen
from cli.remote.following import StreamEnded, follow
from cli.remote.service import RemoteError, RemoteService
from mist import close_codes
from mist.deployments.records import status_of, text_of
from mist.errors import Exit

_PATH: Final = "/ws/deployment/logs"


def deploy(service: RemoteService, app: str, rollback_to: int | None) -> int:
    """Start a deployment and follow it to its end; return the exit status."""
    target = service.find_app(app)
    body = {} if rollback_to is None else {"rollback_to": rollback_to}
    row = service.call("POST", f"/api/apps/{target['id']}/deployments", body)
    with Screen(f"Deployment {row['id']} of {target['name']}") as screen:
        try:
            return _follow(service, row["id"], screen)
        except KeyboardInterrupt:
            screen.note(f"Deployment {row['id']} continues; `mist cancel {row['id']}` cancels it.")
            raise


def cancel(service: RemoteService, deployment: int) -> None:
    """Request the end of a deployment."""
    service.call("POST", f"/api/deployments/{deployment}/cancel")
    terminal.say(f"Deployment {deployment} is being cancelled.")


def _note(text: str) -> None:
    terminal.note(f"mist: {text}")


def _follow(service: RemoteService, number: int, screen: Screen) -> int:
    """Print the log, which each connection sends from its beginning."""
    printed = seen = 0
    result = ""

    def parameters() -> dict[str, object]:
        nonlocal seen
        seen = 0
        return {"deploymentId": number}

    try:
        for record in follow(service, _PATH, parameters, _note, terminal.end_if_unread):
            status = status_of(record)
            text = None if status else text_of(record)
            if status is not None:
                result = status.status
                screen.status(status)
            elif text is not None:
                seen += 1
                if seen > printed:
                    printed = seen
                    screen.line(text)
    except StreamEnded as ended:
        if ended.code != close_codes.NORMAL:
            raise RemoteError(
                f"{service.url} closed the log of deployment {number} with code {ended.code}"
            ) from None
    return Exit.OK if result == "success" else Exit.FAILURE
