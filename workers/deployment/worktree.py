"""The work tree of a checked-out commit: what Git records about it, and what is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from workers.deployment import git_program
from workers.deployment.bounds import Bounds
from workers.deployment.errors import GitFailed, RepositoryRefused
from workers.deployment.text import cut

# The only permission bit that Git records for a regular file (git-fast-import(1), "filemodify").
_EXECUTABLE: Final = b"100755 "

# The beginning of a pointer, also of the names that Git LFS had before.
_LFS_POINTER: Final = re.compile(
    rb"version https?://(?:git-lfs\.github\.com/spec|hawser\.github\.com/spec|git-media\.io)/v\d"
)
_LFS_POINTER_BYTES: Final = 64


class Commit(NamedTuple):
    """The checked-out commit: its hash in hexadecimal, and the first line of its message."""

    hash: str
    subject: str


class Tree(NamedTuple):
    """A checked-out commit: its directory, and what Git records besides the contents."""

    root: Path
    executables: frozenset[str]
    """The paths of the files with mode 755; all others have 644."""
    committed: int
    """The commit's time in seconds since the epoch; its author can set any number."""


def check_out(root: Path, bounds: Bounds) -> None:
    """Write the commit's files, if they are within the bounds."""
    # With -t, because the entries of a directory without files count, too.
    git_program.stream(
        ["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "HEAD"], root, bounds, bounds.list
    )
    bounds.check_listed()
    # As ``git clone`` does it: from an empty index, and without a question of what to keep.
    git_program.ask(["reset", "--hard", "--quiet", "HEAD"], root, bounds)
    bounds.measure()


def check_branch(branch: str, root: Path, bounds: Bounds) -> None:
    """Raise GitFailed for a tag, which ``git clone --branch`` accepts in place of a branch."""
    head = git_program.text(["rev-parse", "--symbolic-full-name", "HEAD"], root, bounds).strip()
    if head != f"refs/heads/{branch}":
        raise GitFailed(f"{branch!r} is a tag, not a branch, and only a branch can be deployed")


def head(root: Path, bounds: Bounds) -> Commit:
    """Return the checked-out commit."""
    begun = bytearray()

    def take(piece: bytes) -> None:
        # A subject has any length; like Git's other output, it is cut to the limit of a line.
        if len(begun) <= git_program.ANSWER_BYTES:
            begun.extend(piece)

    arguments = ["log", "-1", "--no-show-signature", "--format=%H%x00%s"]
    git_program.stream(arguments, root, bounds, take)
    text = begun.decode(errors="replace")
    commit, _, subject = text.strip("\r\n").partition("\0")
    return Commit(commit, cut(subject, git_program.LINE_BYTES))


def tree(root: Path, bounds: Bounds) -> Tree:
    """Return what Git records about the files of the checked-out commit."""
    executables: set[str] = set()
    rest = b""

    def take(piece: bytes) -> None:
        nonlocal rest
        *records, rest = (rest + piece).split(b"\0")
        # One record: mode SP type SP hash TAB path NUL (git-ls-tree(1), "Output Format").
        heads = (record.partition(b"\t") for record in records)
        executables.update(os.fsdecode(path) for head, _, path in heads if head[:7] == _EXECUTABLE)

    git_program.stream(["ls-tree", "-r", "-z", "--full-tree", "HEAD"], root, bounds, take)
    committed = git_program.ask(["log", "-1", "--no-show-signature", "--format=%ct"], root, bounds)
    return Tree(root, frozenset(executables), int(committed.strip() or 0))


def lfs_pointers(root: Path, bounds: Bounds) -> int:
    """Return the number of files whose content is in Git LFS.

    A file may have the attribute and still be in the repository itself.
    """
    count = 0
    rest = b""

    def take(piece: bytes) -> None:
        nonlocal count, rest
        *names, rest = (rest + piece).split(b"\0")
        count += sum(_is_lfs_pointer(root / os.fsdecode(name)) for name in names)

    git_program.stream(["ls-files", "-z", "--", ":(attr:filter=lfs)"], root, bounds, take)
    return count


def _is_lfs_pointer(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _LFS_POINTER.match(file.read(_LFS_POINTER_BYTES)) is not None


def check_submodules(root: Path, bounds: Bounds) -> None:
    """Refuse submodules that lead out of the repository or run a program when fetched.

    Submodules are never fetched.  One of these is an attack, and reported as such.
    """
    modules = root / ".gitmodules"
    # Git would read a file outside the checkout.
    if modules.is_symlink():
        raise RepositoryRefused("The repository's .gitmodules is a symbolic link: refused")
    if not modules.is_file():
        return
    found = git_program.text(["config", "--file", ".gitmodules", "--null", "--list"], root, bounds)
    for entry in filter(None, found.split("\0")):
        key, _, value = entry.partition("\n")
        name = key.removeprefix("submodule.").rpartition(".")[0]
        escapes = key.endswith(".path") and _escapes(value)
        runs = key.endswith(".url") and ("::" in value or value.startswith("-"))
        if escapes or runs or ".." in PurePosixPath(name).parts:
            raise RepositoryRefused(f"The submodule {name!r} leads out of the repository: refused")


def _escapes(path: str) -> bool:
    return path.startswith(("/", "-")) or ".." in PurePosixPath(path).parts
