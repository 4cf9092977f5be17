"""Tests of the fixed-rate timer with a clock that the test moves."""

from __future__ import annotations

import pytest

from workers.metrics.timer import FixedRateTimer


class Hands:
    """A clock that the test sets; it starts at 100 s."""

    now = 100.0

    def read(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def hands() -> Hands:
    """A clock at 100 s."""
    return Hands()


def test_first_deadline_is_a_period_away(hands: Hands) -> None:
    """The first deadline is one period away, because a sample measures a period."""
    assert FixedRateTimer(1.0, hands.read).remaining() == 1.0


def test_lateness_is_not_added_up(hands: Hands) -> None:
    """A late deadline does not shift the next one."""
    ticks = FixedRateTimer(1.0, hands.read)
    for second in range(1, 50):
        hands.now = 100.0 + second + 0.3
        assert ticks.remaining() == 0.0
        ticks.met()
        assert ticks.remaining() == pytest.approx(0.7)


def test_stall_leaves_deadlines_out(hands: Hands) -> None:
    """After a stall there is one sample, not a burst, and the phase is unchanged."""
    ticks = FixedRateTimer(1.0, hands.read)
    hands.now = 105.25
    assert ticks.remaining() == 0.0
    ticks.met()
    assert ticks.remaining() == pytest.approx(0.75)


def test_met_early_counts_too(hands: Hands) -> None:
    """A wait that ends slightly early does not cause a second sample."""
    ticks = FixedRateTimer(1.0, hands.read)
    hands.now = 100.999
    ticks.met()
    assert ticks.remaining() == pytest.approx(1.001)
