"""Tests of when the master retries, on a clock that the test sets."""

from __future__ import annotations

import signal

import pytest

from api.server.attempts import Attempts, explain_end, explain_hanging
from api.server.worker_status import Failure, WorkerStatus
from mist.errors import Exit, SettingsError
from mist.settings import ServerSettings, Settings, SupervisorSettings

SETTINGS = Settings(
    server=ServerSettings(start_seconds=30.0),
    supervisor=SupervisorSettings(
        backoff_seconds=1.0, backoff_limit_seconds=8.0, crash_limit=4, crash_window_seconds=60.0
    ),
)
CRASH = Failure(Exit.FAILURE, "a worker crashed")


def test_the_first_worker_waits_for_nothing() -> None:
    """The first worker starts without a wait, whatever the time."""
    assert Attempts(SETTINGS, 1, 1000.0).due == 1000.0


def test_each_failure_makes_the_next_worker_wait_longer() -> None:
    """Each failure doubles the wait, up to the limit."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    waits = []
    for now in (0.0, 1.0, 3.0, 7.0, 15.0):
        attempts.note_failure(CRASH, now)
        waits.append(attempts.due - now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(
    "status",
    [Exit.USAGE, Exit.SOFTWARE, Exit.CANNOT_CREATE, Exit.NO_PERMISSION, Exit.BAD_CONFIG],
)
def test_what_only_a_person_can_change_is_hopeless(status: Exit) -> None:
    """A failure that only a person can fix is not retried."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    failure = Failure(status, "wrong")
    attempts.note_failure(failure, 0.0)
    assert attempts.hopeless(failure)


@pytest.mark.parametrize("status", [Exit.FAILURE, Exit.UNAVAILABLE, Exit.TEMPORARY])
def test_what_may_pass_is_tried_again(status: Exit) -> None:
    """A temporary failure is retried until there are too many in a short time."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    failure = Failure(status, "away")
    found = []
    for now in range(4):
        attempts.note_serving(float(now))
        attempts.note_failure(failure, float(now))
        found.append(attempts.hopeless(failure))
    assert found == [False, False, False, True]
    assert attempts.failures == 4


def test_several_workers_may_fail_at_once() -> None:
    """The failure limit applies to each process, so several workers may fail at once."""
    attempts = Attempts(SETTINGS, 2, 0.0)
    found = []
    for _ in range(8):
        attempts.note_failure(CRASH, 0.0)
        found.append(attempts.hopeless(CRASH))
    assert found == [False] * 7 + [True]


def test_a_service_that_does_not_serve_is_not_tried_for_ever() -> None:
    """A service that does not become ready in time is given up."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    attempts.note_failure(CRASH, 28.0)
    assert not attempts.hopeless(CRASH)
    attempts.note_failure(CRASH, 29.0)
    assert attempts.hopeless(CRASH)


def test_a_service_that_has_served_starts_with_new_patience() -> None:
    """Occasional crashes of a working service do not add up."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    for now in range(0, 10_000, 100):
        attempts.note_serving(float(now))
        attempts.note_failure(CRASH, float(now))
        assert attempts.due == now + 1.0
        assert not attempts.hopeless(CRASH)


def test_the_same_failure_again_is_known() -> None:
    """A repeated failure is recognised, so that the log need not repeat it."""
    attempts = Attempts(SETTINGS, 1, 0.0)
    found = []
    for reason in ("a", "a", "b", "a"):
        attempts.note_failure(Failure(Exit.FAILURE, reason), 0.0)
        found.append(attempts.again)
    assert found == [False, True, False, False]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (7, "a worker ended during its start: exit status 7; see the log above"),
        (0, "a worker ended during its start: exit status 0; see the log above"),
        (-signal.SIGKILL, "a worker ended during its start: killed by SIGKILL; if memory ran out"),
        (-signal.SIGSYS, "a worker ended during its start: killed by SIGSYS; the sandbox"),
    ],
)
def test_ends_that_nobody_explains(code: int, words: str) -> None:
    """An unexplained end is described with what is known and where to look."""
    assert explain_end(WorkerStatus(), code).reason.startswith(words)
    serving = WorkerStatus()
    serving.note_serving()
    assert explain_end(serving, code).reason.startswith("a worker crashed: ")


def test_an_end_that_the_worker_has_explained() -> None:
    """An explained end keeps the worker's own text and status."""
    status = WorkerStatus()
    status.note_failure(SettingsError("server.bind", "wrong"))
    assert explain_end(status, 3) == Failure(Exit.BAD_CONFIG, "server.bind: wrong")


def test_a_worker_that_hangs() -> None:
    """The text about a worker that hangs names the setting."""
    assert "within 30 s of its start" in explain_hanging(30.0).reason
    assert "server.start_seconds" in explain_hanging(30.0).reason
