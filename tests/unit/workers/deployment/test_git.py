"""Tests of Git with real repositories: what it fetches, and what it must not run."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from mist.settings import DeploymentSettings
from tests.support.lfs_server import lfs_server
from tests.support.service.deployments import Repository
from tests.support.service.programs import run
from tests.support.wait import wait_until
from workers.deployment import git, git_program, worktree
from workers.deployment.bounds import Bounds
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import Cancelled, GitFailed, RepositoryRefused, TimedOut


class Heard:
    """A listener that records a clone's output."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.percents: list[int] = []

    def lines(self, texts: list[str]) -> None:
        """Record lines."""
        self.said += texts

    def percent(self, number: int) -> None:
        """Record progress."""
        self.percents.append(number)


@pytest.fixture
def cancellation() -> CancellationToken:
    """A cancellation that never stops anything."""
    return CancellationToken(lambda: None, 60)


def bounded(
    tmp_path: Path, cancellation: CancellationToken, limits: DeploymentSettings | None = None
) -> Bounds:
    """Return the bounds of checkouts in ``tmp_path``."""
    return Bounds(tmp_path, limits or DeploymentSettings(), cancellation)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that each attack tries to make and that must not exist."""
    return tmp_path / "marker"


@pytest.fixture
def trap(tmp_path: Path, marker: Path) -> Path:
    """A program that makes the marker."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one file."""
    return Repository(tmp_path / "repo", {"a.txt": "first\n"})


def clone(
    url: str, tmp_path: Path, cancellation: CancellationToken, branch: str | None = None
) -> Path:
    """Clone into a new folder and return it."""
    git.clone(url, branch, tmp_path / "checkout", bounded(tmp_path, cancellation), Heard())
    return tmp_path / "checkout"


class TestClone:
    """Successful clones and their content."""

    def test_gives_the_commit(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A clone gives the newest commit's hash and subject, the files, and Git's progress."""
        newest = repository.commit({"b.txt": "second\n"}, "Second commit\n\nWith more words.")
        heard = Heard()
        commit = git.clone(
            repository.url, None, tmp_path / "checkout", bounded(tmp_path, cancellation), heard
        )
        assert commit == (newest, "Second commit")
        assert (tmp_path / "checkout/b.txt").read_text() == "second\n"
        assert heard.percents[-1] == 100
        assert any(line.startswith("Receiving objects: 100%") for line in heard.said)
        assert not any(str(tmp_path) in line for line in heard.said)

    def test_is_shallow(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A clone is shallow, because a build does not need the history."""
        repository.commit({"b.txt": ""}, "Second commit")
        checkout = clone(repository.url, tmp_path, cancellation)
        assert run("git", "rev-list", "--count", "HEAD", cwd=checkout).strip() == "1"

    def test_takes_a_repository_that_is_only_files(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A server that only serves files, without shallow clones, can be cloned."""
        repository.git("update-server-info")
        handler = partial(SimpleHTTPRequestHandler, directory=str(repository.folder / ".git"))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/"
            assert (clone(url, tmp_path, cancellation) / "a.txt").read_text() == "first\n"
            server.shutdown()

    def test_cuts_a_long_subject(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A long subject is cut for the log, the store and the bus."""
        message = tmp_path / "message"
        message.write_text("x" * 20_000_000)
        repository.git("commit", "-q", "--allow-empty", "-F", str(message))
        commit = git.clone(
            repository.url, None, tmp_path / "checkout", bounded(tmp_path, cancellation), Heard()
        )
        assert commit.subject == "x" * 4096 + " … [truncated]"

    def test_shows_a_whole_subject(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Control characters hide no part of a subject; programs that show it escape them."""
        message = tmp_path / "message"
        message.write_bytes(b"Wipe the disk\rFix cats \x1b]0;x\x07\r\n\r\nBody\r\n")
        repository.git("commit", "-q", "--allow-empty", "-F", str(message))
        commit = git.clone(
            repository.url, None, tmp_path / "checkout", bounded(tmp_path, cancellation), Heard()
        )
        assert commit.subject == "Wipe the disk\rFix cats \x1b]0;x\x07"

    @pytest.mark.parametrize("version", [0, 2])
    def test_takes_a_server_without_shallow_clones(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken, version: int
    ) -> None:
        """A server without the capability gives the whole history."""
        with unshallow_server(repository.folder, version) as url:
            assert (clone(url, tmp_path, cancellation) / "a.txt").read_text() == "first\n"

    @pytest.mark.parametrize("head", ["main", "nowhere"])
    def test_names_a_default_branch_without_a_commit(
        self, tmp_path: Path, cancellation: CancellationToken, head: str
    ) -> None:
        """An empty repository, or a HEAD that names no branch, is told with what to do."""
        run("git", "init", "-q", "-b", "main", str(tmp_path / "repo"))
        if head != "main":
            run("rm", "-rf", str(tmp_path / "repo"))
            repository = Repository(tmp_path / "repo", {"a.txt": "first\n"})
            repository.git("symbolic-ref", "HEAD", f"refs/heads/{head}")
        with pytest.raises(GitFailed, match=r"no commit in its default branch.*set the app"):
            clone(f"file://{tmp_path}/repo", tmp_path, cancellation)

    def test_reads_anothers_repository_only_if_it_is_trusted(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Another user's repository is read only if it is trusted; the advice names the setting."""
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        run("chown", "-R", "1234", str(repository.folder))
        with pytest.raises(GitFailed, match=r"another user .*deployments\.trusted_repositories"):
            clone(repository.url, tmp_path, cancellation)
        git.trust([f"{tmp_path}/other"], tmp_path / "checkout")
        with pytest.raises(GitFailed, match="another user"):
            clone(repository.url, tmp_path, cancellation)
        for path in (repository.folder, repository.folder / ".git"):
            git.trust([str(path)], tmp_path / "checkout")
            assert clone(repository.url, tmp_path, cancellation).is_dir()
            run("rm", "-rf", str(tmp_path / "checkout"))

    def test_counts_files_of_lfs(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Pointers with the attribute are counted, and no files that only have the attribute."""
        assert worktree.lfs_pointers(repository.folder, bounded(tmp_path, cancellation)) == 0
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        files: dict[str, str | Path] = {
            ".gitattributes": "[attr]big filter=lfs\n*.bin filter=lfs\n*.new\nline big\n",
            "x/a.bin": pointer,
            "x/.gitattributes": "*.raw filter=lfs\n",
            "x/b.raw": pointer.replace("git-lfs.github.com", "hawser.github.com"),
            "new\nline": pointer,
            "content.bin": "version 1 of the content",
            "empty.bin": "",
            "link.bin": Path("x/a.bin"),
            "no-attribute": pointer,
        }
        repository.commit(files, "LFS")
        checkout = clone(repository.url, tmp_path, cancellation)
        assert worktree.lfs_pointers(checkout, bounded(tmp_path, cancellation)) == 2

    @pytest.mark.skipif(not shutil.which("git-lfs"), reason="needs git-lfs")
    def test_fetches_files_of_lfs(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """The content replaces the pointers, and content that is missing is an error."""
        repository.git("lfs", "install", "--local", "--skip-repo")
        repository.commit({".gitattributes": "*.bin filter=lfs\n", "x/a.bin": "content\n"}, "LFS")
        checkout = clone(repository.url, tmp_path, cancellation)
        assert (checkout / "x/a.bin").read_text().startswith("version https://git-lfs")
        bounds = bounded(tmp_path, cancellation)
        git.fetch_lfs(repository.url, checkout, bounds, Heard())
        assert (checkout / "x/a.bin").read_text() == "content\n"
        run("rm", "-rf", str(checkout), str(repository.folder / ".git/lfs"))
        checkout = clone(repository.url, tmp_path, cancellation)
        with pytest.raises(GitFailed, match="Git LFS: "):
            git.fetch_lfs(repository.url, checkout, bounds, Heard())

    @pytest.mark.skipif(not shutil.which("git-lfs"), reason="needs git-lfs")
    def test_fetches_files_of_lfs_over_http(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """The server of Git LFS gets the address's credentials, and the log does not."""
        repository.git("lfs", "install", "--local", "--skip-repo")
        repository.commit({".gitattributes": "*.bin filter=lfs\n", "x/a.bin": "content\n"}, "LFS")
        repository.git("update-server-info")
        bounds, heard = bounded(tmp_path, cancellation), Heard()
        with lfs_server(repository.folder) as url:
            checkout = clone(url, tmp_path, cancellation)
            git.fetch_lfs(url, checkout, bounds, heard)
            assert (checkout / "x/a.bin").read_text() == "content\n"
            assert "pass" not in "".join(heard.said)
            run("rm", "-rf", str(checkout), str(repository.folder / ".git/lfs"))
            checkout = clone(url, tmp_path, cancellation)
            with pytest.raises(GitFailed, match="Git LFS: Failed to fetch some objects") as failure:
                git.fetch_lfs(url, checkout, bounds, heard)
            assert "pass" not in str(failure.value)

    def test_names_what_is_missing(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A missing branch or repository is reported in Git's own words."""
        with pytest.raises(GitFailed, match="Remote branch nowhere not found"):
            clone(repository.url, tmp_path, cancellation, "nowhere")
        with pytest.raises(GitFailed, match="does not appear to be a git repository"):
            clone(f"file://{tmp_path}/nothing", tmp_path, cancellation)

    def test_takes_a_branch_for_nothing_else(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A tag or commit with the branch's name is not checked out."""
        first = repository.git("rev-parse", "HEAD").strip()
        repository.git("tag", "v1")
        repository.git("tag", "both")
        for branch in ("both", first[:7]):
            repository.git("checkout", "-q", "-b", branch)
            newest = repository.commit({"b.txt": branch}, f"Commit on {branch}")
            commit = git.clone(
                repository.url,
                branch,
                tmp_path / f"to-{branch}",
                bounded(tmp_path, cancellation),
                Heard(),
            )
            assert commit == (newest, f"Commit on {branch}")
        with pytest.raises(GitFailed, match="'v1' is a tag, not a branch"):
            clone(repository.url, tmp_path, cancellation, "v1")
        for missing in (first, first[:8], "HEAD", "heads/both", "refs/heads/both", "origin/both"):
            with pytest.raises(GitFailed, match="not found"):
                git.clone(
                    repository.url,
                    missing,
                    tmp_path / "missing",
                    bounded(tmp_path, cancellation),
                    Heard(),
                )

    def test_gives_credentials_to_the_server_alone(
        self, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Credentials go to the server alone, and into no argument that other users can read."""
        seen: list[str] = []

        def look() -> None:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.append(str(process.cmdline()))

        with GitServer(look=look) as server:
            url = server.url.replace("://", "://joe:p%40ss-hunter2@")
            with pytest.raises(GitFailed, match="Authentication failed"):
                clone(url, tmp_path, cancellation)
        expected = base64.b64encode(b"joe:p@ss-hunter2").decode()
        assert server.heard == [None, f"Basic {expected}"]
        assert any("remote-http" in arguments for arguments in seen)
        assert "hunter2" not in str(seen)
        assert expected not in str(seen)

    @pytest.mark.parametrize(
        ("host", "other"),
        [
            ("git_server", "gitXserver"),
            ("GIT.Example:443", "git.example.org"),
            ("[::1]:8443", "[::1]"),
            ("h.example.", "h.example.org"),
        ],
    )
    def test_git_finds_the_credentials_of_the_server(self, host: str, other: str) -> None:
        """Git finds the credentials for the address, however its host is written, and no other."""
        environment = git_program.environment(f"https://joe:pass-hunter2@{host}/x.git")

        def fill(place: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["git", "credential", "fill"],
                env=environment,
                input=f"url=https://{place}/x.git\n\n",
                capture_output=True,
                text=True,
                check=False,
            )

        assert "password=pass-hunter2" in fill(host).stdout
        assert fill(other).returncode != 0

    def test_gives_no_credentials_to_a_server_it_is_redirected_to(
        self, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Credentials are not sent to the target of a redirect, even if it asks for them."""
        with GitServer() as other, GitServer(other.url) as server, pytest.raises(GitFailed):
            clone(server.url.replace("://", "://joe:pass-hunter2@"), tmp_path, cancellation)
        assert other.heard
        assert set(other.heard) == {None}


class GitServer:
    """A server that refuses requests, or redirects authenticated ones to ``target``.

    ``heard`` holds each request's credentials; ``look`` is called while its client waits.
    """

    def __init__(self, target: str = "", look: Callable[[], None] = lambda: None) -> None:
        self.heard: list[str | None] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                look()
                heard.append(self.headers["Authorization"])
                self.send_response(301 if target and heard[-1] else 401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Location", target + self.path.removeprefix("/x.git"))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Suppress the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/x.git"

    def __enter__(self) -> GitServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def unshallow_server(folder: Path, version: int) -> Iterator[str]:
    """Serve a repository over git:// without the capability "shallow"; yield its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.read(int(self.rfile.read(4), 16) - 4)  # the request (gitprotocol-pack(5))
            environment = os.environ | {"GIT_PROTOCOL": f"version={version}"}
            with subprocess.Popen(
                ["git", "upload-pack", str(folder)],
                env=environment,
                stdin=self.connection,
                stdout=subprocess.PIPE,
            ) as process:
                assert process.stdout is not None
                while data := os.read(process.stdout.fileno(), 65_536):
                    hidden = data.replace(b" shallow ", b" xhallow ")
                    self.wfile.write(hidden.replace(b"fetch=shallow", b"fetch=xhallow"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"git://127.0.0.1:{server.server_address[1]}/x.git"
        server.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/repo.git"


class TestEnding:
    """Clones that do not end by themselves."""

    def test_gives_up_after_its_time(
        self, silent: str, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """A clone ends at its time limit and leaves no process."""
        before = set(psutil.Process().children(recursive=True))
        with (
            cancellation.at_most(0.5, "Cloning"),
            pytest.raises(TimedOut, match=r"Cloning: gave up after 0\.5 seconds"),
        ):
            clone(silent, tmp_path, cancellation)
        assert not set(psutil.Process().children(recursive=True)) - before

    def test_is_cancelled(self, silent: str, tmp_path: Path) -> None:
        """A cancellation ends a clone."""
        asked = iter([None, None])
        cancellation = CancellationToken(lambda: next(asked, "ada@example.com"), 0.01)
        with pytest.raises(Cancelled, match=r"ada@example\.com"):
            clone(silent, tmp_path, cancellation)

    def test_leftovers_of_a_killed_runner_end(self, tmp_path: Path) -> None:
        """Processes that work in a killed runner's folder are killed, and no others."""
        (tmp_path / "work").mkdir()
        inside = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "work")
        outside = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
        git.kill_leftovers(tmp_path / "work")
        assert inside.wait(10) == -signal.SIGKILL
        assert outside.poll() is None
        outside.kill()
        wait_until(lambda: outside.poll() is not None, "the other process to end")


class TestSafety:
    """Git cannot be made to run other programs."""

    @pytest.mark.parametrize(
        "url",
        [
            "ext::sh -c 'touch MARKER'",
            "ext::TRAP",
            "fd::7",
            "--upload-pack=TRAP",
            "-uTRAP",
            "ssh://-oProxyCommand=TRAP/x",
            "-oProxyCommand=TRAP:x",
            "foo::bar",
            "/etc",
            "ftp://example.com/x",
            "file://host/x",
        ],
    )
    def test_addresses_that_are_refused(
        self, url: str, tmp_path: Path, cancellation: CancellationToken, marker: Path, trap: Path
    ) -> None:
        """Refused addresses do not start any process."""
        url = url.replace("MARKER", str(marker)).replace("TRAP", str(trap))
        with pytest.raises(RepositoryRefused):
            clone(url, tmp_path, cancellation)
        assert not marker.exists()

    @pytest.mark.parametrize("branch", ["--upload-pack=TRAP", "-uTRAP", "a b", "a..b"])
    def test_branches_that_are_refused(
        self,
        branch: str,
        repository: Repository,
        tmp_path: Path,
        cancellation: CancellationToken,
        marker: Path,
        trap: Path,
    ) -> None:
        """A branch cannot be an option."""
        with pytest.raises(RepositoryRefused):
            clone(repository.url, tmp_path, cancellation, branch.replace("TRAP", str(trap)))
        assert not marker.exists()

    def test_git_itself_refuses_a_helper(
        self,
        tmp_path: Path,
        cancellation: CancellationToken,
        marker: Path,
        trap: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Git itself refuses the protocol of an address that is not validated."""
        monkeypatch.setattr(git, "check_address", lambda _url, _branch: None)
        with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
            clone(f"ext::{trap}", tmp_path, cancellation)
        with pytest.raises(GitFailed):
            clone(f"--upload-pack={trap}", tmp_path, cancellation)
        assert not marker.exists()

    def test_hooks_filters_and_templates_of_the_user_are_not_run(
        self,
        repository: Repository,
        tmp_path: Path,
        cancellation: CancellationToken,
        marker: Path,
        trap: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Neither the user's hooks nor filters, templates or configuration are used."""
        repository.commit({".gitattributes": "* filter=evil\n"}, "Ask for a filter")
        home = tmp_path / "home"
        (home / "template/hooks").mkdir(parents=True)
        (home / "template/hooks/post-checkout").symlink_to(trap)
        (home / ".gitconfig").write_text(
            f"[core]\nhooksPath = {home}/template/hooks\nfsmonitor = {trap}\nsshCommand = {trap}\n"
            f'[init]\ntemplateDir = {home}/template\n[filter "evil"]\nsmudge = {trap}\n'
        )
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(home / "template/hooks"))
        checkout = clone(repository.url, tmp_path, cancellation)
        assert (checkout / "a.txt").exists()
        assert not marker.exists()

    def test_hooks_and_configuration_of_the_repository_are_not_run(
        self,
        repository: Repository,
        tmp_path: Path,
        cancellation: CancellationToken,
        marker: Path,
        trap: Path,
    ) -> None:
        """Neither a local repository's hooks nor its configuration are used."""
        for hook in ("post-checkout", "post-upload-pack", "pre-upload", "reference-transaction"):
            path = repository.folder / ".git/hooks" / hook
            path.unlink(missing_ok=True)
            path.symlink_to(trap)
        repository.git("config", "uploadpack.packObjectsHook", str(trap))
        repository.git("config", "core.fsmonitor", str(trap))
        assert (clone(repository.url, tmp_path, cancellation) / "a.txt").exists()
        assert not marker.exists()

    @pytest.mark.parametrize(
        "module",
        [
            '[submodule "x"]\npath = ../outside\nurl = https://example.com/x\n',
            '[submodule "x"]\npath = /outside\nurl = https://example.com/x\n',
            '[submodule "../../x"]\npath = x\nurl = https://example.com/x\n',
            '[submodule "x"]\npath = x\nurl = ext::sh -c true\n',
            '[submodule "x"]\npath = x\nurl = --upload-pack=true\n',
            '[submodule "x"]\npath = -x\nurl = https://example.com/x\n',
        ],
    )
    def test_submodules_that_lead_out_are_refused(
        self, module: str, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Submodules that lead out by path, name or a program's address are refused."""
        repository.commit({".gitmodules": module}, "A submodule")
        with pytest.raises(RepositoryRefused, match="submodule"):
            clone(repository.url, tmp_path, cancellation)

    def test_a_modules_file_that_is_a_link_is_refused(
        self, repository: Repository, cancellation: CancellationToken
    ) -> None:
        """A .gitmodules that is a link is refused, because it could be any file of this machine."""
        (repository.folder / ".gitmodules").symlink_to("/etc/hostname")
        with pytest.raises(RepositoryRefused, match="symbolic link"):
            worktree.check_submodules(repository.folder, bounded(repository.folder, cancellation))

    def test_no_submodule_is_fetched(
        self, repository: Repository, tmp_path: Path, cancellation: CancellationToken
    ) -> None:
        """Submodules are not fetched; a valid one stays an empty folder."""
        other = Repository(tmp_path / "other", {"secret.txt": ""})
        repository.git("-c", "protocol.file.allow=always", "submodule", "add", other.url, "sub")
        repository.commit({}, "A submodule")
        checkout = clone(repository.url, tmp_path, cancellation)
        assert not list((checkout / "sub").iterdir())

    def test_nobody_is_asked_for_a_password(self) -> None:
        """Git has no terminal, no password program, and only the environment that it needs."""
        environment = git_program.environment("https://example.com/x")
        assert environment["GIT_TERMINAL_PROMPT"] == "0"
        assert "BatchMode=yes" in environment["GIT_SSH_COMMAND"]
        assert not {"GIT_ASKPASS", "SSH_ASKPASS", "DOCKER_HOST"} & environment.keys()
        assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    "spelling",
    [
        "file://{home}/store/x",
        "file://{home}/./deployments/../store/x",
        "file:///{home}/store/x",
        "FILE://{home}/store/x",
        "file://{home}/st%6Fre/x",
        "file://{home}/store/x?y",
        "file://{tmp}/?/../home/store/x",
        "file://{tmp}/link/store/x",
        "file://{tmp}/mirror",
        "file://{home}",
    ],
)
def test_a_repository_in_the_state_is_refused(tmp_path: Path, spelling: str) -> None:
    """A repository in the state is refused, because the web tier's user can plant one there."""
    home = tmp_path / "home"
    (home / "store" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "mirror.git").symlink_to(home / "store" / "x")
    with pytest.raises(RepositoryRefused, match=r"MIST_HOME.*move the repository"):
        git.refuse_private(spelling.format(home=home, tmp=tmp_path), home)


@pytest.mark.parametrize("url", ["file://{tmp}/home2/x", "https://h/{tmp}/home/x", "git@h:x"])
def test_a_repository_elsewhere_is_not_refused(tmp_path: Path, url: str) -> None:
    """A repository whose path merely begins like the state's is accepted."""
    (tmp_path / "home").mkdir()
    git.refuse_private(url.format(tmp=tmp_path), tmp_path / "home")
