"""The options ``--url`` and ``--token``, without the libraries that a connection needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cli import terminal
from mist.errors import UsageError

if TYPE_CHECKING:
    from cli.remote.service import RemoteService

_Command = TypeVar("_Command", bound=Callable[..., Any])

# The keys under which click keeps the options for the commands of a group.
_URL: Final = "mist.url"
_TOKEN: Final = "mist.token"  # noqa: S105 - a key


def remotely(command: _Command) -> _Command:
    """Add the options to a command; :func:`chosen_service` tells what they say."""

    def keep(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
        def callback(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
            if value is not None:
                ctx.meta[key] = value  # shared with the commands of a group

        return callback

    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=keep(_URL),
        help="A service on another machine [MIST_URL].",
    )
    token = click.option(
        "--token",
        metavar="TOKEN",
        expose_value=False,
        callback=keep(_TOKEN),
        help="A token for it; others see it in the process table [MIST_TOKEN].",
    )
    return url(token(command))


def note_local(command: str, kept: str) -> None:
    """Say that MIST_URL is ignored, before a command that only works on this machine."""
    if os.environ.get("MIST_URL"):
        terminal.note(
            f"mist: MIST_URL is ignored: `{command}` only manages the {kept} of this machine"
        )


def chosen_service() -> RemoteService | None:
    """Return the service on another machine, or None for the one on this machine."""
    meta = click.get_current_context().meta
    url = meta.get(_URL) or os.environ.get("MIST_URL")
    token = meta.get(_TOKEN) or os.environ.get("MIST_TOKEN")
    if not url:
        if meta.get(_TOKEN):
            raise UsageError("--token is for a service on another machine; add --url https://…")
        return None
    if not token:
        raise UsageError(
            f"{url} needs a token: give --token or set MIST_TOKEN; `mist token add NAME` on its "
            "machine makes one"
        )
    from cli.remote.service import RemoteService  # noqa: PLC0415 - slow to import

    return RemoteService(url, token)
