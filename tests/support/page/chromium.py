"""Debian's Chromium and its arguments."""

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
    """Return Chromium's path; raise LookupError with advice if it is missing."""
    found = shutil.which("chromium")
    if found is None:
        raise LookupError("Chromium is not installed (Debian: apt-get install chromium)")
    return found
