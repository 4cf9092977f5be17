"""The charts of the host."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.support.page.tab import Tab
from tests.support.wait import wait_until

CHARTS = {
    "CPU": r"CPU \d+\.\d %",
    "Memory": r"Memory \d+\.\d %",
    "Disk": r"Disk \d+\.\d %",
    "Containers": r"Containers \d+ of \d+ running",
}


def chart(tab: Tab, name: str) -> Locator:
    """Return the chart by its role and its name, which contains the latest value."""
    return tab.page.get_by_role("img", name=re.compile(f"^{CHARTS[name]}$"))


def painted(chart: Locator) -> int:
    """Return how many columns of the chart's canvas are painted."""
    columns: int = chart.locator("canvas").evaluate(
        """(canvas) => {
          const {width, height} = canvas;
          const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
          let columns = 0;
          for (let x = 0; x < width; x++) {
            for (let y = 0; y < height; y++) {
              if (data[(y * width + x) * 4 + 3] > 0) { columns += 1; break; }
            }
          }
          return columns;
        }"""
    )
    return columns


def test_charts_say_their_latest_value_and_go_on(tab: Tab) -> None:
    """Each chart has its value in its accessible name, and gets a new one every second."""
    tab.sign_in("host")
    for name in CHARTS:
        expect(chart(tab, name)).to_be_visible()
    names: set[str | None] = set()

    def three_values() -> bool:
        names.add(chart(tab, "CPU").get_attribute("aria-label"))
        return len(names) >= 3

    wait_until(three_values, "three values", every=0.3)


def test_charts_have_history_at_once(tab: Tab) -> None:
    """The samples that the service remembers are drawn together with the first one."""
    tab.sign_in("manage")
    # The sampler has been running since the service's start; these are its samples so far.
    tab.page.wait_for_timeout(3000)
    tab.page.get_by_role("link", name="Home").click()
    expect(chart(tab, "CPU")).to_be_visible()
    tab.page.wait_for_timeout(200)
    assert painted(chart(tab, "CPU")) > 50


def test_zoom_without_a_mouse(tab: Tab) -> None:
    """Buttons choose the time range of all charts."""
    tab.sign_in("host")
    expect(chart(tab, "CPU")).to_be_visible()
    expect(tab.button("5 min")).to_have_attribute("aria-pressed", "true")
    tab.button("1 min").press("Enter")
    expect(tab.button("1 min")).to_have_attribute("aria-pressed", "true")
    tab.button("Zoom in").press("Enter")
    expect(tab.button("1 min")).to_have_attribute("aria-pressed", "false")


def test_dragging_zooms_all_charts(tab: Tab) -> None:
    """A drag over one chart narrows the range of all; a double click resets it."""
    tab.sign_in("host")
    plot = chart(tab, "CPU")
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + 150, middle)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 300, middle, steps=5)
    tab.page.mouse.up()
    expect(tab.button("5 min")).to_have_attribute("aria-pressed", "false")
    tab.page.mouse.dblclick(box["x"] + 200, middle)
    expect(tab.button("All")).to_have_attribute("aria-pressed", "true")
