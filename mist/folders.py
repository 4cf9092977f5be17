"""Remove directory trees that strangers have filled.

``shutil.rmtree`` recurses, so a tree deeper than Python's stack makes it fail, and it gives
up at a directory without permissions.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: Path) -> bool:
    """Remove a tree of any depth and mode; return True if nothing of it is left.

    Never raise, and follow no link.  What the kernel does not let go, such as an immutable
    file, stays, and the service's log names the reason.
    """
    try:
        _Removal(folder).run()
    except FileNotFoundError:
        return True
    except OSError as error:
        log.warning("folder_not_removed", folder=str(folder), reason=error.strerror)
        return False
    return True


class _Removal:
    """The removal of one tree, with two open directories whatever the depth.

    Each directory that is found moves up to the top under a number of its own, to be emptied
    in its turn.  So no path grows, and nothing recurses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[str] = []
        # A name that nobody can have foreseen.
        self._prefix = secrets.token_hex(8)
        self._count = 0
        self._trouble: OSError | None = None

    def run(self) -> None:
        """Remove the tree; at the end raise the first error, if there was one."""
        if self._folder.is_symlink() or not self._folder.is_dir():
            self._folder.unlink()
            return
        with suppress(PermissionError):
            self._folder.chmod(0o700)
        top = os.open(self._folder, _OPEN)
        try:
            self._empty(top, top)
            while self._waiting:
                self._remove_directory(top, self._waiting.pop())
        finally:
            os.close(top)
        if self._trouble is not None:
            raise self._trouble
        self._folder.rmdir()

    def _remove_directory(self, top: int, name: str) -> None:
        try:
            directory = os.open(name, _OPEN, dir_fd=top)
            try:
                self._empty(directory, top)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)
        except OSError as error:
            self._trouble = self._trouble or error

    def _empty(self, directory: int, top: int) -> None:
        with os.scandir(directory) as entries:
            # Removing what readdir(3) has returned is safe, and a list could be very long.
            for entry in entries:
                try:
                    self._take(entry, directory, top)
                except OSError as error:
                    self._trouble = self._trouble or error

    def _take(self, entry: os.DirEntry[str], directory: int, top: int) -> None:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
            return
        # A directory can be moved and read only by an owner with permissions.
        os.chmod(entry.name, 0o700, dir_fd=directory)
        self._count += 1
        name = entry.name if directory == top else f"{self._prefix}-{self._count}"
        if directory != top:
            os.rename(entry.name, name, src_dir_fd=directory, dst_dir_fd=top)
        self._waiting.append(name)
