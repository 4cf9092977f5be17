"""Give a container's name to another one, with no moment in which it does not resolve.

On a user-defined network the engine's DNS server resolves a container's name.  No two
containers can have the same name, but the engine distinguishes ``shop`` from ``Shop``, and
its DNS server does not.  So both containers answer to the name while it changes hands, and
their addresses and connections stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from docker import APIClient
from docker.errors import APIError

from workers.deployment.inspection import name_of

_CONFLICT: Final = 409


def is_taken(error: APIError) -> bool:
    """Return True if another container has the name; renaming cannot succeed until it is gone."""
    return bool(error.status_code == _CONFLICT)


def hand_over(client: APIClient, name: str, giver: str, taker: str, aside: str) -> None:
    """Rename ``taker`` to ``name`` and ``giver`` to ``aside``; both are given as full ids.

    This may be repeated, and reversed, wherever an earlier call has ended.
    """
    if _name(client, taker) != name:
        _respell(client, taker, name)
        # The engine takes a container out of the DNS for a moment while it renames it, so
        # the giver answers meanwhile.
        if _name(client, giver) == name and not _respell(client, giver, name):
            client.rename(giver, aside)
        client.rename(taker, name)
    if _name(client, giver) != aside:
        client.rename(giver, aside)


def is_respelled(found: str, name: str) -> bool:
    """Return True if ``found`` is another spelling of ``name``, as used in between."""
    return found != name and found.lower() == name.lower()


def _respell(client: APIClient, container: str, name: str) -> bool:
    """Give the container another spelling of the name; return False if there is none."""
    if is_respelled(_name(client, container), name):
        return True
    for spelling in _spellings(name):
        try:
            client.rename(container, spelling)
        except APIError as error:
            if not is_taken(error):
                raise
        else:
            return True
    return False


def _spellings(name: str) -> Iterator[str]:
    """Yield the name with one of its letters in the other case."""
    for index, letter in enumerate(name):
        if letter.isascii() and letter.isalpha():
            yield name[:index] + letter.swapcase() + name[index + 1 :]


def _name(client: APIClient, container: str) -> str:
    return name_of(client.inspect_container(container))
