"""Times of a range: RFC 3339, or a duration before now."""

from __future__ import annotations

import pytest

from mist import clock
from mist.errors import UsageError
from mist.log_times import moment

NOW = clock.nanoseconds("2025-01-15T10:30:00.000000000Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-15T11:30:00.5+01:00", "2025-01-15T10:30:00.500000000Z"),
        ("2h", "2025-01-15T08:30:00.000000000Z"),
        ("1h30m", "2025-01-15T09:00:00.000000000Z"),
        ("1.5s", "2025-01-15T10:29:58.500000000Z"),
        ("1d", "2025-01-14T10:30:00.000000000Z"),
        ("999999999w", "1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_moment(text: str, expected: str) -> None:
    """Both forms become one."""
    assert moment("since", text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2", "h", "-2h", "2 h", "1736937000", "٢h", "1..5s"]
)
def test_invalid(text: str) -> None:
    """The error names the parameter and both forms."""
    with pytest.raises(UsageError, match=r"until must be an RFC 3339 time .* such as 2h"):
        moment("until", text, NOW)
