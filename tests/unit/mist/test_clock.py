"""Tests of times in the contract's format."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import clock

#: The years 1970 to 9999, which RFC 3339 and the engine can write.
moments = st.integers(min_value=0, max_value=253_402_300_799_999_999_999)


@given(moments)
def test_there_and_back(nanoseconds: int) -> None:
    """A time survives formatting and parsing."""
    text = clock.rfc3339(nanoseconds)
    assert clock.nanoseconds(text) == nanoseconds
    assert clock.normalize(text) == text


@given(moments, moments)
def test_order_of_texts_is_order_of_times(one: int, other: int) -> None:
    """Texts sort in the order of their times, as ``since`` requires."""
    assert (clock.rfc3339(one) < clock.rfc3339(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2025-01-15T10:30:00Z", "2025-01-15T10:30:00.000000000Z"),
        ("2025-01-15T10:30:00.5Z", "2025-01-15T10:30:00.500000000Z"),
        ("2025-01-15t10:30:00.123456789z", "2025-01-15T10:30:00.123456789Z"),
        ("2025-01-15T10:30:00+02:00", "2025-01-15T08:30:00.000000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z"),
        ("2025-01-15T22:30:00.25-05:30", "2025-01-16T04:00:00.250000000Z"),
    ],
)
def test_normalize(text: str, normal: str) -> None:
    """Any fraction and time zone is normalized to one form."""
    assert clock.normalize(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2025-01-15",
        "2025-01-15T10:30:00",
        "2025-01-15 10:30:00Z",
        "2025-13-15T10:30:00Z",
        "2025-02-30T10:30:00Z",
        "2025-01-15T25:30:00Z",
        "2025-01-15T10:30:00.1234567890Z",
        "2025-01-15T10:30:00Z\n",
        "٢٠٢٥-01-15T10:30:00Z",
        "2025-01-15T10:30:00.٥Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_an_invalid_time_is_refused(text: str) -> None:
    """An invalid time raises ValueError, which the API answers with 400."""
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        clock.normalize(text)


def test_now_has_the_form() -> None:
    """The current time has the same format."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", clock.now())
