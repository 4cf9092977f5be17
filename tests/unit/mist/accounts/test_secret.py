"""Tests of the key that signs sessions."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mist.accounts import secret
from mist.errors import Exit, SettingsError
from mist.paths import Paths

_LOAD = (
    "import sys; from pathlib import Path; from mist.paths import Paths;"
    "from mist.accounts import secret; home = Path(sys.argv[1]);"
    "print(secret.load_or_create(Paths(home, home)).decode())"
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home that does not exist yet."""
    return Paths(tmp_path / "home", tmp_path / "run")


def test_a_key_is_made_once(paths: Paths) -> None:
    """A key is generated once; its file is readable by this user and its group."""
    key = secret.load_or_create(paths)
    assert len(key) >= 32
    assert secret.load_or_create(paths) == key
    assert stat.S_IMODE(paths.secret.stat().st_mode) == 0o640
    assert list(paths.home.iterdir()) == [paths.secret]


def test_processes_that_start_together_have_one_key(paths: Paths) -> None:
    """Processes that start together use the key that was made first."""
    command = [sys.executable, "-c", _LOAD, str(paths.home)]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert len({start.communicate(timeout=60)[0] for start in starts}) == 1


def test_a_key_of_another_installation_is_taken_as_it_is(paths: Paths) -> None:
    """An existing key file is used as it is, without a trailing newline."""
    paths.home.mkdir()
    paths.secret.write_text("a key that a Mist installation has made\n")
    paths.secret.chmod(0o600)
    assert secret.load_or_create(paths) == b"a key that a Mist installation has made"


@pytest.mark.parametrize(("text", "mode"), [("short", 0o600), ("", 0o600), ("x" * 64, 0o644)])
def test_a_key_that_protects_nothing_is_refused(paths: Paths, text: str, mode: int) -> None:
    """A key that is too short or readable by everyone is refused."""
    paths.home.mkdir()
    paths.secret.write_text(text)
    paths.secret.chmod(mode)
    with pytest.raises(SettingsError, match=r"at least 32 characters|every user may access it"):
        secret.load_or_create(paths)


def test_a_key_that_cannot_be_read_is_named(paths: Paths) -> None:
    """A key that cannot be read is reported with its path."""
    paths.secret.mkdir(parents=True)
    with pytest.raises(SettingsError, match="home/secret: Is a directory"):
        secret.load_or_create(paths)


def test_a_key_that_is_not_there_is_not_made_by_who_only_reads(paths: Paths) -> None:
    """A process that only reads the key, such as the web tier, does not make one."""
    paths.home.mkdir()
    with pytest.raises(SettingsError, match="start the supervisor") as raised:
        secret.load(paths)
    assert raised.value.exit_status is Exit.TEMPORARY  # systemd retries
    assert not paths.secret.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(paths: Paths) -> None:
    """A key of another user is refused unless that user owns the state."""
    secret.load_or_create(paths)
    os.chown(paths.secret, 12345, -1)
    with pytest.raises(SettingsError, match="belongs to user 12345"):
        secret.load(paths)
    os.chown(paths.home, 12345, -1)
    assert secret.load(paths)


def test_a_key_that_the_group_may_change_is_refused(paths: Paths) -> None:
    """A key that its group can write is refused, because the web tier is in that group."""
    secret.load_or_create(paths)
    paths.secret.chmod(0o660)
    with pytest.raises(SettingsError, match="chmod g-w"):
        secret.load(paths)


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_what_is_not_a_file_is_refused(paths: Paths, tmp_path: Path, kind: str) -> None:
    """Anything but a regular file is refused at once, and nothing is written to it."""
    paths.home.mkdir()
    if kind == "pipe":
        os.mkfifo(paths.secret, 0o600)
    else:
        paths.secret.symlink_to(tmp_path / "elsewhere")
    if kind == "link":
        (tmp_path / "elsewhere").write_text("x" * 64)
    with pytest.raises(SettingsError, match=r"symbolic link|not a regular file"):
        secret.load_or_create(paths)
