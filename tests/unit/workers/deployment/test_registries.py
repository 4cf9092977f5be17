"""Tests of a build's logins, with configurations that ``docker build`` accepts."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from workers.deployment import registries
from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import Cancelled
from workers.deployment.registries import HUB

GOOD = base64.b64encode(b"joe:s3:cret\0").decode()
LOGIN = {"username": "joe", "password": "s3:cret"}
KNOWS = (
    'read r; echo "{\\"ServerURL\\":\\"$r\\",\\"Username\\":\\"joe\\",\\"Secret\\":\\"s3:cret\\"}"'
)


class Docker:
    """A folder with ``config.json`` and credential helpers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def config(self, **content: Any) -> None:
        """Write the configuration."""
        (self.folder / "config.json").write_text(json.dumps(content))

    def helper(self, name: str, script: str) -> None:
        """Make a helper from a shell script."""
        path = self.folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def logins(
        self, *wanted: str, seconds: float = 5, cancelled: str | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the logins for some registries, without their addresses, and the notes."""
        token = CancellationToken(lambda: cancelled, 0)
        found, notes = registries.logins(set(wanted) or None, seconds, token)
        assert all(login["serveraddress"] == name for name, login in found.items())
        bare = {n: {k: v for k, v in f.items() if k != "serveraddress"} for n, f in found.items()}
        return bare, notes


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """A configuration of its own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Docker(tmp_path)


def test_finds_the_registries_of_a_dockerfile() -> None:
    """The registries of base images and of copied images are found; stages are not registries."""
    text = (
        "FROM --platform=linux/amd64 a.io/x AS b\nfrom localhost/y\nCOPY --from=c:5/z / /\nFROM q"
    )
    assert registries.needed(text) == {"a.io", "localhost", "c:5", HUB}
    assert registries.needed("ARG R\nFROM $R/x") is None


@pytest.mark.parametrize("key", ["a.io", "https://a.io/v2/", "http://a.io"])
def test_reads_the_file(docker: Docker, key: str) -> None:
    """The file's logins are read, including keys of earlier versions."""
    docker.config(auths={key: {"auth": GOOD}, "b.io": {"auth": "%%%"}})
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])


@pytest.mark.parametrize("entry", ["%%%", "am9l", "OmE=", "/w=="])
def test_tells_an_odd_entry(docker: Docker, entry: str) -> None:
    """An invalid entry is reported, and the others are kept."""
    docker.config(auths={"b.io": {"auth": entry}, "a.io": {"auth": GOOD}, "c.io": None, "d.io": 3})
    found, notes = docker.logins()
    assert found == {"a.io": LOGIN}
    assert len(notes) == 1
    assert "b.io" in notes[0]


def test_resolves_as_docker_does(docker: Docker) -> None:
    """A registry's own helper comes first, then the store, then the file."""
    docker.helper("own", KNOWS)
    docker.helper("store", "echo credentials not found in native keychain; exit 1")
    docker.helper("token", """echo '{"Username":"<token>","Secret":"t"}'""")
    docker.config(
        credsStore="store",
        credHelpers={"own.io": "own", "t.io": "token"},
        auths={HUB: {"auth": GOOD}, "own.io": {"username": "x", "password": "y"}},
    )
    expected = {HUB: LOGIN, "own.io": LOGIN, "t.io": {"identitytoken": "t"}}
    assert docker.logins() == (expected, [])


@pytest.mark.parametrize(
    "script",
    [None, "exit 3", "echo nonsense", "echo '{}'", "echo '[]'", "yes", "sleep 60 & sleep 60"],
)
def test_a_broken_helper_drops_no_other_login(docker: Docker, script: str | None) -> None:
    """A helper that is missing, failing, noisy or hanging is reported and drops no other login."""
    if script:
        docker.helper("bad", script)
    docker.config(credHelpers={"b.io": "bad"}, auths={"a.io": {"auth": GOOD}})
    begin = time.monotonic()
    found, notes = docker.logins("a.io", "b.io", seconds=1)
    assert time.monotonic() - begin < 3
    assert found == {"a.io": LOGIN}
    assert notes[0].startswith("No login for b.io from docker-credential-bad: it")
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])


def test_a_hanging_helper_can_be_cancelled(docker: Docker) -> None:
    """A hanging helper can be cancelled before its time limit."""
    docker.helper("bad", "sleep 60")
    docker.config(credsStore="bad")
    with pytest.raises(Cancelled):
        docker.logins("a.io", cancelled="joe")


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_broken_file_is_told(docker: Docker, text: str) -> None:
    """A broken file is reported, and the build continues without a login."""
    (docker.folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    found, notes = docker.logins("a.io")
    assert found == {}
    assert "config.json cannot be read" in notes[0]
