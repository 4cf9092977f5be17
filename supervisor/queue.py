"""The queue of deployments: what may start, and what the others wait for.

Without I/O: rows of the store go in, ids and texts come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mist.store import Deployment


class Plan(NamedTuple):
    """``start`` in this order; ``messages`` are for those that go on waiting."""

    start: list[Deployment]
    messages: dict[int, str]


def plan(pending: Iterable[Deployment], running: Mapping[int, int], concurrency: int) -> Plan:
    """What to do about the ``pending`` (in order of arrival, none of them running).

    ``running`` maps a running deployment to its application.  One at a time
    runs for an application, ``concurrency`` in all; a deployment that waits for
    its application lets those of others pass.  One that was cancelled is
    started whatever runs: all its runner does is to say so.
    """
    busy = {app: deployment for deployment, app in running.items()}
    free = concurrency - len(running)
    start: list[Deployment] = []
    waiting: list[tuple[Deployment, str]] = []
    for row in pending:
        if row.cancelled_by is not None:
            start.append(row)
        elif row.app_id in busy:
            waiting.append((row, f"deployment {busy[row.app_id]} of this app"))
        elif free <= 0:
            waiting.append((row, _for_a_place(concurrency)))
        else:
            start.append(row)
            busy[row.app_id] = row.id
            free -= 1
    return Plan(start, _messages(waiting))


def _messages(waiting: list[tuple[Deployment, str]]) -> dict[int, str]:
    total = len(waiting)
    return {
        row.id: f"Queued: {ordinal(place)} of {total}, waits for {what}"
        for place, (row, what) in enumerate(waiting, 1)
    }


def _for_a_place(concurrency: int) -> str:
    if concurrency == 1:
        return "the running deployment to end"
    return f"one of the {concurrency} running deployments to end"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, … 11th, 12th, 13th, … 21st."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
