"""Chromium, and the real service on a private engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.integration.conftest import (
    admin,
    container,
    engine,
    make_service,
    own_engine,
    service,
)

__all__ = ["admin", "container", "engine", "make_service", "own_engine", "service"]

_ARGUMENTS = (
    "--no-sandbox",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it CI fails and a desk skips."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "Chromium is not installed (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        yield browser
        browser.close()
