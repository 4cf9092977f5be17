"""The data of a container that its successor keeps: volumes and bind mounts.

Nothing is ever removed with its volumes.  The successor is created with the mounts
of its predecessor before that one is stopped, and so keeps the engine from removing
the anonymous volumes of a predecessor that was run with ``--rm``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any, Final

from workers.references import Inspection

#: The kinds of mounts that hold data; a ``tmpfs`` is empty at every start.
KEPT: Final = ("volume", "bind")

#: As the engine has it in ``HostConfig.Mounts`` ("Create a container"), and in ``Mounts``.
Mount = dict[str, Any]


def kept(found: Inspection) -> list[Mount]:
    """Return those of the container's ``Mounts`` that a successor keeps."""
    return [mount for mount in found["Mounts"] if mount["Type"] in KEPT]


def carried(old: Inspection) -> list[Mount]:
    """Return the mounts of ``old`` as a new container is given them, at the same paths.

    An anonymous volume has a name, too, so it is mounted as any other is.  One that is
    empty gets the files that the new image has at its path, as the engine has it.
    """
    given = {_path(mount["Target"]): mount for mount in old["HostConfig"].get("Mounts") or ()}
    return [_again(mount, given.get(_path(mount["Destination"]))) for mount in kept(old)]


def fresh(new: Inspection) -> list[Mount]:
    """Return the volumes that the engine made for ``new``: its image asks for them."""
    given = {_path(mount["Target"]) for mount in new["HostConfig"].get("Mounts") or ()}
    return [mount for mount in new["Mounts"] if _path(mount["Destination"]) not in given]


def notes(new: Inspection) -> Iterator[str]:
    """Yield what the log says of the new container's data, a line each."""
    old = [mount for mount in new["Mounts"] if mount not in fresh(new)]
    yield from (f"Keeping {describe(mount)}" for mount in old)
    for mount in fresh(new):
        for above in old:
            if _path(mount["Destination"]).startswith(_path(above["Destination"]) + "/"):
                yield (
                    f"The image asks for a volume of its own at {mount['Destination']}, "
                    f"which hides what {describe(above)} has there"
                )


def describe(mount: Mount) -> str:
    """Return an entry of ``Mounts`` in words."""
    what = {"volume": f"volume {mount.get('Name')}", "bind": f"bind mount {mount['Source']}"}
    only = "" if mount["RW"] else " (read-only)"
    return f"{what.get(mount['Type'], mount['Type'])} at {mount['Destination']}{only}"


def _again(mount: Mount, given: Mount | None) -> Mount:
    """Return what makes the mount again: with all its options, if it was made with ``--mount``."""
    source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
    again = {
        "Type": mount["Type"],
        "Source": source,
        "Target": mount["Destination"],
        "ReadOnly": not mount["RW"],
    }
    if given is not None:
        return given | again
    if mount["Type"] == "bind" and mount["Propagation"]:
        return again | {"BindOptions": {"Propagation": mount["Propagation"]}}
    if "nocopy" in mount["Mode"].split(","):
        return again | {"VolumeOptions": {"NoCopy": True}}
    return again


def _path(text: str) -> str:
    return posixpath.normpath(text)
