"""Remove what a build that broke off has left in the engine.

The engine keeps the images of the completed steps, and after a restart also the container of
the step that ran.  They have no labels, so the log says which they are.  A program that runs
in a step can print the same lines, so each candidate is checked: nothing is removed that has
an image's name, is older than the deployment, or is not based on an image of this build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from docker import APIClient
from docker.errors import APIError, NotFound

_STEP: Final = re.compile(r"Step \d{1,9}/\d{1,9} : (\S+)")
_CONTAINER: Final = re.compile(r" ---> Running in ([0-9a-f]{12})")
_IMAGE: Final = re.compile(r" ---> ([0-9a-f]{12})")
_CACHED: Final = " ---> Using cache"
# More than any Dockerfile has steps; further ones are not the engine's.
_MOST: Final = 1_000


class Leftovers(NamedTuple):
    """The short ids that the log of a build names, in order."""

    containers: list[str]
    images: list[str]
    """Images that this build made."""
    bases: list[str]
    """Images that it only used."""


def named_in(lines: Iterable[str]) -> Leftovers:
    """Return the containers and images of a build from the lines of its log."""
    found = Leftovers([], [], [])
    given = False
    for line in lines:
        if step := _STEP.match(line):
            given = step[1].upper() == "FROM"
        elif line == _CACHED:
            given = True
        elif container := _CONTAINER.fullmatch(line):
            found.containers.append(container[1])
        elif image := _IMAGE.fullmatch(line):
            (found.bases if given else found.images).append(image[1])
    return Leftovers(*(list(dict.fromkeys(ids))[:_MOST] for ids in found))


def remove(client: APIClient, leftovers: Leftovers, since: str) -> bool:
    """Remove the containers and then the images; return True if none of them is left.

    ``since`` is the time of the deployment's request in RFC 3339.  What the engine
    still uses is left for another call.
    """
    whole = True
    known = leftovers.images + leftovers.bases
    for short in leftovers.containers:
        whole &= _remove_container(client, short, known, since)
    # The newest first, because an image with children cannot be removed.
    for short in reversed(leftovers.images):
        whole &= _remove_image(client, short, since)
    return whole


def _remove_container(client: APIClient, short: str, known: list[str], since: str) -> bool:
    try:
        found: dict[str, Any] = client.inspect_container(short)
        # The builder refers to an image by its id, and other programs use a name.
        base = str(found["Config"]["Image"]).removeprefix("sha256:")[:12]
        if found["Id"][:12] != short or base not in known or _older(found["Created"], since):
            return True
        # It may still run: an engine with live-restore keeps it, and forgets the build.
        client.remove_container(found["Id"], v=True, force=True)
    except NotFound:
        return True
    except APIError:
        return False
    return True


def _remove_image(client: APIClient, short: str, since: str) -> bool:
    try:
        found: dict[str, Any] = client.inspect_image(short)  # type: ignore[no-untyped-call]
        own = found["Id"].removeprefix("sha256:")[:12] == short
        named = found.get("RepoTags") or found.get("RepoDigests")
        if own and not named and not _older(found["Created"], since):
            client.remove_image(found["Id"], noprune=True)
    except NotFound:
        return True
    except APIError:
        return False
    return True


def _older(created: str, since: str) -> bool:
    # Python reads at most microseconds.
    one, other = (datetime.fromisoformat(text[:19]) for text in (created, since))
    return one < other
