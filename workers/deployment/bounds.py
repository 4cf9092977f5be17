"""The bounds of a checkout: a repository of some kilobytes can unpack to any size.

Git lists the files of a commit before it writes any, so most repositories are refused before
they take space.  The directory is measured as well while Git writes, because nothing lists
what a server sends, and attributes of the repository may make files larger.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.settings import DeploymentSettings
from workers.deployment.cancellation import SLICE, CancellationToken
from workers.deployment.errors import DiskNearlyFull, RepositoryRefused

# A measurement takes at most one part in this many of a runner's time.
_MEASURE_SHARE: Final = 10
# The size of st_blocks' unit (stat(2)).
_BLOCK_BYTES: Final = 512
# An upper bound of what an entry adds to a tar archive besides its contents and its path.
_ENTRY_BYTES: Final = 4_096
# The number of a path's characters in a message.
_SHOWN: Final = 100


class Bounds:
    """The bounds of the deployment's directory ``folder``, which need not exist yet."""

    def __init__(
        self, folder: Path, limits: DeploymentSettings, cancellation: CancellationToken
    ) -> None:
        self.limits = limits
        self._folder = folder
        self._cancellation = cancellation
        self._next = 0.0
        self._rest = b""
        self._files = 0
        self._bytes = 0

    def check(self) -> None:
        """Raise if the deployment has to end, or the directory has outgrown its bounds."""
        self._cancellation.check()
        now = time.monotonic()
        if now >= self._next:
            self.measure()
            took = time.monotonic() - now
            self._next = now + max(SLICE, _MEASURE_SHARE * took)

    def measure(self) -> None:
        """Raise if the directory is too large by now, or the disk is nearly full."""
        self.check_free()
        size = 0
        for number, found in enumerate(_statuses(self._folder), 1):
            # A sparse file counts as written, and a small one as the blocks it takes.
            size += max(found.st_size, found.st_blocks * _BLOCK_BYTES)
            if size > self.limits.checkout_bytes:
                raise self._too_large()
            # Git's own files are few next to the files of the commit.
            if number > 2 * self.limits.checkout_files:
                raise self._too_many()

    def check_free(self, needed: int = 0) -> None:
        """Raise DiskNearlyFull unless ``needed`` bytes leave the reserve of the disk free."""
        place = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        found = os.statvfs(place)
        free = found.f_bavail * found.f_frsize
        if free - needed < self.limits.disk_reserve_bytes:
            raise DiskNearlyFull(free, needed, self.limits.disk_reserve_bytes)

    def check_archive(self) -> None:
        """Raise DiskNearlyFull unless an archive of all listed files fits on the disk."""
        size = self._bytes + self._files * _ENTRY_BYTES
        self.check_free(min(size, self.limits.context_bytes))

    def list(self, piece: bytes) -> None:
        """Take output of ``git ls-tree -r -t -l -z``; raise RepositoryRefused beyond a bound.

        The piece that is one too many ends the listing, because a tree of a few objects can
        have any number of entries.
        """
        *records, self._rest = (self._rest + piece).split(b"\0")
        for record in records:
            # mode SP type SP hash SP size TAB path (git-ls-tree(1), "Output Format")
            head, _, path = record.partition(b"\t")
            size = head.rpartition(b" ")[2]
            self._add(path, int(size) if size.isdigit() else 0)

    def check_listed(self) -> None:
        """Raise DiskNearlyFull unless all listed files fit on the disk."""
        self.check_free(self._bytes)

    def _add(self, path: bytes, size: int) -> None:
        limits = self.limits
        self._files += 1
        self._bytes += size
        if self._files > limits.checkout_files:
            raise self._too_many()
        if self._bytes > limits.checkout_bytes:
            raise self._too_large()
        if len(path) > limits.checkout_path_bytes:
            raise RepositoryRefused(
                f"The repository has the path {_shown(path)} of {len(path)} bytes, more than "
                f"{limits.checkout_path_bytes} (deployments.checkout_path_bytes)"
            )
        if path.count(b"/") > limits.checkout_depth:
            raise RepositoryRefused(
                f"The repository has more than {limits.checkout_depth} directories in each "
                f"other (deployments.checkout_depth): {_shown(path)}"
            )

    def _too_large(self) -> RepositoryRefused:
        return RepositoryRefused(
            f"The repository takes more than {self.limits.checkout_bytes} bytes "
            "(deployments.checkout_bytes)"
        )

    def _too_many(self) -> RepositoryRefused:
        return RepositoryRefused(
            f"The repository has more than {self.limits.checkout_files} files and directories "
            "(deployments.checkout_files)"
        )


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of everything below ``folder``, while another process changes it."""
    folders = [str(folder)]
    while folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def _shown(path: bytes) -> str:
    text = path.decode(errors="replace")
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
