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


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffFROM a.io/x",
        "FROM \\\n  a.io/x",
        "FROM --platform=linux/amd64 \\ \r\n\n# a comment\n\ta.io/x\r\n",
        "# syntax=x\n# escape=`\nFROM `\n a.io/x",
        'FROM "a.io/x"',
        "FROM a.io/x AS b\nCOPY --chown=1 \\\n --from=a.io/y / /\n",
    ],
)
def test_finds_the_registries_however_a_dockerfile_is_written(text: str) -> None:
    """A byte order mark, continued lines, escape directives and quotes hide no registry."""
    assert registries.needed(text) == {"a.io"}


def test_a_backtick_at_the_end_of_a_line_continues_nothing() -> None:
    """Without the directive a backtick is part of a command."""
    assert registries.needed("RUN x=`y`\nFROM a.io/x") == {"a.io"}


@pytest.mark.parametrize("key", ["a.io", "https://a.io/v2/", "http://a.io"])
def test_reads_the_file(docker: Docker, key: str) -> None:
    """The file's logins are read, including keys of earlier versions."""
    docker.config(auths={key: {"auth": GOOD}, "b.io": {"auth": "%%%"}})
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"auths": {"a.io": {"auth": GOOD[:4] + "\r\n" + GOOD[4:] + "\n"}}}),
        json.dumps({"Auths": {"a.io": {"Auth": GOOD}}}),
        json.dumps({"auths": {"a.io": {"auth": GOOD}}}) + "\n}",
        json.dumps({"auths": {"a.io": {"auth": GOOD}}, "x": "\udcff"}, ensure_ascii=False),
    ],
)
def test_reads_the_file_as_leniently_as_docker(docker: Docker, text: str) -> None:
    """Wrapped base64, names in any case, text after the object and invalid bytes are accepted."""
    (docker.folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])


@pytest.mark.parametrize(
    "script",
    [
        """echo '{"Username":"joe","Secret":"s3:cret"}'; echo warning""",
        """echo '{"username":"joe","SECRET":"s3:cret"}'""",
    ],
)
def test_reads_an_answer_as_leniently_as_docker(docker: Docker, script: str) -> None:
    """A helper may talk after its answer, and write names in any case."""
    docker.helper("own", script)
    docker.config(credHelpers={"a.io": "own"})
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])


def test_asks_a_helper_for_the_name_it_knows(docker: Docker) -> None:
    """A helper is asked for the address under which its login was recorded."""
    docker.helper("own", f'read r; [ "$r" = https://a.io ] || exit 1; echo "$r" | ({KNOWS})')
    docker.config(credHelpers={"https://a.io": "own"})
    assert docker.logins("a.io") == ({"a.io": LOGIN}, [])
    docker.config(credsStore="own", auths={"https://a.io": {}})
    assert docker.logins("a.io")[0] == {"a.io": LOGIN}


def test_asks_a_store_for_all_its_logins(docker: Docker) -> None:
    """If a variable names the image, a store lists its logins, which need not be in the file."""
    docker.helper("store", f"""[ $1 = get ] || {{ echo '{{"a.io":"joe"}}'; exit; }}; {KNOWS}""")
    docker.config(credsStore="store")
    assert docker.logins() == ({"a.io": LOGIN}, [])
    docker.helper("store", "exit 2")
    assert docker.logins() == (
        {},
        ["No list of logins from docker-credential-store: it ended with status 2"],
    )


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
