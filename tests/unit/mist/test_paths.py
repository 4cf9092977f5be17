"""Tests of the checks for directories that another user could tamper with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mist import paths
from mist.errors import Exit, UnsafePath, UsageError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


def _environment(tmp_path: Path) -> dict[str, str]:
    return {"MIST_HOME": str(tmp_path / "home"), "MIST_RUNTIME": str(tmp_path / "run")}


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757, 0o702])
@pytest.mark.parametrize("name", ["home", "run"])
def test_a_directory_that_everybody_may_write_to_is_refused(
    tmp_path: Path, name: str, mode: int
) -> None:
    """Every command refuses a world-writable directory, sticky or not."""
    directory = tmp_path / name
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(UnsafePath, match=f"chmod o-w {directory}") as raised:
        paths.resolve_paths(_environment(tmp_path))
    assert raised.value.exit_status is Exit.NO_PERMISSION


def test_a_parent_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """A world-writable parent is refused, because any user could rename its entries."""
    (tmp_path / "run").mkdir()
    tmp_path.chmod(0o777)
    with pytest.raises(UnsafePath, match=f"chmod o-w {tmp_path}"):
        paths.resolve_paths(_environment(tmp_path))


@ROOT
def test_what_another_user_made_below_tmp_is_refused(tmp_path: Path) -> None:
    """A directory that another user made below /tmp is refused."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs = shared / "mist-0"
    theirs.mkdir(mode=0o755)
    os.chown(theirs, 12345, 12345)
    environment = {"MIST_HOME": str(tmp_path), "MIST_RUNTIME": str(theirs / "mist")}
    for made in (False, True):
        if made:
            (theirs / "mist").mkdir()
        with pytest.raises(UnsafePath, match="belongs to user 12345"):
            paths.resolve_paths(environment)


@ROOT
def test_a_link_of_another_user_is_followed_to_what_it_names(tmp_path: Path) -> None:
    """For another user's link, the directory that it leads to is checked."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    (tmp_path / "run").symlink_to(theirs)
    with pytest.raises(UnsafePath, match=str(theirs)):
        paths.resolve_paths(_environment(tmp_path))


@ROOT
def test_the_directory_of_the_services_user_is_roots_to_use(tmp_path: Path) -> None:
    """Root may use the service user's directories, such as /run/mist and /var/lib/mist."""
    for name in ("home", "run"):
        (tmp_path / name).mkdir(mode=0o750)
        os.chown(tmp_path / name, 12345, 12345)
    assert paths.resolve_paths(_environment(tmp_path)).home == tmp_path / "home"


def test_directories_that_are_still_to_be_made_are_fine(tmp_path: Path) -> None:
    """Directories that do not exist yet are accepted, because the first start makes them."""
    assert paths.resolve_paths(_environment(tmp_path)).runtime == tmp_path / "run"


@ROOT
@pytest.mark.parametrize("name", ["home", "run"])
@pytest.mark.parametrize("rest", ["", "a/../"])
def test_a_strangers_link_in_a_sticky_folder_is_refused(
    tmp_path: Path, name: str, rest: str
) -> None:
    """Another user's link in a sticky folder is refused, because it could change at any time."""
    shared, good = tmp_path / "shared", tmp_path / "good"
    shared.mkdir()
    shared.chmod(0o1777)
    (good / "a").mkdir(parents=True)
    (good / name).mkdir(mode=0o750)
    link = shared / "mist-0"
    link.symlink_to(good)
    (tmp_path / "indirect").symlink_to(link)
    for start in (link, tmp_path / "indirect"):
        environment = _environment(tmp_path)
        environment[f"MIST_{'HOME' if name == 'home' else 'RUNTIME'}"] = f"{start}/{rest}{name}"
        paths.resolve_paths(environment)  # accepted as long as it is ours
        os.chown(link, 12345, 12345, follow_symlinks=False)
        with pytest.raises(UnsafePath, match=f"{link} belongs to user 12345"):
            paths.resolve_paths(environment)
        os.chown(link, 0, 0, follow_symlinks=False)


@ROOT
def test_sockets_of_a_stranger_are_refused(tmp_path: Path) -> None:
    """Another user's sockets are refused, but not those of the state's owner."""
    for name in ("home", "run"):
        (tmp_path / name).mkdir(mode=0o750)
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(UnsafePath, match=r"MIST_RUNTIME.*belongs to user 12345"):
        paths.resolve_paths(_environment(tmp_path))
    os.chown(tmp_path / "home", 12345, 12345)
    paths.resolve_paths(_environment(tmp_path))


@ROOT
@pytest.mark.parametrize("name", ["home", "run"])
def test_a_foreign_group_that_may_write_is_refused(tmp_path: Path, name: str) -> None:
    """A group-writable directory is refused unless the group is the owner's own."""
    for each in ("home", "run"):
        (tmp_path / each).mkdir()
        os.chown(tmp_path / each, 12345, 12345)
        (tmp_path / each).chmod(0o2770)
    paths.resolve_paths(_environment(tmp_path))
    os.chown(tmp_path / name, 12345, 54321)
    with pytest.raises(UnsafePath, match=f"group 54321.*chmod g-w {tmp_path / name}"):
        paths.resolve_paths(_environment(tmp_path))


def test_paths_of_the_service_are_hidden(tmp_path: Path) -> None:
    """A path is replaced however it is reached, and the rest of the text stays."""
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    hide = paths.PathHider({link / "work/1/checkout": "the checkout", link: "MIST_HOME"})
    said = f"could not open '{tmp_path}/real/work/1/checkout/a', nor {link}/secret"
    assert hide(said) == "could not open 'the checkout/a', nor MIST_HOME/secret"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom neither HOME nor /etc/passwd knows has the home of the root."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    found = paths.locate_paths({})
    assert found == (Path("/.local/state/mist"), Path("/tmp/mist-54321/mist"))
    assert paths.locate_paths({"MIST_HOME": "/a", "MIST_RUNTIME": "/b"}) == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("variable", ["MIST_HOME", "MIST_RUNTIME"])
def test_a_path_that_is_not_utf8(variable: str) -> None:
    """Neither SQLite nor ZeroMQ takes it, so the error names the variable."""
    with pytest.raises(UsageError, match=f"is not UTF-8; set {variable}"):
        paths.locate_paths({"MIST_HOME": "/a", "MIST_RUNTIME": "/b", variable: "/\udcff"})
