"""Tests of how far a worker is ahead of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.server import accept_balance
from api.server.accept_balance import AcceptShare


@pytest.fixture
def shares() -> Iterator[list[AcceptShare]]:
    """Three workers."""
    yield [AcceptShare(age) for age in (1, 2, 3)]
    for age in (1, 2, 3):
        accept_balance.release(age)


def test_lead_is_over_the_worker_with_the_fewest(shares: list[AcceptShare]) -> None:
    """The lead is measured against the least loaded worker, so that a new one can catch up."""
    for share, connections in zip(shares, (10, 20, 50), strict=True):
        share.publish(connections)
    assert [shares[0].lead(10), shares[1].lead(20), shares[2].lead(50)] == [0, 10, 40]


def test_a_worker_alone_is_never_ahead(shares: list[AcceptShare]) -> None:
    """A lone worker is never ahead."""
    shares[0].publish(1_000)
    assert shares[0].lead(1_000) == 0


def test_a_worker_that_is_gone_does_not_count(shares: list[AcceptShare]) -> None:
    """A worker that withdrew or ended does not count."""
    for share, connections in zip(shares, (0, 5, 100), strict=True):
        share.publish(connections)
    shares[0].withdraw()
    assert shares[2].lead(100) == 95
    accept_balance.release(2)
    assert shares[2].lead(100) == 0
