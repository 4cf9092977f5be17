"""The directories of a service, and that a second one stays out."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest
import zmq

from mist import process
from mist.errors import AlreadyRunning, Exit
from mist.paths import Paths
from supervisor import directories
from supervisor.directories import UnsafeDirectory
from tests.support.service.programs import run


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Directories that are still to be made."""
    return Paths(tmp_path / "state" / "home", tmp_path / "volatile" / "run")


def test_directories_are_made_for_this_user_and_group(paths: Paths) -> None:
    """With whatever is missing above them, and no right for anybody else."""
    directories.prepare(paths)
    for directory in (paths.home, paths.home / "deployments", paths.runtime):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o007 == 0


def test_directories_that_are_there_are_kept(paths: Paths) -> None:
    """The second start changes nothing, but the group's right to write, which was given once."""
    directories.prepare(paths)
    paths.home.chmod(0o2770)
    directories.prepare(paths)
    assert stat.S_IMODE(paths.home.stat().st_mode) == 0o2750


def test_home_that_others_can_change(paths: Paths) -> None:
    """The state is not kept where every user could replace it, sticky or not."""
    directories.prepare(paths)
    for mode in (0o777, 0o1777):
        paths.home.chmod(mode)
        with pytest.raises(UnsafeDirectory, match=f"MIST_HOME.*chmod o-w {paths.home}"):
            directories.prepare(paths)


def test_second_service_on_the_same_state(paths: Paths) -> None:
    """It is told who works there, and what to do."""
    directories.prepare(paths)
    other = paths._replace(runtime=paths.runtime.with_name("other"))
    directories.prepare(other)
    with directories.lock(paths), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        directories.lock(other)


def test_second_service_on_the_same_sockets(paths: Paths) -> None:
    """Another state does not help: it would take the first one's sockets away."""
    directories.prepare(paths)
    other = paths._replace(home=paths.home.with_name("other"))
    directories.prepare(other)
    with directories.lock(paths), pytest.raises(AlreadyRunning, match=str(paths.runtime)):
        directories.lock(other)


def test_lock_ends_with_its_holder(paths: Paths) -> None:
    """What a dead service left behind keeps nobody out."""
    directories.prepare(paths)
    directories.lock(paths).close()
    directories.lock(paths).close()


def test_sockets_go_with_their_holder(paths: Paths) -> None:
    """Those of the service alone: the directory may hold sockets of other programs."""
    directories.prepare(paths)
    with directories.lock(paths):
        for name in ("events", "control", "theirs"):
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(paths.runtime / name))
    assert [path.name for path in paths.runtime.iterdir() if path.is_socket()] == ["theirs"]


def test_directory_that_cannot_be_made(paths: Paths, tmp_path: Path) -> None:
    """The text names the directory and the variable."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UnsafeDirectory, match="MIST_HOME") as raised:
        directories.prepare(paths)
    assert raised.value.exit_status is Exit.CANNOT_CREATE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
def test_disk_that_is_full(paths: Paths) -> None:
    """The text names the file and says what to do, before anything else is tried."""
    directories.prepare(paths)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "mist-test", str(paths.home)]
    run(*mount)
    try:
        (paths.home / "ballast").write_bytes(b"x" * 4096)
        with pytest.raises(UnsafeDirectory, match=f"{paths.lock}: .*free some space") as raised:
            directories.lock(paths)
        assert raised.value.exit_status is Exit.CANNOT_CREATE
    finally:
        run("umount", "--lazy", paths.home)


def test_runtime_that_others_can_change(paths: Paths) -> None:
    """Sockets are not put where anybody could put others in their place."""
    directories.prepare(paths)
    paths.runtime.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="MIST_RUNTIME"):
        directories.prepare(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_of_somebody_else(paths: Paths) -> None:
    """Nor where its owner could."""
    directories.prepare(paths)
    os.chown(paths.runtime, 12345, -1)
    with pytest.raises(UnsafeDirectory, match="belongs to user 12345"):
        directories.prepare(paths)


def test_runtime_with_too_long_a_name(tmp_path: Path) -> None:
    """The kernel would refuse the sockets with less of an explanation."""
    with pytest.raises(UnsafeDirectory, match="too long"):
        directories.prepare(Paths(tmp_path, tmp_path / ("x" * 100)))


def test_sockets_are_born_for_this_user_alone() -> None:
    """Between a socket's making and the setting of its mode nobody else gets in."""
    with tempfile.TemporaryDirectory(prefix="mist-") as name, zmq.Context() as context:
        mask = os.umask(0)
        try:
            with context.socket(zmq.XSUB) as socket, process.for_this_user_alone():
                socket.bind(f"ipc://{name}/ingest")
                assert stat.S_IMODE(os.stat(f"{name}/ingest").st_mode) == 0o600
            assert os.umask(0) == 0
        finally:
            os.umask(mask)


@pytest.mark.parametrize("name", ["work", "deployments"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_planted_link_is_refused(
    paths: Paths, tmp_path: Path, name: str, *, dangling: bool
) -> None:
    """It would lead the work of a deployment anywhere."""
    paths.home.mkdir(parents=True, mode=0o750)
    elsewhere = tmp_path / "elsewhere"
    if not dangling:
        elsewhere.mkdir(mode=0o775)
    (paths.home / name).symlink_to(elsewhere)
    with pytest.raises(UnsafeDirectory, match=f"{paths.home / name} is a symbolic link"):
        directories.prepare(paths)
    assert elsewhere.exists() is not dangling


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("name", ["work", "deployments"])
def test_a_folder_of_another_user_is_refused(paths: Paths, name: str) -> None:
    """Its owner could replace what a deployment works with."""
    directories.prepare(paths)
    os.chown(paths.home / name, 12345, 12345)
    with pytest.raises(UnsafeDirectory, match=str(paths.home / name)):
        directories.prepare(paths)
