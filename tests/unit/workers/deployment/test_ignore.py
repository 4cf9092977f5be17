"""Compare ``.dockerignore`` with the ``docker`` command: any patterns send the same files."""

from __future__ import annotations

import io
import os
import random
import shutil
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mist.settings import DeploymentSettings
from workers.deployment import context
from workers.deployment.errors import RepositoryRefused
from workers.deployment.worktree import Tree

NAMES = ["a", "b", "A", "ab", "charts", "Charts", "a.b", "[a]", "é", "x^y", "a b", "d1", "-a", "a!"]
PIECES = [
    *("a", "b", "A", "ab", "*", "**", "?", "[^a]", "[a-c]", r"\a", r"\*", r"\[a]", "charts", "."),
    *(
        "..",
        "a.b",
        "*b",
        "a*",
        "x^y",
        "é",
        "[é]",
        "**b",
        "a**",
        r"\d",
        r"a\ b",
        "[!a]",
        "-a",
        "***",
    ),
    *("a|b", "{a}", "(a)", "a+", "$", "[]a]", "[a-", "[.]", "\ufeffa", "\\", "\t"),
]
#: Cases that a version of ours or of a library got wrong.
SINGLES = [
    *(
        "**/charts",
        "[^a]",
        r"\[a]",
        "a/../b",
        "../a",
        "/a",
        "//a",
        "a/",
        " a ",
        "!a",
        "#a",
        "**",
        ".",
    ),
    *("..", "/", "a**", "**b", "**/a", "**/a/**", "a/**/b", "*/a", "*\n!a", "*\n!*/a", "**\n!**/a"),
    *(
        "*\n!a/b",
        "a\n!a/b\na/b/a",
        r"**/\d1",
        "x^y",
        "! a",
        "!!a",
        "\ufeff*",
        "*\r\n!a\r\n",
        "a\\\n",
    ),
    *("a[", "[]a]", "[-a]", "[a-]", "!", "!/", "\\", "[[:alpha:]]", ".dockerignore\nDockerfile"),
    *("*\n!Dockerfile\n!**/b", "a?b", "a/*\n!a/a\n!a/b/c", "**/a\n!b", "****", r"\Qa\E", "[\\]"),
    # The original tests the syntax of the beginning only, and skips a byte order mark.
    *("b*\\", "b/*[]a]", "b*[", "!b*[", "b*[-a]", "[.]*[]a]", "[b]*[]a]", "[^b]*[]a]", "?*[-a]"),
    *("a|b/*.txt", "x\n\ufeffa|b/*.txt", "x\n\ufeff**/a", "x\n\ufeffa", "[!-/]*[a-]", r"\.*[]a]"),
]


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An engine that accepts what ``docker build`` sends, and builds nothing."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.sent: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        """Return no address, because the client has none here."""
        return ""

    def log_message(self, *_: object) -> None:
        """Suppress the log."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in (
            ("Api-Version", "1.41"),
            ("Ostype", "linux"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Answer a ping."""
        self._answer(b"")

    def do_GET(self) -> None:
        """Answer a ping or a question about the engine."""
        self._answer(b"{}")

    def do_POST(self) -> None:
        """Accept a build's archive."""
        body = io.BytesIO()
        while size := int(self.rfile.readline(), 16):
            body.write(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        body.seek(0)
        with tarfile.open(fileobj=body) as tar:
            assert isinstance(self.server, Engine)
            self.server.sent = {info.name for info in tar if not info.isdir()}
        self._answer(b'{"aux":{"ID":"sha256:cafe"}}\n')


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine for the ``docker`` command."""
    if shutil.which("docker") is None:
        pytest.skip("the docker command is not installed")
    with Engine(tmp_path_factory.mktemp("engine") / "s") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of many names, three levels deep."""
    folder = tmp_path_factory.mktemp("root") / "checkout"
    for name in NAMES:
        for below in ("a", "b", "Charts", "d1"):
            (folder / name / below).mkdir(parents=True)
            for leaf in ("a", "b", "c.b", "charts"):
                (folder / name / below / leaf).touch()
        (folder / f"{name}.txt").touch()
        (folder / name / "file").touch()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def docker(engine: Engine, root: Path) -> set[str] | None:
    """Return the files that ``docker build`` sends; None if it refuses the patterns."""
    environment = {
        "PATH": os.environ["PATH"],
        "DOCKER_HOST": f"unix://{engine.server_address!s}",
        "DOCKER_BUILDKIT": "0",
        "DOCKER_CONFIG": str(root.parent),
    }
    engine.sent = set()
    done = subprocess.run(
        ["docker", "build", "-q", "."],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        assert "pattern" in done.stderr, done.stderr
        return None
    assert engine.sent
    return engine.sent


def ours(root: Path) -> set[str] | None:
    """Return the files that a deployment sends; None if it refuses the patterns."""
    archive = root.parent / "context.tar"
    limits = DeploymentSettings()
    try:
        context.pack(Tree(root, frozenset(), 0), "Dockerfile", archive, limits, lambda: None)
    except RepositoryRefused:
        return None
    with tarfile.open(archive) as tar:
        return {info.name for info in tar if not info.isdir()}


@pytest.mark.parametrize("text", SINGLES)
def test_sends_what_docker_sends(engine: Engine, root: Path, text: str) -> None:
    """Case, classes, escapes, dots, exceptions and invalid lines select the same files."""
    (root / ".dockerignore").write_text(text)
    assert ours(root) == docker(engine, root)


@pytest.mark.parametrize("seed", range(60))
def test_sends_what_docker_sends_for_any_patterns(engine: Engine, root: Path, seed: int) -> None:
    """Generated patterns select the same files; the seed is the test's name."""
    chosen = random.Random(seed)

    def pattern() -> str:
        parts = [
            "".join(chosen.choices(PIECES, k=chosen.choice([1, 1, 2])))
            for _ in range(chosen.randint(1, 3))
        ]
        return chosen.choice(["", "", "!", "/"]) + "/".join(parts)

    (root / ".dockerignore").write_text("\n".join(pattern() for _ in range(chosen.randint(1, 4))))
    assert ours(root) == docker(engine, root), (root / ".dockerignore").read_text()
