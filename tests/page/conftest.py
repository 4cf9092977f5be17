"""The page in Chromium, against the real service on a private engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

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
from tests.support.page.chromium import ARGUMENTS, chromium
from tests.support.page.showcase import SETTINGS, Showcase
from tests.support.page.tab import Tab
from tests.support.service.deployments import remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service

__all__ = ["admin", "container", "engine", "make_service", "own_engine", "service"]

OpenTab = Callable[..., Tab]

_ROOT = Path(__file__).parents[2]
_SECONDS = 15.0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without it or a built page, tests are skipped (in CI: fail)."""
    try:
        path = chromium()
    except LookupError as error:
        _give_up(str(error))
    if not (_ROOT / "api/page/index.html").exists():
        _give_up("the page is not built (npm run build -w web)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Open a tab of a new profile: ``open_tab(service)``. Checked and closed after the test.

    ``options`` are those of ``Browser.new_context``: ``viewport``, ``color_scheme``, …
    """
    opened: list[Tab] = []

    def open_one(service: Service, **options: Any) -> Tab:
        context = browser.new_context(**options)
        context.set_default_timeout(_SECONDS * 1000)
        tab = Tab(context.new_page(), service)
        opened.append(tab)
        return tab

    yield open_one
    for tab in opened:
        tab.page.context.close()
    for tab in opened:
        tab.check()


@pytest.fixture
def tab(open_tab: OpenTab, service: Service) -> Tab:
    """A tab on the shared service without a session."""
    return open_tab(service)


@pytest.fixture(scope="module")
def showcase(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    """An installation with content in every view, in a service of its own."""
    service = Service(engine.host, SETTINGS)
    try:
        service.start()
        yield Showcase(service, engine, tmp_path_factory.mktemp("showcase"))
    finally:
        service.destroy()
        remove_deployed(engine)
        for name in ("mailer", "postgres", "backup"):
            engine.remove(name)


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
