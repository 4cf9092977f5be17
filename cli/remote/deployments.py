"""``mist deploy`` and ``mist cancel`` of a service on another machine."""

from __future__ import annotations

from typing import Final

import msgspec

from cli import terminal
from cli.deploy import Screen
from cli.remote.following import StreamEnded, follow
from cli.remote.service import UNREADABLE, App, RemoteError, RemoteService
from mist import close_codes, messages
from mist.deployments.records import status_of, text_of
from mist.errors import Exit

_PATH: Final = "/ws/deployment/logs"


class _Requested(msgspec.Struct):
    id: int


def deploy(service: RemoteService, app: str, rollback_to: int | None) -> int:
    """Start a deployment and follow it to its end; return the exit status."""
    target = service.find_app(app, App)
    body = {} if rollback_to is None else {"rollback_to": rollback_to}
    row = service.read(_Requested, "POST", f"/api/apps/{target.id}/deployments", body)
    with Screen(f"Deployment {row.id} of {target.name}") as screen:
        try:
            return _follow(service, row.id, screen)
        except KeyboardInterrupt:
            screen.note(f"Deployment {row.id} continues; `mist cancel {row.id}` cancels it.")
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
            try:
                status, text = status_of(record), text_of(record)
            except UNREADABLE as error:
                raise service.misunderstood(error) from None
            if status is not None and status.status == "pending":
                # The place in the queue comes before the log, so it does not count.
                if not printed:
                    screen.status(status)
                continue
            if result != "failed" and messages.has_type(record, "error"):
                _note(messages.read_text(record))  # instead of the log, which may come later
                continue
            seen += 1
            if seen <= printed:
                continue
            printed = seen
            if status is not None:
                result = status.status
                screen.status(status)
            elif text is not None:
                screen.line(text)
            elif messages.has_type(record, "error"):
                return Exit.FAILURE
            if result == "success":
                return Exit.OK
    except StreamEnded as ended:
        denied = ended.code in {close_codes.SESSION_EXPIRED, close_codes.PERMISSION_DENIED}
        raise RemoteError(
            f"{service.url} closed the log of deployment {number} with code {ended.code}",
            Exit.NO_PERMISSION if denied else Exit.UNAVAILABLE,
        ) from None
    raise AssertionError("a stream ends with an exception")
