"""Terms grow whatever the clock does."""

from __future__ import annotations

from supervisor.fencing import FencingTokens


def test_terms_grow_when_the_clock_is_set_back() -> None:
    """An hour less on the clock is still a later term, and then the time counts again."""
    times = iter([100, 100, 40, 41, 200])
    term = FencingTokens(lambda: next(times))
    assert [term() for _ in range(5)] == [100, 101, 102, 103, 200]
