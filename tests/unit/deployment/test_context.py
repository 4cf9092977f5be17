"""What of a checkout is sent to the engine, and what is refused."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from workers.deployment import context
from workers.deployment.errors import Refused

LIMIT = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a Dockerfile."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    put(folder, "Dockerfile", "FROM scratch\n")
    return folder


def put(root: Path, name: str, content: str = "") -> None:
    """Write a file, and the folders above it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def pack(root: Path, dockerfile: str = "Dockerfile", limit: int = LIMIT) -> set[str]:
    """The names in the archive of a checkout."""
    archive = root.parent / "context.tar"
    context.pack(root, dockerfile, archive, limit, lambda: None)
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def test_sends_everything_but_git(root: Path) -> None:
    """Files, folders and links within the checkout; the repository's own data stays here."""
    put(root, "src/a.py")
    put(root, ".git/config", "url = https://joe:hunter2@example.com")
    (root / "link").symlink_to("src/a.py")
    (root / "src/up").symlink_to("../Dockerfile")
    assert pack(root) == {"Dockerfile", "src", "src/a.py", "src/up", "link"}


def test_honours_dockerignore(root: Path) -> None:
    """Patterns, exceptions and comments; the Dockerfile is sent in any case."""
    for name in ("a.log", "keep.log", "deep/b.log", "private/c", "d.txt"):
        put(root, name)
    put(root, ".dockerignore", "# nothing secret\n**/*.log\n!keep.log\nprivate\nDockerfile\n")
    assert pack(root) == {"Dockerfile", ".dockerignore", "keep.log", "deep", "d.txt"}


def test_ends_without_padding(root: Path) -> None:
    """Two blocks of zeros and no more: see pack."""
    pack(root)
    data = (root.parent / "context.tar").read_bytes()
    assert data.endswith(bytes(1024))
    assert data.rstrip(b"\0") + bytes(1024 + -len(data.rstrip(b"\0")) % 512) == data


def test_gives_all_files_to_root(root: Path) -> None:
    """Who runs Mist is nothing to the image."""
    os.chown(root / "Dockerfile", 1234, 1234) if os.geteuid() == 0 else None
    pack(root)
    with tarfile.open(root.parent / "context.tar") as tar:
        info = tar.getmember("Dockerfile")
    assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", "")


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../outside", "src/../../outside", "src/back/outside", "/", "../checkout-2/x"],
)
def test_refuses_links_that_lead_out(root: Path, target: str) -> None:
    """Absolute, relative, or by way of another link."""
    put(root, "src/a")
    (root / "src/back").symlink_to("..")
    (root / "src/far").symlink_to(".")
    (root / "evil").symlink_to(target if "back" not in target else "src/back/../outside")
    with pytest.raises(Refused, match="'evil' leads out of the repository"):
        pack(root)


def test_does_not_mind_links_that_are_ignored(root: Path) -> None:
    """What is not sent leads nowhere."""
    (root / "evil").symlink_to("/etc/passwd")
    put(root, ".dockerignore", "evil\n")
    assert "evil" not in pack(root)


@pytest.mark.parametrize("name", ["../Dockerfile", "/etc/passwd", "linked", "folder/Dockerfile"])
def test_refuses_a_dockerfile_outside(root: Path, name: str) -> None:
    """By its path, or by a link."""
    put(root.parent, "Dockerfile")
    (root / "linked").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("..")
    with pytest.raises(Refused, match="leads out of the repository"):
        pack(root, name)


def test_names_a_dockerfile_that_is_missing(root: Path) -> None:
    """And one that is a folder."""
    (root / "folder").mkdir()
    for name in ("Dockerfile.prod", "folder"):
        with pytest.raises(Refused, match=f"no Dockerfile '{name}'"):
            pack(root, name)


def test_refuses_a_dockerignore_outside(root: Path) -> None:
    """It would be read, and shown by what is missing."""
    (root / ".dockerignore").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match=r"\.dockerignore leads out"):
        pack(root)


def test_is_bounded(root: Path) -> None:
    """The limit is that of the archive."""
    put(root, "large", "x" * 50_000)
    with pytest.raises(Refused, match="larger than 50000 bytes"):
        pack(root, limit=50_000)
    assert "large" in pack(root, limit=60_000)


def test_looks_at_its_guard(root: Path) -> None:
    """A large checkout can be cancelled."""

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        context.pack(root, "Dockerfile", root.parent / "context.tar", LIMIT, stop)
