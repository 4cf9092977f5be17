"""Pack a checkout as the tar archive from which the engine builds.

``.dockerignore`` excludes what it excludes with ``docker build`` (see ``ignore``).  Nothing
outside the checkout is read or sent.  Modes and times are those of the commit, so that the
umask and the file system of this machine do not affect the image.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from mist import heartbeat
from mist.settings import DeploymentSettings
from workers.deployment import ignore
from workers.deployment.errors import RepositoryRefused
from workers.deployment.worktree import Tree

# A tar archive ends with two blocks of zeros (POSIX.1-2001, pax, "ustar Interchange Format").
_END_BYTES: Final = 1_024

# The modes that Git records for files.  Directories get the second, as under umask 022.
_FILE: Final = 0o644
_EXECUTABLE: Final = 0o755

# The slowest disk that may copy a large file without counting as hung, in bytes per second.
_SLOWEST: Final = 10_000_000

IGNORE_FILE: Final = ".dockerignore"


def pack(
    tree: Tree,
    dockerfile: str,
    archive: Path,
    limits: DeploymentSettings,
    check: Callable[[], None],
) -> PurePosixPath:
    """Write the archive and return the Dockerfile's path in it; call ``check`` often."""
    inside = find_dockerfile(tree.root, dockerfile)
    with archive.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in _names(tree.root, inside, limits.ignore_bytes, check):
                check()
                _add(tar, tree, name, limits.context_bytes)
            end = tar.offset
        # Without padding after the end.  The engine does not read the padding, and while
        # part of a request is unread, it does not notice that the client has hung up.
        file.truncate(end + _END_BYTES)
    return inside


def _names(
    root: Path, dockerfile: PurePosixPath, ignore_bytes: int, check: Callable[[], None]
) -> list[str]:
    """Return the names to send, each directory before its contents."""
    names = set()
    try:
        for name in ignore.walk(root, ignored(root, ignore_bytes), check):
            names.add(name)
    except ignore.BadPattern as error:
        raise RepositoryRefused(f"The .dockerignore is not valid: {error}") from None
    # The engine needs the file to hide the Dockerfile and the file itself from COPY.
    if (root / IGNORE_FILE).exists():
        names.add(IGNORE_FILE)
    names |= _dockerfile_names(root, dockerfile)
    # An ignored directory has no entry for files in it that are not ignored.  The engine
    # would create it with a mode of its own choice.
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    return sorted((names | folders) - {"."})


def _dockerfile_names(root: Path, dockerfile: PurePosixPath) -> set[str]:
    """Return the Dockerfile's path and, if it is a link, the path of its target.

    Both are sent regardless of .dockerignore.  They are not added to its patterns as
    exceptions, because a path such as ``[id]/Dockerfile`` would itself be a pattern.
    """
    # find_dockerfile() has checked that it can be resolved.
    real = Path(os.path.realpath(root / dockerfile)).relative_to(os.path.realpath(root))
    # An archive cannot have an entry below a linked directory.
    through_link = any((root / parent).is_symlink() for parent in dockerfile.parents)
    return {str(real)} if through_link else {str(real), str(dockerfile)}


def find_dockerfile(root: Path, dockerfile: str) -> PurePosixPath:
    """Return the Dockerfile's path below ``root``; raise RepositoryRefused if there is none."""
    path = PurePosixPath(os.path.normpath(dockerfile))
    if path.is_absolute() or ".." in path.parts or not _is_inside(root, root / path):
        raise RepositoryRefused(
            f"The Dockerfile {dockerfile!r} leads out of the repository: refused"
        )
    if not (root / path).is_file():
        raise RepositoryRefused(f"The repository has no Dockerfile {dockerfile!r}")
    return path


def read_text(path: Path, limit: int) -> str:
    """Return at most the first ``limit`` bytes of a file, decoded."""
    with path.open("rb") as file:
        return file.read(limit).decode(errors="replace")


def ignored(root: Path, limit: int) -> list[ignore.Pattern]:
    """Return the patterns of ``.dockerignore``, or none without the file."""
    path = root / IGNORE_FILE
    if not _is_inside(root, path):
        raise RepositoryRefused("The .dockerignore leads out of the repository: refused")
    if not path.exists():
        return []
    if not path.is_file():
        raise RepositoryRefused("The .dockerignore is not a file")
    with path.open("rb") as file:
        data = file.read(limit + 1)  # one more byte tells whether the file is too large
    if len(data) > limit:
        raise RepositoryRefused(
            f"The .dockerignore is larger than {limit} bytes (deployments.ignore_bytes)"
        )
    return ignore.read(data)


def _add(tar: tarfile.TarFile, tree: Tree, name: str, limit: int) -> None:
    path = tree.root / name
    # In the image an absolute link would lead elsewhere, even if its target is in the checkout.
    if path.is_symlink() and (os.readlink(path).startswith("/") or not _is_inside(tree.root, path)):
        raise RepositoryRefused(f"The symbolic link {name!r} leads out of the repository: refused")
    info = tar.gettarinfo(path, arcname=name)
    # A socket has no entry (None), and reading a FIFO or a device might never end.
    if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        raise RepositoryRefused(f"{name!r} is not a file, a directory or a link: refused")
    # The owner of the checkout is the service's user, which means nothing in the image.
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    # A commit's author can set any time, so it is limited to the past.
    info.mtime = min(max(0, tree.committed), int(time.time()))
    if not info.issym():
        info.mode = _EXECUTABLE if info.isdir() or name in tree.executables else _FILE
    if tar.offset + info.size > limit:
        raise RepositoryRefused(
            f"The repository is larger than {limit} bytes without what .dockerignore leaves out"
        )
    if info.isreg():
        heartbeat.beat(info.size / _SLOWEST)
        with path.open("rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)


def _is_inside(root: Path, path: Path) -> bool:
    """Return True if the path, with all links resolved, is below ``root``."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except (RecursionError, OSError):
        # A chain of very many links, or links that add up to a path that is too long.  The
        # kernel follows neither (path_resolution(7)).
        return False
