"""Tests of fencing tokens."""

from __future__ import annotations

from supervisor.fencing import FencingTokens


def test_terms_grow_when_the_clock_is_set_back() -> None:
    """Terms grow even if the clock is set back by an hour, and follow the clock again later."""
    times = iter([100, 100, 40, 41, 200])
    term = FencingTokens(lambda: next(times))
    assert [term() for _ in range(5)] == [100, 101, 102, 103, 200]
