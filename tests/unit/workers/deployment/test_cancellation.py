"""Tests of what ends a wait."""

from __future__ import annotations

import time

import pytest

from workers.deployment.cancellation import CancellationToken
from workers.deployment.errors import Cancelled, Interrupted, TimedOut


def test_nothing_ends_a_quiet_wait() -> None:
    """An undisturbed wait takes its full time."""
    began = time.monotonic()
    CancellationToken(lambda: None, 60).pause(0.3)
    assert time.monotonic() - began >= 0.3


def test_a_cancelled_deployment_ends_it() -> None:
    """Cancelling a deployment ends its wait and names the user."""
    asked = iter([None, "ada@example.com"])
    with pytest.raises(Cancelled, match=r"^Cancelled by ada@example\.com$"):
        CancellationToken(lambda: next(asked), 0.01).pause(60)


def test_the_store_is_asked_only_so_often() -> None:
    """The store is asked at intervals, so that a check is cheap."""
    asked: list[int] = []
    cancellation = CancellationToken(lambda: asked.append(1), 60)
    for _ in range(1_000):
        cancellation.check()
    assert len(asked) == 1


def test_a_service_that_stops_ends_it() -> None:
    """Stopping the service ends the wait before the store is asked."""
    cancellation = CancellationToken(lambda: "ada@example.com", 60)
    cancellation.stop()
    with pytest.raises(Interrupted, match="Interrupted by a restart"):
        cancellation.check()


def test_a_limit_holds_within_its_block() -> None:
    """A time limit applies to its block only."""
    cancellation = CancellationToken(lambda: None, 60)
    with (
        cancellation.at_most(0.01, "Building"),
        pytest.raises(TimedOut, match=r"Building: gave up after 0\.01 seconds"),
    ):
        cancellation.pause(60)
    cancellation.check()
