"""The data that a container's successor keeps: volumes and bind mounts.

No container is removed together with its volumes.  The successor is created with the
mounts of its predecessor before that one is stopped.  This keeps the engine from removing
the anonymous volumes of a predecessor that ran with ``--rm``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, Final

from workers.references import Inspection

# The types of mounts that hold data; a ``tmpfs`` is empty at every start.
KEPT: Final = ("volume", "bind")

# An entry of the engine's ``HostConfig.Mounts`` ("Create a container") or of ``Mounts``.
Mount = dict[str, Any]


def kept(found: Inspection) -> list[Mount]:
    """Return the container's mounts that a successor keeps."""
    return [mount for mount in found["Mounts"] if mount["Type"] in KEPT]


def carried(old: Inspection) -> list[Mount]:
    """Return the mounts of ``old`` in the form for a new container, at the same paths."""
    # An anonymous volume has a name, too, so it is mounted like any other.  The engine fills
    # an empty volume with the files that the new image has at its path.
    given = {path(mount["Target"]): mount for mount in old["HostConfig"].get("Mounts") or ()}
    return [_again(mount, given.get(path(mount["Destination"]))) for mount in kept(old)]


def fresh(new: Inspection) -> list[Mount]:
    """Return the volumes that the engine created for ``new`` because its image asks for them."""
    given = {path(mount["Target"]) for mount in new["HostConfig"].get("Mounts") or ()}
    return [mount for mount in new["Mounts"] if path(mount["Destination"]) not in given]


def notes(new: Inspection, own: Iterable[str] = ()) -> Iterator[str]:
    """Yield lines for the log about the new container's data.

    ``own`` are the paths of the volumes that the application asks for.
    """
    old = [mount for mount in new["Mounts"] if mount not in fresh(new)]
    own = set(own)
    for mount in old:
        verb = "Mounting" if path(mount["Destination"]) in own else "Keeping"
        yield f"{verb} {describe(mount)}"
    for mount in fresh(new):
        for above in old:
            if path(mount["Destination"]).startswith(path(above["Destination"]) + "/"):
                yield (
                    f"The image asks for a volume of its own at {mount['Destination']}, "
                    f"which hides what {describe(above)} has there"
                )


def describe(mount: Mount) -> str:
    """Describe an entry of ``Mounts``."""
    what = {"volume": f"volume {mount.get('Name')}", "bind": f"bind mount {mount['Source']}"}
    only = "" if mount["RW"] else " (read-only)"
    return f"{what.get(mount['Type'], mount['Type'])} at {mount['Destination']}{only}"


def _again(mount: Mount, given: Mount | None) -> Mount:
    """Return the mount for a new container, with all options if ``--mount`` created it."""
    source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
    again = {
        "Type": mount["Type"],
        "Source": source,
        "Target": mount["Destination"],
        "ReadOnly": not mount["RW"],
    }
    # ``--mount`` keeps its options in HostConfig.Mounts; ``--volume`` leaves only these traces.
    if given is not None:
        return given | again
    if mount["Type"] == "bind" and mount["Propagation"]:
        return again | {"BindOptions": {"Propagation": mount["Propagation"]}}
    if "nocopy" in mount["Mode"].split(","):
        return again | {"VolumeOptions": {"NoCopy": True}}
    return again


def path(text: str) -> str:
    """Return the canonical form of a path in a container."""
    # The engine's two lists may spell the same path differently.
    return posixpath.normpath(text)
