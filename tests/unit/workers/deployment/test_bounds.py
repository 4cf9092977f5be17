"""Tests of the bounds of a checkout, with real repositories made to exceed them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from mist.settings import DeploymentSettings
from tests.support.processes import has_ended
from tests.support.service.deployments import Repository
from tests.support.wait import wait_until
from workers.deployment import git
from workers.deployment.bounds import Bounds
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import DeploymentError, DiskNearlyFull, RepositoryRefused


class _Silent:
    def lines(self, texts: list[str]) -> None: ...

    def percent(self, number: int) -> None: ...


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one file."""
    return Repository(tmp_path / "repo", {"a.txt": "first\n"})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The directory of a deployment."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def clone(repository: Repository, work: Path, **limits: int) -> Path:
    """Clone within the limits, and return the checkout."""
    bounds = Bounds(
        work, msgspec.convert(limits, DeploymentSettings), CancellationToken(lambda: None, 60)
    )
    git.clone(repository.url, None, work / "checkout", bounds, _Silent())
    return work / "checkout"


def plant(repository: Repository, tree: str) -> None:
    """Make a commit of a tree that was written without files."""
    commit = repository.git("commit-tree", "-m", "Bomb", tree).strip()
    repository.git("update-ref", "refs/heads/main", commit)


def nested(repository: Repository, levels: int, width: int, leaf: str) -> str:
    """Return a tree with ``width`` entries on each of ``levels``, which share their objects."""
    for level in range(levels):
        kind = "040000 tree" if level or not leaf else "100644 blob"
        entry = leaf or repository.git("hash-object", "-t", "tree", "-w", "/dev/null").strip()
        lines = "".join(f"{kind} {entry}\td{number:02}\n" for number in range(width))
        made = subprocess.run(
            ["git", "mktree"],
            cwd=repository.folder,
            input=lines,
            text=True,
            check=True,
            capture_output=True,
        )
        leaf = made.stdout.strip()
    return leaf


def test_directories_in_each_other(repository: Repository, work: Path) -> None:
    """A chain of directories is refused before one of them is made."""
    blob = repository.git("rev-parse", "HEAD:a.txt").strip()
    plant(repository, nested(repository, 150, 1, blob))
    with pytest.raises(RepositoryRefused, match=r"more than 100 directories.*checkout_depth"):
        clone(repository, work)
    assert [path.name for path in (work / "checkout").iterdir()] == [".git"]


@pytest.mark.parametrize("leaf", ["HEAD:a.txt", ""], ids=["files", "empty directories"])
def test_a_tree_with_endless_entries(repository: Repository, work: Path, leaf: str) -> None:
    """A few objects that make 10^12 entries are refused, even without a file among them."""
    blob = leaf and repository.git("rev-parse", leaf).strip()
    plant(repository, nested(repository, 12, 10, blob))
    with pytest.raises(RepositoryRefused, match=r"more than 100000 files.*checkout_files"):
        clone(repository, work)


def test_a_large_file_that_packs_well(repository: Repository, work: Path) -> None:
    """A file is refused by its size before it is written."""
    repository.commit({"zeros": "0" * 50_000_000}, "Bomb")
    with pytest.raises(RepositoryRefused, match="checkout_bytes"):
        clone(repository, work, checkout_bytes=40_000_000)
    assert not (work / "checkout/zeros").exists()


def test_a_file_that_attributes_enlarge(repository: Repository, work: Path) -> None:
    """What Git writes is measured, because it may be more than the commit has."""
    repository.commit({"text": "a\n" * 5_000_000}, "Text")
    attributes = "text text working-tree-encoding=UTF-32LE\n"
    (repository.folder / ".gitattributes").write_text(attributes)
    # Not all files, because "text" is not in that encoding here.
    repository.git("add", ".gitattributes")
    repository.git("commit", "-q", "-m", "Bomb")
    with pytest.raises(RepositoryRefused, match="checkout_bytes"):
        clone(repository, work, checkout_bytes=20_000_000)


def test_what_the_server_sends(repository: Repository, work: Path) -> None:
    """Git ends while it receives, although its own data is in no listing."""
    for number in range(3):
        (repository.folder / f"random-{number}").write_bytes(os.urandom(20_000_000))
    repository.commit({}, "Large")
    with pytest.raises(RepositoryRefused, match="checkout_bytes"):
        clone(repository, work, checkout_bytes=10_000_000)


def test_a_path_longer_than_allowed(repository: Repository, work: Path) -> None:
    """Long paths are refused with the beginning of the path."""
    repository.commit({"/".join(["x" * 200] * 6): ""}, "Long")
    with pytest.raises(RepositoryRefused, match=r"'xxx.*of 1205 bytes.*checkout_path_bytes"):
        clone(repository, work)


def test_a_disk_that_is_nearly_full(repository: Repository, work: Path) -> None:
    """Nothing is fetched if the store would have too little space."""
    with pytest.raises(DiskNearlyFull, match="disk_reserve_bytes"):
        clone(repository, work, disk_reserve_bytes=2**60)
    assert not (work / "checkout").exists()


def test_a_commit_message_that_takes_too_much_memory(repository: Repository, work: Path) -> None:
    """Git's memory is bounded, and its error is told."""
    message = repository.folder.parent / "message"
    message.write_text("s" * 80_000_000)
    repository.git("commit", "-q", "--allow-empty", "-F", str(message))
    with pytest.raises(DeploymentError, match=r"(?i)memory|git|index-pack"):
        clone(repository, work, git_memory_bytes=64_000_000)


def test_an_ordinary_repository(repository: Repository, work: Path) -> None:
    """Files, links and modes are checked out, and Git sees no difference."""
    repository.commit({"src/a": "a", "link": Path("src/a"), "dir/.keep": ""}, "More")
    checkout = clone(repository, work)
    status = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=checkout,
        capture_output=True,
        check=True,
    )
    assert status.stdout == b""
    assert (checkout / "link").readlink() == Path("src/a")


def test_a_program_ends_with_its_killed_runner(tmp_path: Path) -> None:
    """A program and its children end with a runner that is killed."""
    script = f"""
import os
from workers.deployment import programs
with programs.running(["sh", "-c", "sleep 987 & sleep 986"], dict(os.environ)) as process:
    open({str(tmp_path / "pid")!r}, "w").write(str(process.pid))
    process.wait()
"""
    with subprocess.Popen([sys.executable, "-c", script]) as runner:
        pid = tmp_path / "pid"
        wait_until(lambda: pid.exists() and pid.read_text() != "", "the program to start")
        leader = psutil.Process(int(pid.read_text()))
        # The guard, and both sleeps.
        wait_until(lambda: len(leader.children(recursive=True)) >= 3, "its children")
        group = [leader, *leader.children(recursive=True)]
        runner.kill()
        _, alive = psutil.wait_procs(group, timeout=10)
    assert not [each for each in alive if not has_ended(each)]
