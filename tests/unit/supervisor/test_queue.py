"""The queue of deployments: what starts, and what the others are told."""

from __future__ import annotations

import pytest

from mist.errors import StoreError
from mist.store import Deployment
from supervisor.deployments import Queue
from supervisor.queue import ordinal, plan
from tests.support.supervisor import FakeRows, deployment


class FakeRunners:
    """Notes what is started."""

    def __init__(self, *running: int) -> None:
        self.running = set(running)
        self.started: list[tuple[int, bool]] = []

    def running_deployments(self) -> set[int]:
        """As the test has set it, and what was started."""
        return self.running

    def run_deployment(self, deployment_id: int, *, resume: bool) -> None:
        """Note it."""
        self.started.append((deployment_id, resume))
        self.running.add(deployment_id)


def ids(rows: list[Deployment]) -> list[int]:
    """The rows' ids."""
    return [row.id for row in rows]


def test_as_many_as_may_run() -> None:
    """In order of arrival, up to the bound."""
    found = plan([deployment(n, app=n) for n in range(1, 5)], {}, 2)
    assert ids(found.start) == [1, 2]
    assert found.messages == {
        3: "Queued: 1st of 2, waits for one of the 2 running deployments to end",
        4: "Queued: 2nd of 2, waits for one of the 2 running deployments to end",
    }


def test_one_at_a_time_for_an_app() -> None:
    """The second one waits for the first, and says for which."""
    found = plan([deployment(14, app=1), deployment(15, app=1)], {}, 2)
    assert ids(found.start) == [14]
    assert found.messages == {15: "Queued: 1st of 1, waits for deployment 14 of this app"}


def test_waiting_for_an_app_holds_up_no_other() -> None:
    """A place that is free is taken by whoever may take it."""
    found = plan([deployment(2, app=1), deployment(3, app=2)], {1: 1}, 2)
    assert ids(found.start) == [3]


def test_place_is_worded_for_one() -> None:
    """With a concurrency of 1 there is only one to wait for."""
    found = plan([deployment(2, app=2)], {1: 1}, 1)
    assert found.messages == {2: "Queued: 1st of 1, waits for the running deployment to end"}


def test_cancelled_one_does_not_wait() -> None:
    """Its runner only says that it was cancelled."""
    rows = [deployment(2, app=1), deployment(3, app=1, cancelled_by="a@b")]
    found = plan(rows, {1: 1}, 1)
    assert ids(found.start) == [3]
    assert list(found.messages) == [2]


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "st"), (2, "nd"), (3, "rd"), (4, "th"), (11, "th"), (12, "th"), (21, "st"), (111, "th")],
)
def test_ordinals(number: int, text: str) -> None:
    """As English has them."""
    assert ordinal(number) == f"{number}{text}"


def test_interrupted_ones_are_cleaned_up_first() -> None:
    """What was running when the service died is resumed, and takes a place meanwhile."""
    rows = FakeRows(deployment(1, app=1, status="building"), deployment(2, app=1))
    runners = FakeRunners()
    Queue(rows, 2).look(runners)
    assert runners.started == [(1, True)]
    assert rows.rows[2].message == "Queued: 1st of 1, waits for deployment 1 of this app"


def test_running_ones_are_not_started_again() -> None:
    """A runner that has not yet touched its row counts as running."""
    rows = FakeRows(deployment(1, app=1), deployment(2, app=1))
    runners = FakeRunners(1)
    Queue(rows, 2).look(runners)
    assert runners.started == []


def test_message_is_written_only_when_it_changes() -> None:
    """The store is not written to each second."""
    rows = FakeRows(deployment(1, app=1), deployment(2, app=1))
    queue, runners = Queue(rows, 2), FakeRunners()
    queue.look(runners)
    before = rows.rows[2]
    queue.look(runners)
    assert rows.rows[2] is before


def test_failing_store_is_looked_at_again() -> None:
    """An error of the store ends nothing."""
    rows, runners = FakeRows(deployment(1, app=1)), FakeRunners()
    queue = Queue(rows, 2)
    rows.before = _fail
    queue.look(runners)
    rows.before = lambda: None
    queue.look(runners)
    assert runners.started == [(1, False)]


def _fail() -> None:
    raise StoreError("the disk is full")


def test_lost_deployment_is_failed() -> None:
    """If even the clean-up crashed, the row does not stay open."""
    rows = FakeRows(deployment(1, app=1, status="building"))
    Queue(rows, 2).lost(1)
    assert (rows.rows[1].status, rows.rows[1].error_message) == (
        "failed",
        "Interrupted by a restart",
    )
