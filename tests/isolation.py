"""Keep what surrounds a test run out of it.

``isolate`` is called before anything is started: by the tests' conftest and by the bench.
"""

from __future__ import annotations

import os
import re
import signal
from types import FrameType
from typing import Final

from tests.integration.harness.janitor import scratch

#: Variables that would reach the service, its engine, Git or gunicorn, such as the
#: GIT_DIR of a hook that runs the tests, or the NOTIFY_SOCKET of a systemd unit. Where the
#: tests keep their machines, and whose certificates Git trusts, is for the tests themselves.
_LEAKS: Final = re.compile(
    "(?!MIST_MACHINES|GIT_SSL_)(MIST|DOCKER|CONTAINERD|GIT|GUNICORN)_.*"
    "|NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(FDS|PID)"
)
_SIGNALS: Final = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2),
)


def isolate() -> None:
    """Drop foreign settings from the environment, and give children the default signals."""
    for name in filter(_LEAKS.fullmatch, list(os.environ)):
        del os.environ[name]
    # The user's configuration is neither read nor written. Without this file the
    # engine's clients take the one in the home directory: proxies, credential helpers.
    docker = scratch("mist-docker-")
    (docker / "config.json").write_text("{}", "utf-8")
    os.environ["DOCKER_CONFIG"] = str(docker)
    os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    _reset_signals_of_children()


def _reset_signals_of_children() -> None:
    """Replace "ignore" by a handler that does nothing, and block nothing.

    A shell script starts its background jobs with SIGINT and SIGQUIT ignored, and
    ``nohup`` ignores SIGHUP. Children inherit that, but they do not inherit a
    handler. So this process goes on as it was started, and its children begin
    with the defaults, however they are started.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""
