"""Searching and filtering a log."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine

SCRIPT = """
echo 'GET /a 200'; echo 'GET /b 500'; echo 'get /c 200'; echo 'POST /a 201'; seq 1 50
echo 'level=warn msg="disk is full" host=db'; echo 'level=info msg="disk is fine" host=web'
sleep 600
"""


@pytest.fixture
def log(engine: PrivateEngine, tab: Tab, container: str) -> Tab:
    """A log of 56 lines."""
    engine.run(container, SCRIPT)
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("disk is fine")
    return tab


def search(tab: Tab, text: str) -> None:
    """Type into the search field."""
    tab.page.get_by_role("searchbox", name="Search the log").fill(text)


def expect_matches(tab: Tab, text: str) -> None:
    """Wait until the count has this text."""
    expect(tab.status("Matches")).to_have_text(text)


def test_highlights_first_and_filters_on_demand(log: Tab) -> None:
    """A search only highlights until "Filter" is pressed."""
    tab = log
    search(tab, "get")
    expect_matches(tab, "3")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("g")
    expect(tab.log.locator("mark")).to_have_count(3)
    tab.expect_line("POST /a")
    tab.button("Filter").click()
    expect(tab.log.locator("[data-time]")).to_have_count(3)
    tab.button("Match case").click()
    expect(tab.log.locator("[data-time]")).to_have_count(1)
    tab.button("Invert").click()
    expect_matches(tab, "55")
    expect(tab.line("/c")).to_have_count(0)


def test_next_and_previous(log: Tab) -> None:
    """The buttons cycle through the hits, beginning at the end, and show a count."""
    tab = log
    search(tab, "GET")
    expect_matches(tab, "3")
    tab.button("Next match").click()
    expect_matches(tab, "3 of 3")
    tab.button("Next match").click()
    expect_matches(tab, "1 of 3")
    expect(tab.log.locator("[aria-current=true]")).to_contain_text("GET /a")
    tab.button("Previous match").click()
    expect_matches(tab, "3 of 3")


def test_regular_expressions(log: Tab) -> None:
    """Regular expressions match, and an invalid one is reported."""
    tab = log
    tab.button("Regular expression").click()
    search(tab, r"/[ab] 20\d$")
    expect_matches(tab, "2")
    search(tab, "(")
    alert = tab.page.get_by_role("alert")
    expect(alert.filter(has_text=re.compile("regular expression", re.IGNORECASE))).to_be_visible()
    search(tab, r"/a")
    expect_matches(tab, "2")


def test_a_regular_expression_without_an_end(
    engine: PrivateEngine, tab: Tab, container: str
) -> None:
    """Catastrophic backtracking blocks nothing: the page reports it and shows the lines."""
    engine.run(container, "echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("aaa!")
    tab.button("Regular expression").click()
    search(tab, "^(a+)+$")
    expect(tab.page.get_by_role("alert").filter(has_text="takes too long")).to_be_visible()
    tab.expect_line("aaa!")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("w")
    expect(tab.button("Wrap")).to_have_attribute("aria-pressed", "true")


def test_several_terms_have_a_colour_each(log: Tab) -> None:
    """A button adds a term, and each term has a button that removes it."""
    tab = log
    search(tab, "GET")
    tab.button("Search for one more term").click()
    search(tab, "disk")
    expect_matches(tab, "5")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("g")
    expect(tab.log.locator("mark.term-0").first).to_be_visible()
    tab.page.keyboard.press("G")
    expect(tab.log.locator("mark.term-1").first).to_be_visible()
    assert tab.page.url.endswith("q=GET&q=disk")
    tab.button("Remove the term GET").click()
    expect_matches(tab, "2")


def test_context_around_hits(log: Tab) -> None:
    """With the filter on, lines before and after a hit can be shown."""
    tab = log
    search(tab, "POST")
    tab.button("Filter").click()
    expect(tab.log.locator("[data-time]")).to_have_count(1)
    tab.page.get_by_label("Context").select_option("1")
    expect(tab.log.locator("[data-time]")).to_have_count(3)
    tab.expect_line("get /c 200")


def test_the_search_stands_in_the_address(log: Tab) -> None:
    """A reload or another tab with the address has the same search."""
    tab = log
    search(tab, "disk")
    tab.button("Filter").click()
    tab.button("Match case").click()
    expect_matches(tab, "2")
    tab.page.reload()
    expect(tab.page.get_by_role("searchbox", name="Search the log")).to_have_value("disk")
    expect_matches(tab, "2")
    expect(tab.button("Filter")).to_have_attribute("aria-pressed", "true")
    expect(tab.log.locator("[data-time]")).to_have_count(2)


def test_a_link_to_a_line(log: Tab) -> None:
    """``#t=`` leads to the line with that time and pauses the log."""
    tab = log
    tab.page.keyboard.press("g")
    time = tab.line("POST /a").get_attribute("data-time")
    tab.page.goto("about:blank")
    tab.page.goto(f"{tab.service.url}/log?app={_app(log)}#t={time}")
    expect(tab.log.locator("[aria-current=true]")).to_have_attribute("data-time", str(time))
    tab.expect_state(re.compile("^PAUSED"))


def test_filters_by_level_and_stream(log: Tab) -> None:
    """The buttons hide and show lines; the download has only matches, and its range in its name."""
    tab = log
    levels = tab.page.get_by_role("group", name="Levels")
    levels.get_by_role("button", name="Other").click()
    expect(tab.log.locator("[data-time]")).to_have_count(2)
    levels.get_by_role("button", name="Info").click()
    expect(tab.log.locator("[data-time]")).to_have_count(1)
    assert tab.held() == ['level=warn msg="disk is full" host=db']
    with tab.page.expect_download() as download:
        tab.button("Download").click()
    stamp = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
    assert re.fullmatch(rf"test-\w+_{stamp}_{stamp}\.log", download.value.suggested_filename)


def test_a_search_does_not_open_the_log_again(log: Tab) -> None:
    """A search changes the address, but keeps the stream and all lines."""
    tab = log
    opened: list[str] = []
    tab.page.on("websocket", lambda socket: opened.append(socket.url))
    search(tab, "disk")
    expect_matches(tab, "2")
    tab.button("Filter").click()
    expect(tab.log.locator("[data-time]")).to_have_count(2)
    search(tab, "")
    expect(tab.log.locator("[data-time]")).not_to_have_count(2)
    assert opened == []


def _app(tab: Tab) -> str:
    apps = tab.service.mist("app", "list", "--json").stdout
    return str(max(int(number) for number in re.findall(r'"id": ?(\d+)', apps)))
