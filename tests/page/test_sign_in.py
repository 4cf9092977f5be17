"""Signing in and out, and expiring sessions."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.integration.conftest import MakeService
from tests.page.conftest import OpenTab
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import ADMIN


def test_signing_in_shows_the_home_page(tab: Tab) -> None:
    """After signing in, the form is replaced by the navigation."""
    tab.sign_in()
    for name in ("Home", "Deployments", "Metrics", "Manage"):
        expect(tab.page.get_by_role("link", name=name, exact=True)).to_be_visible()
    expect(tab.button("Sign in")).to_have_count(0)


def test_a_wrong_password_is_said_so(tab: Tab) -> None:
    """The page shows the message and keeps the email; the right password then works."""
    tab.open()
    tab.fill_in(ADMIN, "wrong")
    expect(tab.page.get_by_role("alert")).to_contain_text("password")
    expect(tab.page.get_by_role("textbox", name="Email")).to_have_value(ADMIN)
    tab.page.get_by_label("Password").fill(tab.service.password)
    tab.button("Sign in").click()
    expect(tab.page.get_by_role("navigation", name="Main")).to_be_visible()


def test_signing_out_ends_the_session(tab: Tab) -> None:
    """The form is back, and a reload does not restore the session."""
    tab.sign_in("host")
    tab.button("Sign out").click()
    expect(tab.button("Sign in")).to_be_visible()
    tab.page.reload()
    expect(tab.button("Sign in")).to_be_visible()


def test_too_many_attempts_are_said_so(
    make_service: MakeService, engine: PrivateEngine, open_tab: OpenTab
) -> None:
    """The message says when to try again."""
    tab = open_tab(make_service(engine, {"auth.login_attempts": 2}))
    tab.open()
    for _ in range(3):
        tab.fill_in(ADMIN, "wrong")
        expect(tab.button("Sign in")).to_be_enabled()
    expect(tab.page.get_by_role("alert")).to_contain_text(re.compile("Try again in [0-9]"))


def test_a_session_that_expires_in_mid_stream(
    make_service: MakeService, engine: PrivateEngine, open_tab: OpenTab, container: str
) -> None:
    """After signing in again, the log continues in place without a gap or a repetition."""
    service = make_service(engine, {"auth.session_hours": 12 / 3600, "auth.check_seconds": 1})
    engine.run(container, "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done")
    app = service.add_app(container, container)
    tab = open_tab(service)
    address = f"log?app={app}&q=line"
    tab.sign_in(address)
    tab.expect_state("LIVE")
    tab.button("Wrap").click()
    expect(tab.page.get_by_text("Your session has expired")).to_be_visible(timeout=30_000)
    expect(tab.page.get_by_role("log")).to_have_count(0)
    expect(tab.page.get_by_role("textbox", name="Email")).to_have_value(ADMIN)
    tab.page.get_by_label("Password").fill(service.password)
    tab.button("Sign in").click()
    tab.expect_state(re.compile("LIVE|RECONNECTED · nothing missed"))
    assert tab.page.url == f"{service.url}/{address}"
    numbers = [int(line.split()[1]) for line in tab.held()]
    assert numbers == list(range(1, numbers[-1] + 1))


def test_another_user_does_not_see_what_the_one_before_had_open(
    make_service: MakeService, engine: PrivateEngine, open_tab: OpenTab, container: str
) -> None:
    """After an expired session, a user without a right to the application sees none of its log."""
    service = make_service(engine, {"auth.session_hours": 6 / 3600, "auth.check_seconds": 1})
    service.add_user("guest@example.com", "a long password")
    engine.run(container, "echo secret; sleep 600")
    app = service.add_app(container, container)
    tab = open_tab(service)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("secret")
    expect(tab.page.get_by_text("Your session has expired")).to_be_visible(timeout=30_000)
    tab.fill_in("guest@example.com", "a long password")
    expect(tab.page.get_by_role("heading", name="This log cannot be shown")).to_be_visible()
    assert "secret" not in tab.page.content()
    expect(tab.page.get_by_role("link", name="Manage")).to_have_count(0)
