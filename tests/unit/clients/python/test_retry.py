"""The delays between attempts to connect."""

from __future__ import annotations

import pytest
from mist_client import Retry
from mist_client.retry import Backoff


def test_delays_grow_to_a_bound() -> None:
    """Each is between half of the growing value and all of it, also after days of attempts."""
    longest = Backoff(Retry(), chance=lambda: 1.0)
    shortest = Backoff(Retry(), chance=lambda: 0.0)
    most = [longest.next() for _ in range(20_000)]
    least = [shortest.next() for _ in range(20_000)]
    assert most[:3] == pytest.approx([0.2, 0.3, 0.45])
    assert set(most[12:]) == {10.0}
    assert least == [delay / 2 for delay in most]


def test_after_a_restart_clients_come_back_soon() -> None:
    """The first delay is spread over half a second, and later ones grow."""
    backoff = Backoff(Retry(), chance=lambda: 0.5)
    assert backoff.after_restart() == 0.25
    assert backoff.after_restart() == pytest.approx(0.15)
    assert backoff.after_restart() == pytest.approx(0.225)
    backoff.reset()
    assert backoff.after_restart() == 0.25


@pytest.mark.parametrize(
    "options", [{"initial": 0}, {"initial": 2, "longest": 1}, {"factor": 0.9}, {"initial": -1}]
)
def test_delays_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    """The error shows what was given."""
    with pytest.raises(ValueError, match="needs 0 < initial <= longest"):
        Retry(**options)
