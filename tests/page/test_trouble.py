"""The page reports what is wrong around it, without a blank page or an endless spinner."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from tests.page.conftest import OpenTab
from tests.support.page.proxy import DeafProxy
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine

#: The ways in which localStorage fails: its quota is zero, or it does not exist.
STORAGE = {
    "quota": """Storage.prototype.setItem = () => {
        throw new DOMException('', 'QuotaExceededError') }""",
    "denied": """Object.defineProperty(window, 'localStorage', {
        get() { throw new DOMException('', 'SecurityError') } })""",
}


def fail(route: Route) -> None:
    """Answer like a proxy whose server has failed."""
    route.fulfill(status=500, content_type="text/html", body="<h1>Internal Server Error</h1>")


@pytest.mark.parametrize("address", ["", "host", "log?app=1", "deployments", "manage"])
def test_an_api_that_fails(tab: Tab, address: str) -> None:
    """The page reports the failure, retries on request, and continues when the API works again."""
    tab.page.route("**/api/**", fail)
    tab.open(address)
    heading = tab.page.get_by_role("heading", name="Mist does not answer")
    expect(heading).to_be_visible()
    expect(tab.page.get_by_text("HTTP status 500")).to_be_visible()
    tab.page.unroute("**/api/**")
    tab.button("Try again").click()
    expect(tab.button("Sign in")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "call"),
    [
        ("", "**/api/apps"),
        ("deployments?app=1", "**/api/apps/*/deployments*"),
        ("deployment?id=1", "**/api/deployments/*"),
    ],
)
def test_a_call_that_fails(tab: Tab, address: str, call: str) -> None:
    """The view reports the error and offers a retry."""
    tab.service.mist("app", "add", f"for-{abs(hash(call))}")
    tab.page.route(call, fail)
    tab.sign_in(address)
    expect(tab.page.get_by_role("alert").filter(has_text="HTTP status 500")).to_be_visible()
    expect(tab.button("Try again")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("log?app=987654", "not found"),
        ("log?app=shop", "‘shop’ is not the number of an application"),
        ("log?app=-1", "‘-1’ is not the number of an application"),
        ("log", "No application is named"),
        ("log?app=99999999999999999999", "is not the number of an application"),
        ("deployments?app=987654", "not found"),
        ("deployments?app=0", "‘0’ is not the number of an application"),
        ("deployment?id=987654", "not found"),
        ("deployment?id=x", "‘x’ is not the number of a deployment"),
        ("deployment", "does not name a deployment"),
        ("no-such-page", "no address ‘no-such-page’"),
        ("%E0%A4%A", "There is nothing here"),
    ],
)
def test_an_address_that_leads_nowhere(tab: Tab, address: str, says: str) -> None:
    """The page gives the reason and a link to the home page."""
    tab.sign_in(address)
    main = tab.page.get_by_role("main")
    expect(main).to_contain_text(re.compile(re.escape(says), re.IGNORECASE))
    main.get_by_role("link", name="home page").click()
    expect(tab.page.get_by_role("heading", name="Applications")).to_be_visible()


def test_an_application_without_a_container(tab: Tab, container: str) -> None:
    """The log says that there is no container, and the home page shows it as missing."""
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    expect(tab.page.get_by_role("alert").filter(has_text="Container not found")).to_be_visible()
    tab.expect_state("NOT CONNECTED")
    tab.open()
    expect(tab.page.get_by_role("row").filter(has_text=container)).to_contain_text("missing")


@pytest.mark.parametrize("address", ["log?app={app}", "host"])
def test_websockets_that_are_refused(
    engine: PrivateEngine, tab: Tab, container: str, address: str
) -> None:
    """Behind a proxy without WebSockets, the page says that there is no live connection."""
    engine.run(container, "echo unreachable; sleep 600")
    app = tab.service.add_app(container, container)
    with DeafProxy(tab.service.url) as proxy:
        tab.page.goto(f"{proxy.url}/{address.format(app=app)}")
        tab.fill_in("admin@localhost", tab.service.password)
        expect(tab.page.get_by_role("alert").filter(has_text="no live connection")).to_be_visible(
            timeout=20_000
        )
        tab.page.goto("about:blank")


def test_a_clock_that_is_an_hour_ahead(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """The page reports the wrong clock and computes ages from the server's."""
    engine.run(container, "echo tick; sleep 600")
    app = tab.service.add_app(container, container)
    wrong = int(tab.page.evaluate("Date.now()")) + 3_600_000
    tab.page.clock.install(time=wrong / 1000)
    tab.sign_in(f"log?app={app}")
    expect(tab.page.get_by_role("note")).to_contain_text("1 h ahead of the server")
    tab.expect_line("tick")
    tab.page.get_by_label("Timestamps").select_option("relative")
    expect(tab.line("tick").locator("time")).to_have_text(re.compile(r"^(now|\d+ s ago)$"))
    tab.expect_state("LIVE")


@pytest.mark.parametrize("how", list(STORAGE))
def test_storage_that_fails(
    engine: PrivateEngine, open_tab: OpenTab, tab: Tab, container: str, how: str
) -> None:
    """Without storage everything works, but nothing is remembered."""
    engine.run(container, "echo there; sleep 600")
    app = tab.service.add_app(container, container)
    tab.page.add_init_script(STORAGE[how])
    tab.sign_in(f"log?app={app}")
    tab.expect_line("there")
    for key in "twl":
        tab.page.keyboard.press(key)
    tab.button("Theme").click()
    tab.button("Wrap").click()
    tab.page.get_by_role("group", name="Levels").get_by_role("button", name="Other").click()
    expect(tab.line("there")).to_have_count(0)
