"""Older lines of several logs in one view: merged by the engine's time, as far as it has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.test_older import scroll
from tests.page.test_views import AXE
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

NAMES = ("merged-long", "merged-ended")
#: Both write in turn for some seconds, more than the page loads at first.
TOGETHER = """
r=1; while [ $r -le 40 ]; do
  i=1; while [ $i -le 35 ]; do echo {0} $r.$i; i=$((i+1)); done
  [ $((r % 10)) -eq 0 ] && echo needle {0} $r
  sleep 0.1; r=$((r+1))
done
"""
#: Then one of them ends, and the other one goes on for more than the page loads at once.
LONG = f"{TOGETHER.format('long')} sleep 1; seq 1 2500; echo written; sleep 600"
ENDED = f"sleep 0.3; {TOGETHER.format('ended')} sleep 0.3; echo ended"


@pytest.fixture(scope="module")
def logs(engine: PrivateEngine) -> Iterator[list[str]]:
    """Two containers; return their lines as a download has them, the earliest first."""
    for name, script in zip(NAMES, (LONG, ENDED), strict=True):
        engine.run(name, script)
    wait_until(lambda: "written" in engine.lines(NAMES[0]), "the first log", 60)
    wait_until(lambda: "ended" in engine.lines(NAMES[1]), "the second log", 60)
    yield expected(engine)
    for name in NAMES:
        engine.remove(name)


@pytest.fixture
def merged(tab: Tab, service: Service, logs: list[str]) -> Tab:
    """Both logs in one view, scrolled to the end."""
    address = "&".join(f"container={name}" for name in NAMES)
    tab.sign_in(f"log?{address}")
    expect(tab.log.locator("[data-time]").first).to_be_visible()
    tab.expect_state("LIVE")
    assert logs
    return tab


def expected(engine: PrivateEngine) -> list[str]:
    """Return ``TIME NAME LINE`` of all lines, merged by time."""
    found = []
    for name in NAMES:
        text = engine.client.logs(name, timestamps=True).decode()
        stamps = (line.partition(" ") for line in text.splitlines())
        found += [f"{time} {name} {line}" for time, _, line in stamps]
    return sorted(found, key=lambda line: line.partition(" ")[0])


def downloaded(tab: Tab) -> list[str]:
    """Return every line that the page holds, without marks."""
    return [line for line in tab.download().splitlines() if " --- " not in line]


def test_scrolling_back_to_the_beginning(
    engine: PrivateEngine, merged: Tab, logs: list[str]
) -> None:
    """Scrolling up brings the lines of both logs, each once and in the order of time."""
    tab = merged
    tab.page.keyboard.press("Space")
    tab.expect_state("PAUSED · 0 new")
    engine.say(NAMES[0], "seq 1 50")
    first = logs[0].split(" ", 2)[2]
    scroll(tab, by=-5, line=first)
    tab.expect_state("PAUSED · 50 new")
    assert tab.first_in_sight() == first
    assert downloaded(tab) == expected(engine)
    assert tab.page.locator("[role=log] [data-time]").count() < 120
    tab.button("Solo merged-ended").click()
    assert all(" merged-ended " in line for line in downloaded(tab))
    tab.button("Solo merged-ended").click()
    tab.page.keyboard.press("G")
    tab.expect_state("LIVE")


def test_from_the_beginning_on_to_live(engine: PrivateEngine, merged: Tab) -> None:
    """``g`` leads to the first line of both, and scrolling down from there to the live lines."""
    tab = merged
    tab.page.keyboard.press("g")
    tab.expect_line("long 1.1")
    assert tab.first_in_sight() == "long 1.1"
    scroll(tab, by=3, state="LIVE")
    assert downloaded(tab) == expected(engine)


def test_jumping_and_searching(merged: Tab, logs: list[str], tmp_path: Path) -> None:
    """A time and a match in either log are shown among the lines of both."""
    tab = merged
    tab.page.keyboard.press("t")
    begin, end = (logs[at].partition(" ")[0][:19] for at in (0, 1400))
    assert begin < end, "the logs overlap for more than a second"
    tab.page.evaluate(
        """([time]) => {
          const field = document.querySelector('[type=datetime-local]');
          const local = new Date(new Date(`${time}Z`) - new Date().getTimezoneOffset() * 60000);
          field.value = local.toISOString().slice(0, 19);
          field.dispatchEvent(new Event('input', {bubbles: true}));
        }""",
        [end],
    )
    tab.button("Jump").click()
    current = tab.log.locator("[aria-current=true]")
    place = next(at for at, line in enumerate(logs) if line > end)
    expect(current).to_have_attribute("data-time", logs[place].partition(" ")[0])
    around = [line.split(" ", 2)[2] for line in logs[place - 2 : place + 3]]
    texts = tab.log.locator(".text").all_inner_texts()
    assert texts[texts.index(around[0]) :][:5] == around

    tab.page.get_by_role("searchbox", name="Search the log").fill("NEEDLE")
    tab.button("Search the whole log").click()
    expect(tab.status("Whole log")).to_have_text("8 matches · searched the whole log")
    results = tab.page.get_by_role("group", name="Matches in the whole log")
    found = [line for line in reversed(logs) if "needle" in line]
    assert results.locator(".text").all_inner_texts() == [line.split(" ", 2)[2] for line in found]
    assert results.locator(".source").all_inner_texts() == [line.split(" ")[1] for line in found]
    assert not tab.axe(AXE.read_text("utf-8"))
    results.press("ArrowDown")
    results.press("Enter")
    expect(current).to_have_attribute("data-time", found[0].partition(" ")[0])
    with tab.page.expect_download() as download:
        tab.button("Download all matches").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    parts = (line.split(" ", 2) for line in reversed(found))
    assert lines == [f"{name:12} | {time} {text}" for time, name, text in parts]
