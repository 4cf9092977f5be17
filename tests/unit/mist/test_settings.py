"""Tests of the settings: defaults, file, environment, and errors."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from mist import settings
from mist.errors import Exit, SettingsError
from mist.settings import Settings

ETC = Path(__file__).parents[3] / "etc" / "mist.toml"


def _load(path: Path, text: str, **environment: str) -> Settings:
    path.write_text(text, "utf-8")
    return settings.load_settings({"MIST_CONFIG": str(path), **environment})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file that does not exist yet."""
    return tmp_path / "mist.toml"


def test_the_shipped_file_holds_every_default() -> None:
    """``etc/mist.toml`` has every key with its default."""
    shipped = tomllib.loads(ETC.read_text("utf-8"))
    assert shipped == msgspec.json.decode(msgspec.json.encode(Settings()))


def test_the_shipped_file_explains_every_section() -> None:
    """Every key in the file has a comment above it or above its neighbour."""
    lines = ETC.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("["):
            assert lines[number + 1].startswith("#"), line


def test_no_file_means_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file is optional."""
    monkeypatch.setattr(settings, "DEFAULT_FILE", tmp_path / "none.toml")
    assert settings.load_settings({}) == Settings()


def test_file_wins_over_defaults(file: Path) -> None:
    """The file overrides the defaults; missing keys keep theirs."""
    loaded = _load(file, "[server]\nworkers = 4\n")
    assert (loaded.server.workers, loaded.server.backlog) == (4, 2048)


def test_environment_wins_over_the_file(file: Path) -> None:
    """Variables override the file, for numbers, texts and lists."""
    loaded = _load(
        file,
        "[server]\nworkers = 4\n",
        MIST_SERVER_WORKERS="2",
        MIST_SERVER_BIND="0.0.0.0:80",
        MIST_SERVER_ALLOWED_ORIGINS="https://a.example https://b.example",
        MIST_COLLECTOR_LINGER_SECONDS="0.5",
    )
    assert loaded.server.workers == 2
    assert loaded.server.bind == "0.0.0.0:80"
    assert loaded.server.allowed_origins == ("https://a.example", "https://b.example")
    assert loaded.collector.linger_seconds == 0.5


def test_foreign_variables_are_left_alone() -> None:
    """State variables and other programs' MIST_… variables are not settings."""
    environment = {"MIST_HOME": "/x", "MIST_RUNTIME": "/y", "MIST_UPSTREAM_URL": "z"}
    assert settings.load_settings({**environment, "MIST_CONFIG": str(ETC)}) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nworker = 2\n", "worker"),
        ("[servers]\n", "servers"),
        ("[server]\nworkers = 'two'\n", "server.workers"),
        ("[server]\nworkers = 0\n", "server.workers"),
        ("[server]\nworkers = true\n", "server.workers"),
        ("[replay]\nbytes = 10\n", "replay.bytes"),
        ("[server\n", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_told(file: Path, text: str, told: str) -> None:
    """A mistake in the file is reported with the file and the key."""
    with pytest.raises(SettingsError) as caught:
        _load(file, text)
    assert str(file) in str(caught.value)
    assert told in str(caught.value)
    assert caught.value.exit_status is Exit.BAD_CONFIG


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MIST_SERVER_WORKERS", "many", "server.workers"),
        ("MIST_SERVER_WORKERS", "-1", "server.workers"),
        ("MIST_SERVER_WORKERZ", "1", "MIST_SERVER_WORKERZ"),
        ("MIST_LOG_LEVEL", "\udcff", "MIST_LOG_LEVEL: not UTF-8"),
    ],
)
def test_a_wrong_variable_is_told(name: str, value: str, told: str) -> None:
    """A mistake in the environment is reported with the variable."""
    with pytest.raises(SettingsError) as caught:
        settings.load_settings({"MIST_CONFIG": str(ETC), name: value})
    assert told in str(caught.value)
    assert str(ETC) not in str(caught.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A missing file named by MIST_CONFIG is an error, not the defaults."""
    with pytest.raises(SettingsError, match="no such file"):
        settings.load_settings({"MIST_CONFIG": str(tmp_path / "gone.toml")})


def test_a_binary_file_is_refused(file: Path) -> None:
    """A binary file is refused."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not a TOML file"):
        settings.load_settings({"MIST_CONFIG": str(file)})


def test_a_directory_is_told(tmp_path: Path) -> None:
    """An unreadable file is reported in the operating system's words."""
    with pytest.raises(SettingsError, match="directory"):
        settings.load_settings({"MIST_CONFIG": str(tmp_path)})
