"""Tests of the removal of trees that strangers have filled."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from mist import folders


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty directory to fill."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def nest(folder: Path, depth: int) -> None:
    """Make a chain of directories that is longer than any path may be."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a-directory", dir_fd=here)
        below = os.open("a-directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_tree_deeper_than_the_stack(tree: Path) -> None:
    """Depth takes neither stack nor descriptors."""
    nest(tree, 5 * sys.getrecursionlimit())
    assert folders.remove(tree)
    assert not tree.exists()


def test_directories_without_permissions(tree: Path) -> None:
    """Directories that their owner may not read are removed, too."""
    for name in ("a", "a/b", "a/b/c"):
        (tree / name).mkdir()
    (tree / "a/b/file").touch()
    for name in ("a/b/c", "a/b", "a", ""):
        (tree / name).chmod(0)
    assert folders.remove(tree)
    assert not tree.exists()


def test_everything_that_a_directory_can_hold(tree: Path) -> None:
    """Links are removed and not followed, and names are data."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (tree / "link").symlink_to(outside)
    (tree / "loop").symlink_to("loop")
    (tree / ".removing-1").mkdir()
    (tree / ".removing-1" / ".removing-1").mkdir()
    (tree / ".removing-2").touch()
    (tree / ("x" * 255)).touch()
    (tree / "new\nline").mkdir()
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff"))).mkdir()
    os.link(outside / "kept", tree / "hard")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "socket"))
    assert folders.remove(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()


def test_a_link_in_the_place_of_the_tree(tree: Path, tmp_path: Path) -> None:
    """The link is removed, and its target stays."""
    link = tmp_path / "link"
    link.symlink_to(tree)
    assert folders.remove(link)
    assert tree.exists()
    assert not link.is_symlink()


def test_nothing_there(tmp_path: Path) -> None:
    """A missing tree counts as removed."""
    assert folders.remove(tmp_path / "missing")


def test_what_cannot_be_removed_stays_alone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the tree is removed, and nothing is raised."""
    for name in ("a/b/kept", "a/b/other", "c/d"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    real = os.unlink

    def unlink(name: str, *, dir_fd: int | None = None) -> None:
        # Like a file with chattr +i, which not every file system of a test has.
        if name == "kept":
            raise PermissionError(1, "Operation not permitted")
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    assert not folders.remove(tree)
    assert [path.name for path in tree.rglob("*") if path.is_file()] == ["kept"]
