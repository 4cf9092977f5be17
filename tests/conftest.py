"""What every test begins with, and the nets below a test that hangs.

The first net is pytest-timeout: the signal it sends makes the test fail, and the run
goes on. It holds for the test itself, and once more for the end of its fixtures, for
which pytest-timeout alone has no limit once the test has failed. The second net ends
the run, and shows where it hung, if that test swallows the failure of the first one.
"""

from __future__ import annotations

import faulthandler
import os
import sys

import hypothesis
import pytest
from pytest_timeout import Settings

from tests.support import isolation

isolation.isolate()

# A shared machine stops for longer than hypothesis' 200 ms now and then; pytest-timeout
# bounds the whole test.
hypothesis.settings.register_profile("mist", deadline=None)
hypothesis.settings.load_profile("mist")

_stderr = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make both limits settings, so that a test of them can be quick."""
    parser.addini("teardown_timeout", "seconds for the fixtures of a test to end", default="120")
    parser.addini("timeout_grace", "seconds from the first net to the second", default="60")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real standard error: that of a test goes to pytest's own files."""
    config.stash[_stderr] = os.dup(sys.stderr.fileno())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Give the fixtures a limit of their own."""
    if item.config.getoption("timeout") != 0:  # a debugger's user says --timeout 0
        seconds = float(item.config.getini("teardown_timeout"))
        settings = Settings(seconds, "signal", False, False)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> None:
    """Hang the second net below the first."""
    _end_run_after(item.config, settings.timeout)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer() -> None:
    """Take both away."""
    faulthandler.cancel_dump_traceback_later()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait for threads and clean-up of the interpreter only so long."""
    _end_run_after(config, float(config.getini("teardown_timeout")))


def _end_run_after(config: pytest.Config, seconds: float) -> None:
    seconds += float(config.getini("timeout_grace"))
    faulthandler.dump_traceback_later(seconds, exit=True, file=config.stash[_stderr])
