"""Debian's Chromium, and what it is started with."""

from __future__ import annotations

import shutil
from typing import Final

ARGUMENTS: Final = (
    "--no-sandbox",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


def chromium() -> str:
    """Return its path; LookupError, which says what to do, if there is none."""
    found = shutil.which("chromium")
    if found is None:
        raise LookupError("Chromium is not installed (Debian: apt-get install chromium)")
    return found
