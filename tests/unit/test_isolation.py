"""Tests that the environment of a test run does not affect it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from tests.support.service.programs import run

ROOT: Final = Path(__file__).parents[2]
_PROGRAM: Final = """
import json, os, signal, subprocess
from docker.utils.config import load_general_config
from tests.support.isolation import isolate
isolate()
for number in (signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), number)
status = subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, text=True).stdout
fields = dict(line.split(":\\t") for line in status.splitlines())
# Signals 32 and 33 are the C library's own (signal(7)), and nobody can reset them.
ordinary = (1 << 31) - 1
masks = {name: int(fields[name], 16) & ordinary for name in ("SigIgn", "SigBlk")}
git = subprocess.run(["git", "config", "user.name"], stdout=subprocess.PIPE, text=True).stdout
print(json.dumps([dict(os.environ), masks, load_general_config(), git]))
"""


def _isolated(home: Path, **environment: str) -> list[Any]:
    """Return the environment, a child's signals and both configurations after ``isolate``.

    A shell that ignores signals starts the program, which sends itself some of them.
    """
    surroundings = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    shell = ("sh", "-c", 'trap "" INT QUIT HUP TERM CHLD; exec "$@"', "sh")
    shown: list[Any] = json.loads(
        run(*shell, sys.executable, "-c", _PROGRAM, env=surroundings | environment)
    )
    return shown


def test_children_begin_with_the_default_signals(tmp_path: Path) -> None:
    """A child starts with the default signals even if the run ignores some."""
    masks = _isolated(tmp_path)[1]
    assert masks == {"SigIgn": 0, "SigBlk": 0}


def test_variables_do_not_leak_in(tmp_path: Path) -> None:
    """Variables that affect the service are dropped; those of other programs stay."""
    leaks = {
        "MIST_HOME": "/var/lib/mist",
        "DOCKER_HOST": "tcp://example.com:2375",
        "DOCKER_CONFIG": "/nowhere",
        "GIT_DIR": "/nowhere",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "GUNICORN_CMD_ARGS": "--workers=9",
    }
    shown = _isolated(tmp_path, LANG="C.UTF-8", GIT_SSL_CAINFO="/c", **leaks)[0]
    assert not [name for name in leaks if shown.get(name) == leaks[name]]
    assert (shown["LANG"], shown["GIT_SSL_CAINFO"]) == ("C.UTF-8", "/c")


def test_the_users_configuration_is_not_read(tmp_path: Path) -> None:
    """Neither Docker's nor Git's user configuration is read."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"proxies": {"default": {}}}', "utf-8")
    (tmp_path / ".gitconfig").write_text("[user]\nname = me\n", "utf-8")
    assert _isolated(tmp_path)[2:] == [{}, ""]
