"""Files in an image have the modes that Git records, whatever the service's umask."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.programs import run

#: Prints the mode and name of everything below /src, as busybox formats it.
SHOW = "/bin/busybox find /src -print0 | /bin/busybox xargs -0 /bin/busybox stat -c '%a %n'"

FILES = {
    "Dockerfile": dockerfile(
        "COPY . /src",
        "COPY --chown=1000 data/private.txt /chowned",
        f"RUN {SHOW}",
        "USER 1000",
        "RUN cat /src/data/private.txt /chowned && /src/bin/tool && /src/link",
        run=SERVE,
    ),
    ".dockerignore": "data\n!data/private.txt\n",
    "data/private.txt": "read it\n",
    "data/left-out.txt": "",
    "bin/tool": "#!/bin/sh\necho the tool runs as a user\n",
}


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o000])
def test_modes_are_those_that_git_records(deployer: Deployer, container: str, umask: int) -> None:
    """A user in the image can read copied files and run executable ones."""
    deployer.umask = umask
    repository = deployer.repository(FILES)
    (repository.folder / "bin/tool").chmod(0o700)
    (repository.folder / "link").symlink_to("bin/tool")
    repository.commit({}, "A tool")
    row = deployer.deploy(deployer.app(repository.url, container=container))
    assert row.status == "success", deployer.text(row.id)
    shown = deployer.text(row.id).splitlines()
    assert shown.count("read it") == 2
    assert shown.count("the tool runs as a user") == 2
    modes = {
        "755 /src",
        "755 /src/bin",
        "755 /src/bin/tool",
        "755 /src/data",
        "644 /src/data/private.txt",
        "644 /src/Dockerfile",
        "777 /src/link",
    }
    assert modes <= set(shown)
    assert not any("left-out" in line for line in shown if line.startswith(("644", "600")))


def test_what_did_not_change_is_taken_from_the_cache(deployer: Deployer, container: str) -> None:
    """Unchanged files come from the build cache; the engine does not compare their times."""
    deployer.limits["keep_images"] = 5
    repository = deployer.repository(FILES)
    (repository.folder / "bin/tool").chmod(0o755)
    (repository.folder / "link").symlink_to("bin/tool")
    repository.commit({}, "A tool")
    app = deployer.app(repository.url, container=container)
    assert deployer.deploy(app).status == "success"
    repository.git("commit", "-q", "--allow-empty", "--date=2001-01-01", "-m", "Nothing")
    row = deployer.deploy(app)
    steps = FILES["Dockerfile"].count("\n") - 1
    assert deployer.text(row.id).count("---> Using cache") == steps
    (repository.folder / "bin/tool").chmod(0o644)
    repository.commit({}, "A mode is a change")
    assert deployer.deploy(app).status == "failed"


def test_a_plain_build_has_the_same_files(deployer: Deployer, container: str) -> None:
    """A plain build has the same files, even where Git attributes change a file at checkout."""
    files = FILES | {".gitattributes": "*.txt text eol=crlf\n*.id ident\n", "a.id": "$Id$\n"}
    dump = "RUN cd /src && cat .gitattributes a.id data/private.txt | /bin/busybox md5sum"
    files["Dockerfile"] = dockerfile("COPY . /src", dump)
    repository = deployer.repository(files)
    row = deployer.deploy(deployer.app(repository.url, container=container))
    assert row.status == "success", deployer.text(row.id)
    plain = deployer.directory / "plain"
    run("git", "clone", "-q", repository.url, plain)
    names = [".gitattributes", "a.id", "data/private.txt"]
    joined = b"".join((plain / name).read_bytes() for name in names)
    assert b"\r\n" in (plain / "data/private.txt").read_bytes()
    assert hashlib.md5(joined).hexdigest() in deployer.text(row.id)
