"""Signing in and out, and sessions that end."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.integration.harness.service import ADMIN
from tests.page.harness.tab import Tab


def test_signing_in_shows_the_home_page(tab: Tab) -> None:
    """The form leads to the navigation, and is gone."""
    tab.sign_in()
    for name in ("Home", "Deployments", "Metrics", "Manage"):
        expect(tab.page.get_by_role("link", name=name, exact=True)).to_be_visible()
    expect(tab.button("Sign in")).to_have_count(0)


def test_a_wrong_password_is_said_so(tab: Tab) -> None:
    """The message is in the page, the email stays, and the right password works then."""
    tab.open()
    tab.fill_in(ADMIN, "wrong")
    expect(tab.page.get_by_role("alert")).to_contain_text("password")
    expect(tab.page.get_by_role("textbox", name="Email")).to_have_value(ADMIN)
    tab.page.get_by_label("Password").fill(tab.service.password)
    tab.button("Sign in").click()
    expect(tab.page.get_by_role("navigation", name="Main")).to_be_visible()
