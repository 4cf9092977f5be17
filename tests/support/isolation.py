"""Isolate a test run from its environment.

The tests' conftest and the bench call ``isolate`` before they start anything.
"""

from __future__ import annotations

import os
import re
import signal
from types import FrameType
from typing import Final

from tests.support.service.janitor import scratch

#: Variables that would affect the service, its engine, Git or gunicorn, such as the GIT_DIR of a
#: hook that runs the tests, or the NOTIFY_SOCKET of a systemd unit. Variables of the tests
#: themselves stay: where they keep machines, and which certificates Git trusts.
_LEAKS: Final = re.compile(
    "(?!MIST_MACHINES|GIT_SSL_)(MIST|DOCKER|CONTAINERD|GIT|GUNICORN)_.*"
    "|NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(FDS|PID)"
)
_SIGNALS: Final = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2),
)


def isolate() -> None:
    """Remove foreign settings from the environment, and give children the default signals."""
    for name in filter(_LEAKS.fullmatch, list(os.environ)):
        del os.environ[name]
    # The user's configuration is neither read nor written. Without this file the engine's clients
    # use the one in the home directory, with its proxies and credential helpers.
    docker = scratch("mist-docker-")
    (docker / "config.json").write_text("{}", "utf-8")
    os.environ["DOCKER_CONFIG"] = str(docker)
    os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    _reset_signals_of_children()


def _reset_signals_of_children() -> None:
    """Replace ignored signals by a handler that does nothing, and unblock all signals.

    A shell script starts its background jobs with SIGINT and SIGQUIT ignored, and ``nohup``
    ignores SIGHUP. Children inherit ignored signals but not handlers, so this process behaves
    as before, and its children start with the defaults.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""
