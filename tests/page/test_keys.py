"""The page without a mouse: the shortcuts listed by ``?``, and everything else by Tab and Enter."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import ADMIN

#: More than a screen of lines, with two errors far apart.
SCRIPT = """
seq 1 100; echo '[ERROR] first trouble'; seq 101 200
echo '{"level":"error","msg":"second trouble","user":"ada"}'; seq 201 300
echo '[WARN] careful'; echo '[INFO] fine'; echo '[DEBUG] details'; sleep 600
"""


@pytest.fixture
def log(engine: PrivateEngine, tab: Tab, container: str) -> Tab:
    """A log, scrolled to its end."""
    engine.run(container, SCRIPT)
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("[DEBUG] details")
    tab.expect_state("LIVE")
    return tab


def press(tab: Tab, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        tab.page.keyboard.press(key)


def test_search_keys(log: Tab) -> None:
    """``/`` focuses the field, Enter, ``n`` and ``N`` move between hits, Esc returns to the log."""
    tab = log
    press(tab, "/")
    expect(tab.page.get_by_role("searchbox", name="Search the log")).to_be_focused()
    tab.page.keyboard.type("trouble")
    press(tab, "Escape")
    expect(tab.status("Matches")).to_have_text("2")
    expect(tab.log).to_be_focused()
    press(tab, "n")
    expect(tab.status("Matches")).to_have_text("2 of 2")
    press(tab, "n")
    expect(tab.status("Matches")).to_have_text("1 of 2")
    expect(tab.log.locator("[aria-current=true]")).to_contain_text("first trouble")
    press(tab, "N")
    expect(tab.status("Matches")).to_have_text("2 of 2")
    assert "q=trouble" in tab.page.url


def test_error_keys(log: Tab) -> None:
    """``E`` goes to the previous error and ``e`` to the next; both report if there is none."""
    tab = log
    current = tab.log.locator("[aria-current=true]")
    press(tab, "E")
    expect(current).to_contain_text("second trouble")
    press(tab, "E")
    expect(current).to_contain_text("first trouble")
    press(tab, "E")
    expect(tab.status("Notice")).to_have_text("No earlier error in the loaded lines")
    press(tab, "e")
    expect(current).to_contain_text("second trouble")


def test_timestamp_keys(log: Tab) -> None:
    """``t`` cycles through the timestamp formats."""
    tab = log
    time = tab.line("[INFO] fine").locator("time")
    expect(time).to_have_text(re.compile(r"^[\d:]{8}\.\d{3}$"))
    for pattern in (r"^[\d:]{8}\.\d{3}Z$", r"^(now|\d+ s ago)$", r"^\+\d+\.\d{3}$"):
        press(tab, "t")
        expect(time).to_have_text(re.compile(pattern))
    press(tab, "t")
    expect(time).to_have_count(0)


def test_wrap_and_theme_are_remembered(log: Tab) -> None:
    """``w``, the theme and the filter persist after a reload."""
    tab = log
    press(tab, "w")
    expect(tab.button("Wrap")).to_have_attribute("aria-pressed", "true")
    before = tab.page.evaluate("document.documentElement.dataset.theme")
    tab.button("Theme").click()
    tab.button("Theme").click()
    press(tab, "l")
    expect(tab.line("[DEBUG] details")).to_have_count(0)
    tab.page.reload()
    tab.expect_line("[INFO] fine")
    expect(tab.line("[DEBUG] details")).to_have_count(0)
    expect(tab.button("Wrap")).to_have_attribute("aria-pressed", "true")
    assert tab.page.evaluate("document.documentElement.dataset.theme") in {"dark", "light"}
    assert before in {"dark", "light"}


def test_level_keys(log: Tab) -> None:
    """``l`` hides more and more levels, and then shows all of them again."""
    tab = log
    for gone in ("[DEBUG] details", "[INFO] fine", "[WARN] careful"):
        tab.expect_line(gone)
        press(tab, "l")
        expect(tab.line(gone)).to_have_count(0)
    tab.expect_line("second trouble")
    press(tab, "l")
    tab.expect_line("[DEBUG] details")


def test_clear_up_to_here(log: Tab) -> None:
    """``c`` removes what is above the current line and nothing after it."""
    tab = log
    press(tab, "E")
    expect(tab.log.locator("[aria-current=true]")).to_contain_text("second trouble")
    press(tab, "c")
    tab.expect_line("201")
    assert tab.held()[:2] == ["201", "202"]
    press(tab, "G", "c")
    expect(tab.log.locator("[data-time]")).to_have_count(0)


def test_lines_open_to_their_fields(log: Tab) -> None:
    """Enter opens the current line; its fields can be copied and used as filters."""
    tab = log
    press(tab, "E", "Enter")
    details = tab.log.locator(".details")
    expect(details.get_by_role("row").filter(has_text="user")).to_contain_text("ada")
    tab.button("Show only lines with this user").press("Enter")
    expect(tab.line("trouble")).to_have_count(1)
    expect(tab.line("first trouble")).to_have_count(0)
    tab.button("Remove the filter user is ada").press("Enter")
    expect(tab.line("201").first).to_be_visible()


def test_the_last_line_opens_into_sight(log: Tab) -> None:
    """The details of a line at the bottom are scrolled into view."""
    tab = log
    press(tab, "Space")
    tab.line("[DEBUG] details").locator(".text").click()
    press(tab, "Enter")
    details = tab.log.locator(".details")
    expect(details).to_be_in_viewport(ratio=1)
    expect(tab.line("[DEBUG] details")).to_have_attribute("aria-current", "true")


def test_digits_and_palette(engine: PrivateEngine, log: Tab, container: str) -> None:
    """Digits open the applications in order; the palette opens everything by name."""
    tab = log
    press(tab, "1")
    tab.page.wait_for_url(re.compile(r"/log\?app=1$"))
    press(tab, "Control+k")
    tab.page.keyboard.type(container)
    press(tab, "Enter")
    expect(tab.log).to_have_attribute("aria-label", f"Log of {container}")
    press(tab, "Control+k")
    tab.page.keyboard.type("metr")
    press(tab, "Enter")
    expect(tab.page.get_by_role("heading", name="Metrics")).to_be_visible()
    press(tab, "Control+k", "Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    press(tab, "?")
    dialog = tab.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    press(tab, "Escape")
    expect(dialog).to_have_count(0)


def test_keys_are_text_in_fields(log: Tab) -> None:
    """Typing into the search field triggers no shortcuts."""
    tab = log
    press(tab, "/")
    tab.page.keyboard.type("n e g c w 1 ?")
    expect(tab.page.get_by_role("searchbox", name="Search the log")).to_have_value("n e g c w 1 ?")
    expect(tab.button("Wrap")).to_have_attribute("aria-pressed", "false")
    tab.expect_state("LIVE")


@pytest.mark.parametrize("address", ["", "host", "deployments", "manage", "log?app={app}"])
def test_everything_is_reached_by_tab(
    engine: PrivateEngine, tab: Tab, container: str, address: str
) -> None:
    """Every control of a view gets a visible focus, and none traps it."""
    engine.run(container, "echo one; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(address.format(app=app))
    tab.page.wait_for_timeout(1000)
    wanted = tab.page.evaluate(
        """() => {
          const all = document.querySelectorAll('a[href], button, input, select, [tabindex]');
          const shown = [...all].filter((each) => each.checkVisibility()
            && !each.disabled && each.tabIndex >= 0);
          shown.forEach((each, i) => { each.dataset.stop = i; });
          return shown.length;
        }"""
    )
    tab.page.evaluate("document.activeElement.blur()")
    reached = set()
    # A field for a date and a time has a stop for each of its parts.
    for _ in range(wanted + 3 + 8):
        press(tab, "Tab")
        found = tab.page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              const seen = style.outlineStyle !== 'none'
                || getComputedStyle(at.parentElement).borderColor !== '';
              return [at.dataset.stop ?? '', seen];
            }"""
        )
        reached.add(found[0])
        assert found[1] or found[0] == ""
    assert reached >= {str(number) for number in range(wanted)}


def test_an_application_by_keys_alone(tab: Tab) -> None:
    """An application can be added without a mouse, beginning at the sign-in."""
    tab.open()
    expect(tab.page.get_by_role("textbox", name="Email")).to_be_focused()
    tab.page.keyboard.type(ADMIN)
    press(tab, "Tab")
    tab.page.keyboard.type(tab.service.password)
    press(tab, "Enter")
    expect(tab.page.get_by_role("navigation", name="Main")).to_be_visible()
    press(tab, "Control+k")
    tab.page.keyboard.type("manage")
    press(tab, "Enter")
    name = tab.page.get_by_role("textbox", name="Name", exact=True)
    for _ in range(60):
        press(tab, "Tab")
        if name.evaluate("(field) => field === document.activeElement"):
            break
    tab.page.keyboard.type("by-keys")
    press(tab, "Tab")
    tab.page.keyboard.type("by-keys-container")
    press(tab, "Enter")
    expect(tab.page.get_by_role("row").filter(has_text="by-keys-container")).to_be_visible()
