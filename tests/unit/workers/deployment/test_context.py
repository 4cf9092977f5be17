"""Tests of what a checkout sends to the engine, and of what is refused."""

from __future__ import annotations

import os
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mist.settings import DeploymentSettings
from tests.support.service.deployments import Repository
from tests.support.service.programs import run
from workers.deployment import context, git, ignore, worktree
from workers.deployment.bounds import Bounds
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import RepositoryRefused
from workers.deployment.worktree import Tree

LIMITS = DeploymentSettings(context_bytes=1_000_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a Dockerfile."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    put(folder, "Dockerfile", "FROM scratch\n")
    return folder


def put(root: Path, name: str, content: str = "") -> None:
    """Write a file and make its folders."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def bounds(folder: Path) -> Bounds:
    """Return default bounds and a cancellation that never stops anything."""
    return Bounds(folder, DeploymentSettings(), CancellationToken(lambda: None, 60))


def pack(
    root: Path, dockerfile: str = "Dockerfile", limits: DeploymentSettings = LIMITS
) -> set[str]:
    """Return the names in the archive of a checkout."""
    archive = root.parent / "context.tar"
    context.pack(Tree(root, frozenset(), 0), dockerfile, archive, limits, lambda: None)
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def test_sends_everything_but_git(root: Path) -> None:
    """Files, folders and links are sent, but not the repository's own data."""
    put(root, "src/a.py")
    put(root, ".git/config", "url = https://joe:hunter2@example.com")
    (root / "link").symlink_to("src/a.py")
    (root / "src/up").symlink_to("../Dockerfile")
    assert pack(root) == {"Dockerfile", "src", "src/a.py", "src/up", "link"}


def test_honours_dockerignore(root: Path) -> None:
    """Patterns, exceptions and comments apply; the Dockerfile is always sent."""
    for name in ("a.log", "keep.log", "deep/b.log", "private/c", "d.txt"):
        put(root, name)
    put(root, ".dockerignore", "# nothing secret\n**/*.log\n!keep.log\nprivate\nDockerfile\n")
    assert pack(root) == {"Dockerfile", ".dockerignore", "keep.log", "deep", "d.txt"}


@pytest.mark.parametrize("name", ["[id]/Dockerfile", "*", "a*/Docker?ile", "!x/Dockerfile"])
def test_takes_the_dockerfiles_path_for_no_pattern(root: Path, name: str) -> None:
    """An ignored Dockerfile is sent, and its path is not taken for a pattern."""
    put(root, name)
    for other in ("id/Dockerfile", "abc/Dockerfile", "x/Dockerfile", "secret"):
        put(root, other)
    put(root, ".dockerignore", "*\n")
    folders = {str(folder) for folder in Path(name).parents} - {"."}
    assert pack(root, name) == {".dockerignore", name} | folders


def test_sends_what_a_dockerfile_leads_to(root: Path) -> None:
    """An ignored target of a Dockerfile link is sent, also through a linked folder."""
    put(root, "deploy/prod")
    (root / "folder").symlink_to("deploy")
    (root / "Link").symlink_to("folder/prod")
    put(root, ".dockerignore", "deploy\nLink\n")
    sent = {".dockerignore", "Dockerfile", "folder", "deploy", "deploy/prod"}
    assert pack(root, "folder/prod") == sent
    assert pack(root, "Link") == sent | {"Link"}


def test_ends_without_padding(root: Path) -> None:
    """The archive ends with two blocks of zeros: see pack."""
    pack(root)
    data = (root.parent / "context.tar").read_bytes()
    assert data.endswith(bytes(1024))
    assert data.rstrip(b"\0") + bytes(1024 + -len(data.rstrip(b"\0")) % 512) == data


def test_gives_all_files_to_root(root: Path) -> None:
    """All files belong to root, whatever user runs Mist."""
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
    """Links out of the checkout are refused: absolute, relative, or by way of another link."""
    put(root, "src/a")
    (root / "src/back").symlink_to("..")
    (root / "src/far").symlink_to(".")
    (root / "evil").symlink_to(target if "back" not in target else "src/back/../outside")
    with pytest.raises(RepositoryRefused, match="'evil' leads out of the repository"):
        pack(root)


def test_does_not_mind_links_that_are_ignored(root: Path) -> None:
    """Ignored links may lead anywhere."""
    (root / "evil").symlink_to("/etc/passwd")
    put(root, ".dockerignore", "evil\n")
    assert "evil" not in pack(root)


@pytest.mark.parametrize("name", ["../Dockerfile", "/etc/passwd", "linked", "folder/Dockerfile"])
def test_refuses_a_dockerfile_outside(root: Path, name: str) -> None:
    """A Dockerfile outside the checkout is refused, by path or by link."""
    put(root.parent, "Dockerfile")
    (root / "linked").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("..")
    with pytest.raises(RepositoryRefused, match="leads out of the repository"):
        pack(root, name)


def test_names_a_dockerfile_that_is_missing(root: Path) -> None:
    """A missing Dockerfile is named, as is one that is a folder."""
    (root / "folder").mkdir()
    for name in ("Dockerfile.prod", "folder"):
        with pytest.raises(RepositoryRefused, match=f"no Dockerfile '{name}'"):
            pack(root, name)


def test_refuses_a_dockerignore_outside(root: Path) -> None:
    """A .dockerignore outside the checkout is refused, because errors would reveal its text."""
    (root / ".dockerignore").symlink_to("/etc/passwd")
    with pytest.raises(RepositoryRefused, match=r"\.dockerignore leads out"):
        pack(root)


@pytest.mark.parametrize("line", ["a[", "[]a]", "[a-]", "!", "!/", "a\\", "[^]", "x" * 65_536])
def test_refuses_a_dockerignore_that_docker_refuses(root: Path, line: str) -> None:
    """A .dockerignore that docker refuses is refused with its pattern."""
    put(root, ".dockerignore", f"ok\n{line}\n")
    with pytest.raises(RepositoryRefused, match="dockerignore is not valid: '"):
        pack(root)


def test_bounds_the_dockerignore(root: Path) -> None:
    """A large .dockerignore is refused before it is parsed."""
    put(root, ".dockerignore", "*a\n" * 700_000)
    with pytest.raises(RepositoryRefused, match=r"larger than 262144 bytes .*ignore_bytes"):
        pack(root)


def test_no_pattern_backtracks(root: Path) -> None:
    """Matching takes linear time in the pattern and the name."""
    put(root, "a" * 200)
    put(root, ".dockerignore", "*a" * 12 + "*b\n" + "**/" + "*a" * 30 + "*b\n")
    begin = time.monotonic()
    assert "a" * 200 in pack(root)
    assert time.monotonic() - begin < 1


def test_walks_deep_trees(root: Path) -> None:
    """A tree deeper than Python's recursion limit is packed."""
    run("mkdir", "-p", "/".join(["d"] * 1500), cwd=root)
    try:
        assert len(pack(root, limits=DeploymentSettings())) == 1501
    finally:
        run("rm", "-rf", "d", cwd=root)


def test_is_bounded(root: Path) -> None:
    """The limit applies to the size of the archive."""
    put(root, "large", "x" * 50_000)
    with pytest.raises(RepositoryRefused, match="larger than 50000 bytes"):
        pack(root, limits=DeploymentSettings(context_bytes=50_000))
    assert "large" in pack(root, limits=DeploymentSettings(context_bytes=60_000))


def test_looks_at_its_guard(root: Path) -> None:
    """Packing a large checkout can be cancelled."""

    def stop() -> None:
        raise InterruptedError

    tree = Tree(root, frozenset(), 0)
    with pytest.raises(InterruptedError):
        context.pack(tree, "Dockerfile", root.parent / "context.tar", LIMITS, stop)


class TestModes:
    """The modes of a real checkout are those that Git records."""

    @pytest.fixture(params=[0o022, 0o077, 0o000, 0o777])
    def _umask(self, request: pytest.FixtureRequest) -> Iterator[None]:
        before = os.umask(request.param)
        yield
        os.umask(before)

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Repository:
        """A repository with files, scripts, links and folders, and difficult names."""
        made = Repository(tmp_path / "repo", {"Dockerfile": "", "a/b c/plain": "", "tëst\n": ""})
        for name in ("run", "a/b c/run", "a/tëst\trun", os.fsdecode(b"a/\xff run"), "-rf"):
            put(made.folder, name, "#!/bin/sh\n")
            (made.folder / name).chmod(0o755)
        (made.folder / "link").symlink_to("a/b c/run")
        (made.folder / "a/up").symlink_to("..")
        made.commit({}, "More")
        return made

    def check(self, repository: Repository, checkout: Path) -> None:
        """Compare the archive with ``git ls-tree``, and its folders with the default mode."""
        archive = checkout.parent / "context.tar"
        tree = worktree.tree(checkout, bounds(checkout.parent))
        context.pack(tree, "Dockerfile", archive, LIMITS, lambda: None)
        listed = repository.git("ls-tree", "-r", "-t", "-z", "HEAD").split("\0")
        records = (record.partition("\t") for record in listed[:-1])
        recorded = {name: head[:6] for head, _, name in records}
        with tarfile.open(archive) as tar:
            packed = {info.name: self.git_mode(info) for info in tar}
            times = {info.mtime for info in tar}
        assert packed == recorded
        assert times == {int(repository.git("log", "-1", "--format=%ct"))}

    @staticmethod
    def git_mode(info: tarfile.TarInfo) -> str:
        """Return the mode as Git writes it."""
        if info.isdir():
            assert info.mode == 0o755
            return "040000"
        return "120000" if info.issym() else f"100{info.mode:o}"

    @pytest.mark.usefixtures("_umask")
    def test_are_those_that_git_records(self, repository: Repository, tmp_path: Path) -> None:
        """Modes do not depend on the umask during the checkout or the packing."""
        if os.geteuid() != 0:
            pytest.skip("under a umask of 777 only root can read what it wrote")
        folder = tmp_path / "work"
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        git.clone(
            repository.url,
            None,
            folder / "checkout",
            bounds(folder),
            _Silent(),
        )
        self.check(repository, folder / "checkout")

    @pytest.mark.parametrize("mode", [0o600, 0o777, 0o7777, 0o444])
    def test_are_not_those_of_the_file_system(
        self, repository: Repository, tmp_path: Path, mode: int
    ) -> None:
        """Modes come from Git even if the file system does not keep them (core.fileMode)."""
        checkout = tmp_path / "checkout"
        git.clone(repository.url, None, checkout, bounds(tmp_path), _Silent())
        run("git", "config", "core.fileMode", "false", cwd=checkout)
        for path in checkout.rglob("*"):
            if not path.is_symlink() and ".git" not in path.parts:
                path.chmod(mode | 0o100 if path.is_dir() else mode)
                os.utime(path, (0, 0))
        self.check(repository, checkout)

    def test_of_folders_hold_where_they_are_ignored_but_for_a_file(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        """The folders of a file that is sent are sent with their modes, even if ignored."""
        repository.commit({".dockerignore": "a\n!a/b c/run\n"}, "Ignore")
        checkout = tmp_path / "checkout"
        git.clone(repository.url, None, checkout, bounds(tmp_path), _Silent())
        archive = tmp_path / "context.tar"
        tree = worktree.tree(checkout, bounds(checkout.parent))
        context.pack(tree, "Dockerfile", archive, LIMITS, lambda: None)
        with tarfile.open(archive) as tar:
            below = {info.name: info.mode for info in tar if info.name.startswith("a")}
        assert below == {"a": 0o755, "a/b c": 0o755, "a/b c/run": 0o755}

    @pytest.mark.parametrize("moment", [-5, 2**62])
    def test_times_make_sense(self, root: Path, moment: int) -> None:
        """Times are valid, although the author of a commit chooses its date."""
        archive = root.parent / "context.tar"
        tree = Tree(root, frozenset(), moment)
        context.pack(tree, "Dockerfile", archive, LIMITS, lambda: None)
        with tarfile.open(archive) as tar:
            times = [info.mtime for info in tar]
        assert times
        assert 0 <= min(times) <= max(times) <= time.time()


class _Silent:
    """A listener that ignores a clone's output."""

    def lines(self, texts: list[str]) -> None:
        """Ignore lines."""

    def percent(self, number: int) -> None:
        """Ignore progress."""


def test_a_chain_of_links_that_nothing_can_follow(root: Path) -> None:
    """A link through thousands of others is refused, like one that leads out."""
    (root / "link-0").symlink_to("Dockerfile")
    for number in range(1, 2_000):
        (root / f"link-{number}").symlink_to(f"link-{number - 1}")
    with pytest.raises(RepositoryRefused, match="link-"):
        pack(root)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("self")])
def test_a_dockerfile_that_cannot_be_read(root: Path, make: Callable[[Path], None]) -> None:
    """A FIFO or a loop of links in the place of the Dockerfile is refused at once."""
    make(root / "self")
    with pytest.raises(RepositoryRefused, match="self"):
        pack(root, "self")


def test_what_is_neither_file_nor_directory(root: Path) -> None:
    """A FIFO, from which a read might never return, is refused by its name."""
    (root / "src").mkdir()
    os.mkfifo(root / "src/fifo")
    with pytest.raises(RepositoryRefused, match=r"'src/fifo' is not a file"):
        pack(root)


def test_many_patterns_on_many_directories_take_little_memory(root: Path) -> None:
    """What the patterns matched is kept for one chain of directories at a time."""
    (root / ".dockerignore").write_text("x\n" * 20_000)
    for number in range(500):
        (root / f"directory-{number}").mkdir()
    tracemalloc.start()
    try:
        names = set(ignore.walk(root, context.ignored(root, 262_144), lambda: None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(names) == 502
    assert peak < 12_000_000
