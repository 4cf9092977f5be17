"""The home page."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.page.tab import Tab
from tests.support.service.service import Service


def test_a_new_application_appears_by_itself(tab: Tab, service: Service, container: str) -> None:
    """The application appears within fifteen seconds, which the page's clock skips."""
    tab.page.clock.install()
    tab.sign_in()
    expect(tab.page.get_by_role("heading", name="Applications")).to_be_visible()
    service.add_app(container, container)
    tab.page.clock.fast_forward(16_000)
    expect(tab.page.get_by_role("link", name=container, exact=True)).to_be_visible()
