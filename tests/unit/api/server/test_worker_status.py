"""Tests of what a worker reports to its master across a fork."""

from __future__ import annotations

import os

import pytest
from gunicorn.errors import AppImportError

from api.server.worker_status import Failure, WorkerStatus, explain
from mist.errors import Exit, MistError, SettingsError


def test_a_worker_is_trusted_when_it_says_so() -> None:
    """A worker serves once it says so, independently of the master's own flag."""
    status = WorkerStatus()
    assert (status.serves, status.replaced, status.failure) == (False, False, None)
    status.note_replaced()
    assert (status.serves, status.replaced) == (False, True)
    status.note_serving()
    assert status.serves


def test_a_failure_crosses_the_fork() -> None:
    """A failure crosses the fork, even a long one full of characters that JSON escapes."""
    status = WorkerStatus()
    pid = os.fork()
    if pid == 0:
        status.note_failure(MistError("\x01" * 100_000))
        os._exit(0)
    os.waitpid(pid, 0)
    assert status.failure is not None
    assert set(status.failure.reason) == {"\x01"}
    assert not status.serves


def test_the_longest_failure_fits() -> None:
    """A reason and a traceback at their limits fit."""
    status = WorkerStatus()
    status.note_failure(RuntimeError("\x01" * 100_000))
    assert status.failure is not None
    assert status.failure.traceback


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (SettingsError("a", "b"), Failure(Exit.BAD_CONFIG, "a: b")),
        (MistError("a"), Failure(Exit.FAILURE, "a")),
    ],
)
def test_errors_that_have_a_name(error: Exception, failure: Failure) -> None:
    """Known errors are reported with their text and status, without a traceback."""
    assert explain(error) == failure


@pytest.mark.parametrize(
    "error",
    [ImportError("gone"), ModuleNotFoundError("gone"), SyntaxError("gone"), AppImportError("gone")],
)
def test_an_installation_that_is_broken(error: Exception) -> None:
    """The text about a broken installation says what to do."""
    failure = explain(error)
    assert (failure.status, failure.traceback) == (Exit.SOFTWARE, "")
    assert "cannot be loaded: gone" in failure.reason
    assert "reinstall Mist" in failure.reason


def test_an_unexpected_error() -> None:
    """An unexpected error is reported with its traceback."""
    failure = explain(RuntimeError("a bug"))
    assert (failure.status, failure.reason) == (Exit.FAILURE, "RuntimeError: a bug")
    assert failure.traceback.endswith("RuntimeError: a bug\n")
