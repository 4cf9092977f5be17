"""The statistics of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))  # nearest rank, rounded up
    return ordered[int(rank) - 1]


def milliseconds(values: Sequence[float]) -> str:
    """Describe seconds by median, p99 and maximum in milliseconds."""
    p50, p99 = percentile(values, 50), percentile(values, 99)
    return f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, max {max(values) * 1e3:.2f} ms"
