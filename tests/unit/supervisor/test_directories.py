"""Tests of a service's directories and their lock."""

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
    """Directories that do not exist yet."""
    return Paths(tmp_path / "state" / "home", tmp_path / "volatile" / "run")


def test_directories_are_made_for_this_user_and_group(paths: Paths) -> None:
    """Directories and their parents are made for this user and group alone."""
    directories.prepare(paths)
    for directory in (paths.home, paths.home / "deployments", paths.runtime):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o007 == 0


def test_directories_that_are_there_are_kept(paths: Paths) -> None:
    """Existing directories are kept; only a group's earlier right to write is removed."""
    directories.prepare(paths)
    paths.home.chmod(0o2770)
    directories.prepare(paths)
    assert stat.S_IMODE(paths.home.stat().st_mode) == 0o2750


def test_home_that_others_can_change(paths: Paths) -> None:
    """A home that every user could replace is refused, sticky or not."""
    directories.prepare(paths)
    for mode in (0o777, 0o1777):
        paths.home.chmod(mode)
        with pytest.raises(UnsafeDirectory, match=f"MIST_HOME.*chmod o-w {paths.home}"):
            directories.prepare(paths)


def test_second_service_on_the_same_state(paths: Paths) -> None:
    """A second service on the same state learns which process holds it and what to do."""
    directories.prepare(paths)
    other = paths._replace(runtime=paths.runtime.with_name("other"))
    directories.prepare(other)
    with directories.lock(paths), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        directories.lock(other)


def test_second_service_on_the_same_sockets(paths: Paths) -> None:
    """A second service on the same sockets is refused, even with another state."""
    directories.prepare(paths)
    other = paths._replace(home=paths.home.with_name("other"))
    directories.prepare(other)
    with directories.lock(paths), pytest.raises(AlreadyRunning, match=str(paths.runtime)):
        directories.lock(other)


def test_lock_ends_with_its_holder(paths: Paths) -> None:
    """A lock left by a dead service does not block a new one."""
    directories.prepare(paths)
    directories.lock(paths).close()
    directories.lock(paths).close()


def test_sockets_go_with_their_holder(paths: Paths) -> None:
    """Only the service's own sockets are removed, because the directory may hold others."""
    directories.prepare(paths)
    with directories.lock(paths):
        for name in ("events", "control", "theirs"):
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(paths.runtime / name))
    assert [path.name for path in paths.runtime.iterdir() if path.is_socket()] == ["theirs"]


def test_directory_that_cannot_be_made(paths: Paths, tmp_path: Path) -> None:
    """A directory that cannot be made is reported with its path and the variable."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UnsafeDirectory, match="MIST_HOME") as raised:
        directories.prepare(paths)
    assert raised.value.exit_status is Exit.CANNOT_CREATE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
def test_disk_that_is_full(paths: Paths) -> None:
    """A full disk is reported with the file and advice before anything else is tried."""
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
    """A runtime directory in which every user could replace sockets is refused."""
    directories.prepare(paths)
    paths.runtime.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="MIST_RUNTIME"):
        directories.prepare(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_of_somebody_else(paths: Paths) -> None:
    """A runtime directory of another user is refused, because its owner could replace sockets."""
    directories.prepare(paths)
    os.chown(paths.runtime, 12345, -1)
    with pytest.raises(UnsafeDirectory, match="belongs to user 12345"):
        directories.prepare(paths)


def test_runtime_with_too_long_a_name(tmp_path: Path) -> None:
    """A path too long for a socket is reported more clearly than by the kernel."""
    with pytest.raises(UnsafeDirectory, match="too long"):
        directories.prepare(Paths(tmp_path, tmp_path / ("x" * 100)))


def test_sockets_are_born_for_this_user_alone() -> None:
    """A socket is accessible to this user alone even before its mode is set."""
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
    """A planted link is refused, because it could lead a deployment's work anywhere."""
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
    """A folder of another user is refused, because its owner could replace a deployment's files."""
    directories.prepare(paths)
    os.chown(paths.home / name, 12345, 12345)
    with pytest.raises(UnsafeDirectory, match=str(paths.home / name)):
        directories.prepare(paths)
