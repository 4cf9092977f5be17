"""The two statistics that the rows use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that ``percent`` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def milliseconds(values: Sequence[float]) -> str:
    """Median, p99 and the largest, in words."""
    p50, p99 = percentile(values, 50), percentile(values, 99)
    return f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, most {max(values) * 1e3:.2f} ms"
