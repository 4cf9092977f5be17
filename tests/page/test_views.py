"""axe-core finds no violation in any view, in both themes, on a phone and on a desktop."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.conftest import OpenTab
from tests.support.page.showcase import Showcase
from tests.support.page.tab import Tab

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
SIZES = {"phone": (360, 740), "desk": (1440, 900)}

#: An action on a view before it is checked.
VIEWS = {
    "home": "",
    "log": "log?app={shop}",
    "search": "log?app={shop}&q=GET&filter=1&context=1",
    "merged": "log?app={shop}&app=2&app=3",
    "side": "log?app={shop}&app=2&view=side",
    "stopped": "log?app={backup}",
    "deployments": "deployments?app={shop}",
    "deployment": "deployment?id={deployments[2]}",
    "failed": "deployment?id={deployments[1]}",
    "host": "host",
    "figures": "host?app={shop}",
    "manage": "manage",
    "users": "manage?part=users",
    "tokens": "manage?part=tokens",
    "changes": "manage?part=changes",
    "account": "account",
    "nothing": "nothing-here",
    "unknown": "log?app=999",
}
KEYS = {"palette": "Control+k", "keys": "?"}


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", list(SIZES))
def test_views(showcase: Showcase, open_tab: OpenTab, theme: str, size: str) -> None:
    """No view violates WCAG or is wider than the screen."""
    width, height = SIZES[size]
    tab = open_tab(
        showcase.service, viewport={"width": width, "height": height}, color_scheme=theme
    )
    tab.open()
    expect(tab.button("Sign in")).to_be_visible()
    wrong = look_at(tab, f"{size}-{theme}-sign-in")
    tab.sign_in()
    for name, address in VIEWS.items():
        tab.open(address.format(**vars(showcase)))
        expect(tab.page.get_by_role("main")).to_be_visible()
        tab.page.wait_for_timeout(700)
        wrong += look_at(tab, f"{size}-{theme}-{name}")
    tab.open(VIEWS["log"].format(**vars(showcase)))
    tab.expect_state("LIVE")
    tab.expect_line("payment declined", 60)
    tab.page.keyboard.press("E")
    tab.page.keyboard.press("Enter")
    expect(tab.log.locator(".details")).to_be_visible()
    wrong += look_at(tab, f"{size}-{theme}-details")
    tab.open()
    expect(tab.page.get_by_role("navigation", name="Main")).to_be_visible()
    for name, key in KEYS.items():
        tab.page.keyboard.press(key)
        expect(tab.page.get_by_role("dialog")).to_be_visible()
        wrong += look_at(tab, f"{size}-{theme}-{name}")
        tab.page.keyboard.press("Escape")
        expect(tab.page.get_by_role("dialog")).to_have_count(0)
    assert not wrong, "\n".join(wrong)


def look_at(tab: Tab, name: str) -> list[str]:
    """Return the violations in the current view."""
    tab.picture(name)
    wrong = [f"{name}: {text}" for text in tab.axe(AXE.read_text("utf-8"))]
    wide = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*wrong, f"{name}: {wide} px too wide"] if wide > 0 else wrong
