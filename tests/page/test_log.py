"""A container's live log: its lines, its state, and changes of the container."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine

#: More lines than fit on the screen, followed by a program that does nothing.
LINES = 300
FILLED = f"seq 1 {LINES}; sleep 600"


@pytest.fixture
def filled(engine: PrivateEngine, tab: Tab, container: str) -> Tab:
    """A log with more lines than fit on the screen, scrolled to its end."""
    engine.run(container, FILLED)
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line(str(LINES))
    tab.expect_state("LIVE")
    return tab


def test_the_lines_of_a_container_appear(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """Earlier and new lines appear with their time and stream."""
    engine.run(container, "echo before; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in()
    tab.page.get_by_role("row").get_by_role("link", name=container).click()
    tab.expect_line("before")
    engine.say(container, "echo now")
    tab.expect_line("now")
    engine.say(container, "echo trouble >&2")
    tab.expect_line("trouble")
    assert f"app={app}" in tab.page.url
    expect(tab.log).to_have_attribute("aria-label", f"Log of {container}")
    row = tab.line("trouble").first
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d+Z", row.get_attribute("data-time") or "")
    tab.expect_state("LIVE")
    assert tab.held() == ["before", "now", "trouble"]


def test_stderr_is_told_apart(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """Lines of stderr have an attribute and a badge, and can be filtered."""
    engine.run(container, "echo fine; echo broken >&2; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("broken")
    assert tab.line("broken").get_attribute("data-stream") == "stderr"
    assert tab.line("fine").get_attribute("data-stream") == "stdout"
    expect(tab.line("broken").get_by_text("err", exact=True)).to_be_visible()
    tab.page.get_by_role("group", name="Streams").get_by_role("button", name="stdout").click()
    expect(tab.line("fine")).to_have_count(0)
    expect(tab.line("broken")).to_have_count(1)


@pytest.mark.parametrize("how", ["wheel", "space", "button", "selection", "page up"])
def test_a_reader_pauses_the_log(
    engine: PrivateEngine, filled: Tab, container: str, how: str
) -> None:
    """New lines are counted and do not move what the user reads; ``G`` returns to live."""
    tab = filled
    match how:
        case "wheel":
            tab.log.hover()
            tab.page.mouse.wheel(0, -600)
        case "space":
            tab.page.keyboard.press("Space")
        case "button":
            tab.button("Pause").click()
        case "selection":
            tab.line(str(LINES - 3)).locator(".text").dblclick()
        case "page up":
            tab.log.focus()
            tab.page.keyboard.press("PageUp")
    tab.expect_state("PAUSED · 0 new")
    # Smooth scrolling has ended when the first visible row stays the same.
    tab.page.wait_for_timeout(500)
    before = tab.first_in_sight()
    engine.say(container, "seq 1001 2284")
    tab.expect_state("PAUSED · 1,284 new")
    assert tab.first_in_sight() == before
    tab.page.keyboard.press("G")
    tab.expect_state("LIVE")
    tab.expect_line("2284")


@pytest.mark.parametrize("how", ["G", "End", "button", "wheel"])
def test_ways_back_to_live(engine: PrivateEngine, filled: Tab, container: str, how: str) -> None:
    """Each control returns to the end, where new lines appear."""
    tab = filled
    tab.page.keyboard.press("g")
    tab.expect_line("1")
    tab.expect_state(re.compile("^PAUSED"))
    engine.say(container, "echo unseen")
    tab.expect_state("PAUSED · 1 new")
    match how:
        case "button":
            tab.button("Go to live").click()
        case "wheel":
            tab.log.hover()
            tab.page.mouse.wheel(0, 100_000)
        case key:
            tab.page.keyboard.press(key)
    tab.expect_state("LIVE")
    tab.expect_line("unseen")
    expect(tab.button("Pause")).to_be_visible()


def test_a_container_that_is_restarted(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """The page marks the restart between the lines of both runs, and repeats nothing."""
    engine.run(container, "echo begins $$; seq 1 5; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("5")
    engine.client.restart(container, timeout=0)
    expect(tab.marks.filter(has_text="container")).not_to_have_count(0)
    expect(tab.line("begins")).to_have_count(2)
    tab.expect_state("LIVE")
    once = [f"begins {1}", *"12345"]
    assert tab.held() == once * 2
    marks = [line for line in tab.download().splitlines() if " --- " in line]
    assert any("started" in mark for mark in marks), marks


def test_a_container_that_is_replaced(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """A new container with the same name continues the same log."""
    engine.run(container, "echo the old one; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("the old one")
    engine.remove(container)
    engine.run(container, "echo the new one; sleep 600")
    tab.expect_line("the new one")
    tab.expect_state("LIVE")
    assert tab.held() == ["the old one", "the new one"]


def test_a_container_that_stops(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """The page says that the log has ended, and resumes on request once the container runs."""
    engine.run(container, "echo first run; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("first run")
    engine.client.stop(container, timeout=0)
    tab.expect_state("ENDED")
    expect(tab.page.get_by_role("alert").filter(has_text="ended")).to_be_visible()
    engine.client.start(container)
    tab.button("Watch again").click()
    tab.expect_state(re.compile("LIVE|RECONNECTED"))
    expect(tab.line("first run")).to_have_count(2)
    assert tab.held() == ["first run"] * 2


def test_a_container_that_does_not_run(engine: PrivateEngine, tab: Tab, container: str) -> None:
    """The page shows the container's last lines and says why there are no more."""
    engine.run(container, "echo done; exit 3")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("done")
    tab.expect_state("ENDED")
    expect(tab.page.get_by_role("alert").filter(has_text="not running")).to_be_visible()
