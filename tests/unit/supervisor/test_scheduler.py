"""Tests of the deployment queue: what starts, and what the waiting ones are told."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mist.errors import StoreError
from mist.settings import Settings
from mist.store import Deployment
from supervisor.scheduler import Scheduler, Start, Wait, ordinal, plan
from tests.support.supervisor import FakeRows, deployment


class Case(NamedTuple):
    """Rows, the deployments with a runner, the bound, and the expected plan."""

    rows: list[Deployment]
    running: set[int]
    concurrency: int
    actions: list[Start | Wait]
    deploying: set[int]


CASES: Final = {
    "an empty queue": Case([], set(), 2, [], set()),
    "as many as may run, in order of arrival": Case(
        [deployment(n, app=n) for n in range(1, 5)],
        set(),
        2,
        [
            Start(1, False),
            Start(2, False),
            Wait(3, "Queued: 1st of 2, waits for one of the 2 running deployments to end"),
            Wait(4, "Queued: 2nd of 2, waits for one of the 2 running deployments to end"),
        ],
        {1, 2},
    ),
    "one at a time for an application, and the other says for which it waits": Case(
        [deployment(14, app=1), deployment(15, app=1)],
        set(),
        2,
        [Start(14, False), Wait(15, "Queued: 1st of 1, waits for deployment 14 of this app")],
        {1},
    ),
    "one that waits for its application holds up no other": Case(
        [deployment(1, app=1, status="building"), deployment(2, app=1), deployment(3, app=2)],
        {1},
        2,
        [Start(3, False), Wait(2, "Queued: 1st of 1, waits for deployment 1 of this app")],
        {1, 2},
    ),
    "with a concurrency of 1 there is only one to wait for": Case(
        [deployment(1, app=1, status="deploying"), deployment(2, app=2)],
        {1},
        1,
        [Wait(2, "Queued: 1st of 1, waits for the running deployment to end")],
        {1},
    ),
    "a cancelled one does not wait, for its runner only says that it was cancelled": Case(
        [
            deployment(1, app=1, status="building"),
            deployment(2, app=1),
            deployment(3, app=1, cancelled_by="a@b"),
        ],
        {1},
        1,
        [Start(3, False), Wait(2, "Queued: 1st of 1, waits for deployment 1 of this app")],
        {1},
    ),
    "a few cancelled ones are recorded at a time": Case(
        [deployment(n, app=1, cancelled_by="a newer push") for n in range(1, 6)],
        {1},
        2,
        [Start(2, False)],
        {1},
    ),
    "cancelled ones take no place": Case(
        [deployment(1, app=1, cancelled_by="a newer push"), deployment(2, app=2)],
        {1},
        1,
        [Start(2, False)],
        {1, 2},
    ),
    "no more are recorded where one waits only for them": Case(
        [
            *(deployment(n, app=1, cancelled_by="a newer push") for n in (1, 2)),
            deployment(3, app=1),
            deployment(4, app=2, cancelled_by="a@b"),
        ],
        {1},
        2,
        [Start(4, False), Wait(3, "Queued: 1st of 1, waits for deployment 1 of this app")],
        {1},
    ),
    "they are recorded while a deployment of the application runs": Case(
        [
            deployment(1, app=1, status="building"),
            *(deployment(n, app=1, cancelled_by="a newer push") for n in (2, 3)),
            deployment(4, app=1),
        ],
        {1, 2},
        2,
        [Start(3, False), Wait(4, "Queued: 1st of 1, waits for deployment 1 of this app")],
        {1},
    ),
    "an interrupted one is cleaned up first, and takes a place meanwhile": Case(
        [deployment(1, app=2), deployment(2, app=1, status="building"), deployment(3, app=3)],
        set(),
        2,
        [
            Start(2, True),
            Start(1, False),
            Wait(3, "Queued: 1st of 1, waits for one of the 2 running deployments to end"),
        ],
        {1, 2},
    ),
    "interrupted ones are cleaned up beyond the bound": Case(
        [deployment(n, app=n, status="building") for n in (1, 2)],
        set(),
        1,
        [Start(1, True), Start(2, True)],
        {1, 2},
    ),
    "a runner that has not yet touched its row counts as running": Case(
        [deployment(1, app=1), deployment(2, app=1)],
        {1},
        2,
        [Wait(2, "Queued: 1st of 1, waits for deployment 1 of this app")],
        {1},
    ),
    "a runner whose row is finished takes no place": Case(
        [deployment(2, app=2)], {1}, 1, [Start(2, False)], {2}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_plan(case: Case) -> None:
    """Each queue leads to its expected plan."""
    actions, deploying = plan(case.rows, case.running, case.concurrency)
    assert actions == case.actions
    assert deploying == case.deploying


@some.composite
def queues(draw: some.DrawFn) -> tuple[list[Deployment], set[int], int]:
    """Generate unfinished deployments, some with a runner, and a bound."""
    rows = [
        deployment(
            number,
            app=draw(some.integers(1, 4)),
            status=draw(some.sampled_from(["pending", "pending", "building", "deploying"])),
            cancelled_by=draw(some.sampled_from([None, None, None, "a@b"])),
        )
        for number in range(1, draw(some.integers(0, 12)) + 1)
    ]
    running = draw(some.sets(some.integers(1, 14), max_size=4))  # may include rows that have ended
    return rows, running, draw(some.integers(1, 4))


@given(queues())
def test_plan_holds_the_rules(queue: tuple[list[Deployment], set[int], int]) -> None:
    """Every plan keeps the bound, one runner per application and the order, and forgets no row."""
    rows, running, concurrency = queue
    by_id = {row.id: row for row in rows}
    actions, deploying = plan(rows, running, concurrency)
    begun = {row.id for row in rows if row.id in running or row.status != "pending"}
    resumed = [a.deployment_id for a in actions if isinstance(a, Start) and a.resume]
    started = [a.deployment_id for a in actions if isinstance(a, Start) and not a.resume]
    waiting = [a.deployment_id for a in actions if isinstance(a, Wait)]
    fresh = [n for n in started if by_id[n].cancelled_by is None]
    cancelled = {row.id for row in rows if row.cancelled_by and row.status == "pending"}
    closing = cancelled & {*running, *started}
    left = cancelled - closing
    deploys = begun - cancelled
    busy = {by_id[n].app_id for n in begun}

    assert len(fresh) <= max(0, concurrency - len(deploys))
    assert not cancelled & set(started) or len(closing) <= concurrency
    held = {by_id[n].app_id for n in waiting} & {by_id[n].app_id for n in cancelled & begun}
    held -= {by_id[n].app_id for n in deploys}
    assert len(closing) >= concurrency or all(by_id[n].app_id in held for n in left)
    apps = [by_id[n].app_id for n in fresh]
    assert len(set(apps)) == len(apps)
    assert not busy & set(apps)
    assert deploying == busy | set(apps)
    for ids in (resumed, fresh, [n for n in started if n in cancelled], waiting):
        assert ids == sorted(ids)
    for number in waiting:
        # A younger row passes an older one only while the older one's application is busy.
        passed = any(other > number for other in fresh)
        assert not passed or by_id[number].app_id in deploying
        assert by_id[number].app_id in deploying or len(deploys) + len(fresh) >= concurrency
    # Each row is running, cleaned up, started, told to wait or left for later, exactly once.
    assert sorted([*(begun & running), *resumed, *started, *waiting, *left]) == sorted(by_id)
    assert all(n in waiting or n in fresh or by_id[n].cancelled_by for n in by_id.keys() - begun)


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "st"), (2, "nd"), (3, "rd"), (4, "th"), (11, "th"), (12, "th"), (21, "st"), (111, "th")],
)
def test_ordinals(number: int, text: str) -> None:
    """Ordinals have their English suffixes."""
    assert ordinal(number) == f"{number}{text}"


def test_message_is_written_only_when_it_changes() -> None:
    """A queue message is written to the store only when it changes."""
    rows = FakeRows(deployment(1, app=1), deployment(2, app=1))
    scheduler, started = Scheduler(rows, Settings()), list[Start]()
    scheduler.look(set(), started.append)
    before = rows.rows[2]
    assert before.message == "Queued: 1st of 1, waits for deployment 1 of this app"
    scheduler.look({1}, started.append)
    assert rows.rows[2] is before
    assert started == [Start(1, False)]


def test_failing_store_is_looked_at_again() -> None:
    """A store failure is retried, and does not change what is known to be deploying."""
    rows, started = FakeRows(deployment(1, app=1)), list[Start]()
    scheduler = Scheduler(rows, Settings())
    rows.before = _fail
    assert scheduler.look(set(), started.append) is None
    rows.before = lambda: None
    assert scheduler.look(set(), started.append) == frozenset({1})
    assert started == [Start(1, False)]


def test_store_that_cannot_be_written_to_holds_up_no_runner() -> None:
    """A runner starts even if the queue messages cannot be written."""
    rows, started = FakeRows(deployment(1, app=1), deployment(2, app=1)), list[Start]()
    rows.before_update = _fail
    assert Scheduler(rows, Settings()).look(set(), started.append) == frozenset({1})
    assert started == [Start(1, False)]


def _fail() -> None:
    raise StoreError("the disk is full")


def test_lost_deployment_is_failed() -> None:
    """A row is failed if even its clean-up crashed."""
    rows = FakeRows(deployment(1, app=1, status="building"))
    Scheduler(rows, Settings()).lost(1)
    assert (rows.rows[1].status, rows.rows[1].error_message) == (
        "failed",
        "Interrupted by a restart",
    )


def test_a_clean_up_that_does_not_finish_is_repeated_with_a_growing_delay() -> None:
    """The first one is due at once, and the delay grows up to the limit of restarts."""
    now, started = [0.0], list[float]()
    scheduler = Scheduler(
        FakeRows(deployment(1, app=1, status="deploying")), Settings(), lambda: now[0]
    )
    for tick in range(10_000):
        now[0] = tick / 16
        scheduler.look(set(), lambda _action: started.append(now[0]))
    pauses = [after - before for before, after in pairwise(started)]
    assert started[0] == 0
    assert pauses[:4] == [0.25, 0.5, 1, 2]
    assert pauses[7:12] == [30.0] * 5


def test_a_clean_up_of_another_deployment_is_not_delayed() -> None:
    """Each deployment has a delay of its own."""
    rows, started = FakeRows(deployment(1, app=1, status="deploying")), list[Start]()
    scheduler = Scheduler(rows, Settings(), lambda: 0.0)
    scheduler.look(set(), started.append)
    rows.rows[2] = deployment(2, app=2, status="building")
    scheduler.look(set(), started.append)
    assert started == [Start(1, True), Start(2, True)]
