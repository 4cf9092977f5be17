"""Numbers of bytes as people read them."""

from __future__ import annotations


def human(number: float) -> str:
    """Format a number of bytes with at most four digits: ``4.0 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.1f} {unit}" if unit != "B" else f"{number:.0f} B"
        number /= 1024
    return f"{number:.1f} TiB"
