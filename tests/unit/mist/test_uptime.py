"""Tests of durations in the engine's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import clock, uptime

NOW = clock.nanoseconds("2025-01-15T10:30:00.000000000Z")
SECOND = 1_000_000_000


def ago(seconds: float) -> str:
    """Return the time some seconds before NOW."""
    return clock.rfc3339(NOW - int(seconds * SECOND))


def later(phrase: str, seconds: int, began: str) -> str:
    """Return the phrase as of some seconds after NOW."""
    return uptime.as_of(NOW + seconds * SECOND, phrase, began)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3_599, "59 minutes"),
        (3_600, "About an hour"),
        (5_399, "About an hour"),
        (5_400, "2 hours"),
        (47 * 3_600, "47 hours"),
        (48 * 3_600, "2 days"),
        (13 * 86_400, "13 days"),
        (14 * 86_400, "2 weeks"),
        (60 * 86_400, "2 months"),
        (729 * 86_400, "24 months"),
        (730 * 86_400, "2 years"),
        (10_000 * 86_400, "27 years"),
    ],
)
def test_durations_are_the_engines(age: int, words: str) -> None:
    """A duration is written as ``docker ps`` writes it, and read again."""
    began = ago(0)
    assert later("Up 3 hours", age, began) == f"Up {words}"
    assert uptime.began(f"Up {words}", ago(age), NOW) == ago(age)
    # With an engine whose clock is wrong, the words decide, which are true to their precision.
    for wrong in (ago(-3_600), ago(age + 40_000 * 86_400)):
        assert later("Up 1 second", 0, uptime.began(f"Up {words}", wrong, NOW)) == f"Up {words}"


@pytest.mark.parametrize(
    ("phrase", "after"),
    [
        ("Up Less than a second", "Up 2 minutes"),
        ("Up 1 second (health: starting)", "Up 2 minutes (health: starting)"),
        ("Up 1 second (healthy)", "Up 2 minutes (healthy)"),
        ("Up About a minute (Paused)", "Up 3 minutes (Paused)"),
        ("Exited (137) 3 seconds ago", "Exited (137) 2 minutes ago"),
        ("Restarting (1) Less than a second ago", "Restarting (1) 2 minutes ago"),
        ("Created", "Created"),
        ("Dead", "Dead"),
        ("Removal In Progress", "Removal In Progress"),
        ("Up since yesterday", "Up since yesterday"),
        ("Up 3 fortnights", "Up 3 fortnights"),
        ("", ""),
    ],
)
def test_only_the_duration_of_a_phrase_changes(phrase: str, after: str) -> None:
    """Two minutes later the duration has grown, and everything else is the same."""
    began = uptime.began(phrase, "0001-01-01T00:00:00Z", NOW)
    assert later(phrase, 120, began) == after


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_phrase_and_any_time_are_taken(phrase: str, time: str) -> None:
    """Other engines may have other phrases and times."""
    assert isinstance(later(phrase, 1, uptime.began(phrase, time, NOW)), str)


def test_clock_that_was_set_back() -> None:
    """A duration is never negative."""
    assert later("Up 3 minutes", -900, ago(180)) == "Up Less than a second"
