"""The rest of a log: scroll back, jump, search and download as far as the engine has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.page.test_views import AXE
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until

#: More than the page loads at first, and than it loads at once.
PAIRS = 2000
FIRST = "needle at the beginning"
#: stdout and stderr in turn: the engine reads two pipes, so their times are out of order.
SCRIPT = f"""
echo {FIRST}; sleep 0.5
i=1; while [ $i -le {PAIRS} ]; do echo out $i; echo err $i >&2; i=$((i+1)); done
sleep 0.5; echo written; sleep 600
"""


@pytest.fixture
def app(engine: PrivateEngine, tab: Tab, container: str) -> int:
    """A log of 4,002 lines."""
    engine.run(container, SCRIPT)
    wait_until(lambda: "written" in engine.lines(container), "the log", 60)
    return tab.service.add_app(container, container)


@pytest.fixture
def long(engine: PrivateEngine, tab: Tab, app: int) -> Tab:
    """That log, scrolled to its end."""
    tab.sign_in(f"log?app={app}")
    tab.expect_line("written")
    tab.expect_state("LIVE")
    return tab


def expect_whole(tab: Tab, engine: PrivateEngine, container: str) -> None:
    """The page holds every line once, and those of each stream in order."""
    lines = tab.held()
    assert sorted(lines) == sorted(engine.lines(container))
    for stream in ("out", "err"):
        numbers = [int(line[4:]) for line in lines if line.startswith(stream)]
        assert numbers == sorted(numbers)


#: Scroll like a reader who waits while the page loads; the condition ends it.
_SCROLL = """({by, state, line}) => {
  const named = (name) => document.querySelector(`[aria-label="${name}"]`).textContent;
  const texts = [...document.querySelectorAll('[role=log] .text')];
  if (state && named('Stream state') === state) return true;
  if (line && texts.some(({textContent}) => textContent === line)) return true;
  const log = document.querySelector('[role=log]');
  if (named('Older lines') === '') log.scrollTop += by * log.clientHeight;
  return false;
}"""


def scroll(tab: Tab, **arguments: object) -> None:
    """Scroll by so many screens at once, until a state is reached or a line is visible."""
    tab.page.wait_for_function(_SCROLL, arg=arguments, polling=60, timeout=60_000)


def test_scrolling_back_to_the_beginning(engine: PrivateEngine, long: Tab, container: str) -> None:
    """Scrolling up brings all lines, without a gap or a repetition, while others come."""
    tab = long
    tab.page.keyboard.press("Space")
    tab.expect_state("PAUSED · 0 new")
    engine.say(container, "seq 1 50")
    scroll(tab, by=-5, line=FIRST)
    tab.expect_state("PAUSED · 50 new")
    expect_whole(tab, engine, container)
    assert tab.page.locator("[role=log] [data-time]").count() < 120
    tab.page.keyboard.press("G")
    tab.expect_state("LIVE")
    tab.expect_line("50")


def test_from_the_beginning_on_to_live(engine: PrivateEngine, long: Tab, container: str) -> None:
    """``g`` leads to the first line, and scrolling down from there to the live lines."""
    tab = long
    tab.page.keyboard.press("g")
    tab.expect_line(FIRST)
    assert tab.first_in_sight() == FIRST
    scroll(tab, by=1.5, state="LIVE")
    expect_whole(tab, engine, container)


def test_searching_the_whole_log(long: Tab) -> None:
    """A match that is not loaded is found, shown among its neighbours, and has a permalink."""
    tab = long
    tab.page.get_by_role("searchbox", name="Search the log").fill("OUT 77")
    expect(tab.status("Matches")).to_have_text("No matches")
    tab.button("Search the whole log").click()
    whole = tab.status("Whole log")
    expect(whole).to_have_text("11 matches · searched the whole log")
    assert not tab.axe(AXE.read_text("utf-8"))
    results = tab.page.get_by_role("group", name="Matches in the whole log")
    expect(results.locator("[data-time]").first).to_contain_text("out 779")
    results.press("ArrowDown")
    results.press("Enter")
    current = tab.log.locator("[aria-current=true]")
    expect(current).to_contain_text("out 779")
    tab.expect_line("out 778")
    tab.expect_line("out 781")
    time = current.get_attribute("data-time")
    results.press("Escape")
    expect(whole).to_have_count(0)
    address = tab.page.url.partition("&")[0].partition("#")[0]
    tab.page.goto("about:blank")
    tab.page.goto(f"{address}#t={time}")
    expect(current).to_have_attribute("data-time", str(time))
    tab.expect_line("out 778")
    tab.expect_line("out 781")
    tab.expect_state(re.compile("^PAUSED"))


def test_downloading_what_matches(engine: PrivateEngine, long: Tab, container: str) -> None:
    """The file has all matches of the whole log and a range in its name."""
    tab = long
    tab.page.get_by_role("searchbox", name="Search the log").fill("err 1")
    expect(tab.status("Matches")).not_to_have_text("")
    with tab.page.expect_download() as download:
        tab.button("Download all matches").click()
    name = download.value.suggested_filename
    assert re.fullmatch(rf"{container}-beginning-to-\d{{8}}T\d{{6}}Z\.log", name)
    expected = [line for line in engine.lines(container) if "err 1" in line]
    found = Path(download.value.path()).read_text("utf-8").splitlines()
    assert [line.partition(" ")[2] for line in found] == expected


def test_older_lines_that_are_refused(long: Tab) -> None:
    """The page repeats what the service says, tries again by itself, and goes on."""
    tab = long
    body = '{"success": false, "message": "4 readers run already", "data": null}'

    def refuse(route: Route) -> None:
        route.fulfill(status=429, headers={"Retry-After": "1"}, body=body)

    tab.page.route("**/api/apps/*/logs*", refuse)
    tab.page.keyboard.press("g")
    news = tab.status("Older lines")
    expect(news).to_have_text("4 readers run already. Trying again in 1 s")
    tab.page.unroute("**/api/apps/*/logs*")
    tab.expect_line(FIRST)
    expect(news).to_have_count(0)


def test_a_restart_among_older_lines(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """Where the container was restarted before the page was open, there is a mark."""
    script = "[ -e /ran ] || echo {}; : >/ran; seq 1 1500; echo written; sleep 600"
    engine.run(container, script.format(FIRST))
    wait_until(lambda: "written" in engine.lines(container), "the log", 60)
    engine.client.restart(container, timeout=0)
    wait_until(lambda: engine.lines(container).count("written") == 2, "the next run", 60)
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("written")
    tab.expect_state("LIVE")
    assert "---" not in tab.download()
    scroll(tab, by=-5, line=FIRST)
    rows = [line.partition(" ")[2] for line in tab.download().splitlines()]
    run = [*map(str, range(1, 1501)), "written"]
    assert rows == [FIRST, *run, "--- container restarted ---", *run]
