"""Packs a checkout as the tar archive that the engine builds from.

``.dockerignore`` leaves out what it does with ``docker build`` (``ignore``), and nothing
that lies outside the checkout is ever read or sent.  Modes and times are the commit's: what
the umask or the file system made of them on this machine does not reach the image.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from mist.settings import DeploymentSettings
from workers.deployment import ignore
from workers.deployment.errors import RepositoryRefused
from workers.deployment.git import Tree

#: A tar archive ends with two blocks of zeros (POSIX.1-2001, pax, "ustar Interchange Format").
_END_BYTES: Final = 1_024

#: The modes that Git records, and what directories have beside them under the usual umask.
_FILE: Final = 0o644
_EXECUTABLE: Final = 0o755

IGNORE_FILE: Final = ".dockerignore"


def pack(
    tree: Tree,
    dockerfile: str,
    archive: Path,
    limits: DeploymentSettings,
    check: Callable[[], None],
) -> PurePosixPath:
    """Write the archive and return the Dockerfile's place in it; ``check`` is called often.

    The archive has no padding after its end: the engine does not read it, and
    as long as a part of the request is unread it does not notice that the
    client of a build has gone.
    """
    inside = find_dockerfile(tree.root, dockerfile)
    with archive.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in _names(tree.root, inside, limits.ignore_bytes, check):
                check()
                _add(tar, tree, name, limits.context_bytes)
            end = tar.offset
        file.truncate(end + _END_BYTES)
    return inside


def _names(
    root: Path, dockerfile: PurePosixPath, ignore_bytes: int, check: Callable[[], None]
) -> list[str]:
    """Return what is sent, each folder before what lies in it."""
    names = set()
    try:
        for name in ignore.walk(root, ignored(root, ignore_bytes), check):
            names.add(name)
    except ignore.BadPattern as error:
        raise RepositoryRefused(f"The .dockerignore is not valid: {error}") from None
    # The engine reads it, too: it takes the Dockerfile, and this file, from what COPY sees.
    if (root / IGNORE_FILE).exists():
        names.add(IGNORE_FILE)
    names |= _dockerfile_names(root, dockerfile)
    # A folder that is ignored has no entry for the files in it that are not, and
    # the engine would give it a mode of its own choice.
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    return sorted((names | folders) - {"."})


def _dockerfile_names(root: Path, dockerfile: PurePosixPath) -> set[str]:
    """Return the Dockerfile's path and the one that a link there leads to.

    It is sent whatever .dockerignore says.  As an exception among those patterns a
    path such as ``[id]/Dockerfile`` would be a pattern itself.
    """
    real = Path(os.path.realpath(root / dockerfile)).relative_to(os.path.realpath(root))
    through_link = any((root / parent).is_symlink() for parent in dockerfile.parents)
    return {str(real)} if through_link else {str(real), str(dockerfile)}


def find_dockerfile(root: Path, dockerfile: str) -> PurePosixPath:
    """The Dockerfile's path below ``root``; Refused if it is not there or leads out."""
    path = PurePosixPath(os.path.normpath(dockerfile))
    if path.is_absolute() or ".." in path.parts or not _is_inside(root, root / path):
        raise RepositoryRefused(
            f"The Dockerfile {dockerfile!r} leads out of the repository: refused"
        )
    if not (root / path).is_file():
        raise RepositoryRefused(f"The repository has no Dockerfile {dockerfile!r}")
    return path


def read_text(path: Path, limit: int) -> str:
    """Return the beginning of a file, of ``limit`` bytes at most."""
    with path.open("rb") as file:
        return file.read(limit).decode(errors="replace")


def ignored(root: Path, limit: int) -> list[ignore.Pattern]:
    """Return the patterns of ``.dockerignore``, if there is one."""
    path = root / IGNORE_FILE
    if not _is_inside(root, path):
        raise RepositoryRefused("The .dockerignore leads out of the repository: refused")
    if not path.exists():
        return []
    if not path.is_file():
        raise RepositoryRefused("The .dockerignore is not a file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise RepositoryRefused(
            f"The .dockerignore is larger than {limit} bytes (deployments.ignore_bytes)"
        )
    return ignore.read(data)


def _add(tar: tarfile.TarFile, tree: Tree, name: str, limit: int) -> None:
    path = tree.root / name
    if path.is_symlink() and (os.readlink(path).startswith("/") or not _is_inside(tree.root, path)):
        raise RepositoryRefused(f"The symbolic link {name!r} leads out of the repository: refused")
    info = tar.gettarinfo(path, arcname=name)
    # The checkout belongs to whoever runs Mist, which is nothing to the image.
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = min(max(0, tree.committed), int(time.time()))
    if not info.issym():
        info.mode = _EXECUTABLE if info.isdir() or name in tree.executables else _FILE
    if tar.offset + info.size > limit:
        raise RepositoryRefused(
            f"The repository is larger than {limit} bytes without what .dockerignore leaves out"
        )
    if info.isreg():
        with path.open("rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)


def _is_inside(root: Path, path: Path) -> bool:
    """Whether the path, every link in it followed, stays below ``root``."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
