"""How fast the page is: it never freezes, and the first line is there at once.

PAGE_SECONDS is how long the flood lasts, 60 where the promise is to be measured.  The
machine that tests may have two cores, of which the producer, the service and the browser
want one each: frames are compared with those of an empty page in the same browser.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import expect

from tests.integration.conftest import MakeService
from tests.page.conftest import OpenTab
from tests.page.harness.tab import Tab
from tests.support.service.clients import WebsocketsClient
from tests.support.service.engine import PrivateEngine

SECONDS: Final = float(os.environ.get("PAGE_SECONDS", "15"))
HELD: Final = 100_000
#: The lines of a tenth of a second.
BLOCK: Final = 500

_MEASURE = """() => {
  window.frames = [];
  window.longTasks = [];
  let last = performance.now();
  const frame = (now) => {
    window.frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const {duration} of list.getEntries()) window.longTasks.push(duration);
  }).observe({type: 'longtask'});
}"""
#: Resolves with the milliseconds from an action to the moment in which a text is there.
_UNTIL = """([action, selector, wanted]) => new Promise((resolve) => {
  const began = performance.now();
  const look = () => {
    const found = [...document.querySelectorAll(selector)];
    const right = (text) => (wanted === '' ? text === '' : text.includes(wanted ?? ''));
    if (found.length === 0 || !found.every((each) => right(each.textContent))) return;
    clearInterval(timer);
    resolve(performance.now() - began);
  };
  const timer = setInterval(look, 1);
  if (action[0] === 'click') document.querySelector(action[1]).click();
  else {
    const field = document.querySelector(action[1]);
    field.value = action[2];
    field.dispatchEvent(new InputEvent('input', {bubbles: true}));
  }
})"""


class Producer:
    """A container that writes as fast as it is told to."""

    def __init__(self, engine: PrivateEngine, name: str, folder: Path) -> None:
        levels = ("info", "info", "debug", "info", "warn", "info", "info", "debug", "info", "error")
        lines = [
            f"2025-01-15T10:30:{number % 60:02} level={levels[number % 10]} "
            f'msg="request number {number} was served" path=/items/{number * 37 % 9973} '
            f"status=200 ms={number % 190} {'needle ' if number == 77 else ''}\n"
            for number in range(BLOCK)
        ]
        (folder / "block").write_text("".join(lines))
        self.engine, self.name = engine, name
        engine.run(name, "echo ready; sleep 3600", binds=[f"{folder}:/lines"])

    def write(self, blocks: int, pause: float) -> None:
        """Write blocks, one after the other, and return when that is done."""
        self.engine.say(
            self.name,
            f"i=0; while [ $i -lt {blocks} ]; do cat /lines/block; sleep {pause}; i=$((i+1)); done",
        )


@pytest.fixture
def producer(engine: PrivateEngine, container: str, tmp_path: Path) -> Producer:
    """A container that waits to be told."""
    return Producer(engine, container, tmp_path)


@pytest.fixture
def filled(tab: Tab, producer: Producer) -> Tab:
    """A log that holds all the lines a page ever holds."""
    app = tab.service.add_app(producer.name, producer.name)
    tab.sign_in(f"log?app={app}")
    tab.expect_state("LIVE")
    producer.write(HELD // BLOCK + 1, 0.03)
    tab.expect_line("request number 499")
    tab.page.wait_for_timeout(1000)
    return tab


def percentile(values: list[float], share: float) -> float:
    """The value that so many of the others do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.timeout(420)
def test_a_flood_of_lines(filled: Tab, producer: Producer, open_tab: OpenTab) -> None:
    """5,000 lines a second: frames, long tasks, memory and the number of elements."""
    tab = filled
    # An empty page beside it shows what the machine does to any page.
    empty = open_tab(tab.service)
    empty.page.goto("about:blank")
    heap = Heap(tab)
    for each in (tab, empty):
        each.page.evaluate(_MEASURE)
    half = int(SECONDS * 5)
    began = time.monotonic()
    producer.write(half, 0.1)
    took = time.monotonic() - began
    # To collect all garbage at once is not the page's own work: it is not measured.
    first = results(tab)
    middle = heap.used()
    results(tab)
    producer.write(half, 0.1)
    second, others = results(tab), results(empty)["frames"]
    end = heap.used()
    frames, tasks = first["frames"] + second["frames"], first["tasks"] + second["tasks"]
    rows = tab.log.locator("[data-time]").count()
    print(
        f"\n{half * BLOCK / took:.0f} lines/s; {len(frames)} frames, in ms: "
        f"median {statistics.median(frames):.1f}, 99 % {percentile(frames, 0.99):.1f}, "
        f"99.9 % {percentile(frames, 0.999):.1f}, longest {max(frames):.1f}; "
        f"those of an empty page: 99.9 % {percentile(others, 0.999):.1f}; "
        f"{len(tasks)} long tasks, longest {max(tasks, default=0):.0f} ms; "
        f"heap {middle / 2**20:.1f} MiB, then {end / 2**20:.1f} MiB; {rows} rows"
    )
    assert rows < 120
    assert "skipped ---" not in tab.download()
    assert len(tab.held()) >= HELD
    assert end < middle * 1.1 + 2 * 2**20
    assert percentile(frames, 0.999) <= 50 + percentile(others, 0.999)
    assert max(tasks, default=0) <= 100 + max(others)


def test_searching_and_filtering_all_lines(filled: Tab) -> None:
    """Within 300 ms each, from the letter or the click to the result on the screen."""
    tab = filled
    times = {}
    expected = sum("needle" in line for line in tab.held())
    field = ["type", "input[aria-label='Search the log']", "needle"]
    times["search"] = until(tab, field, "[aria-label=Matches]", f"{expected}")
    field[2] = ""
    until(tab, field, "[aria-label=Matches]", "")
    tab.button("Regular expression").click()
    field[2] = "n[e]{2}dle"
    times["expression"] = until(tab, field, "[aria-label=Matches]", f"{expected}")
    button = ["click", "search [title='Show only lines that match']"]
    times["filter"] = until(tab, button, "[data-time]", "needle")
    tab.button("Filter").click()
    field[2] = ""
    until(tab, field, "[aria-label=Matches]", "")
    for level in ("Warn", "Info"):
        tab.page.get_by_role("group", name="Levels").get_by_role("button", name=level).click()
    debug = ["click", "[aria-label=Levels] .debug"]
    times["levels"] = until(tab, debug, "[data-level=error], [data-level=debug]", "level=error")
    print("\n" + ", ".join(f"{name} {ms:.0f} ms" for name, ms in times.items()))
    for name, ms in times.items():
        assert ms <= 300, f"{name}: {ms:.0f} ms"


def test_the_first_line_is_there_at_once(
    engine: PrivateEngine, make_service: MakeService, open_tab: OpenTab, container: str
) -> None:
    """Median of ten clicks, beside the WebSocket alone in the same browser."""
    service = make_service(engine)
    engine.run(container, "seq 1 500; sleep 600")
    app = service.add_app(container, container)
    tab = open_tab(service)
    tab.sign_in()
    # Somebody watches already: the collector is warm.
    watcher = WebsocketsClient(service.ws_url("container/logs", appId=app), service.login())
    watcher.wait_lines(100)
    clicks, sockets = [], []
    for _ in range(10):
        row = tab.page.get_by_role("row").filter(has_text=container)
        expect(row).to_contain_text("running")
        link = ["click", f"table a[href='log?app={app}']"]
        clicks.append(until(tab, link, "[data-time]", None))
        sockets.append(float(tab.page.evaluate(_RAW, app)))
        tab.page.get_by_role("link", name="Home").click()
    watcher.close()
    click, socket = statistics.median(clicks), statistics.median(sockets)
    print(f"\nfirst line {click:.0f} ms after the click, {socket:.0f} ms by the WebSocket alone")
    assert click <= 300


_RAW = """(app) => new Promise((resolve) => {
  const began = performance.now();
  const socket = new WebSocket(`ws://${location.host}/ws/container/logs?appId=${app}&tail=1000`);
  socket.onmessage = ({data}) => {
    if (JSON.parse(data).type !== 'log') return;
    resolve(performance.now() - began);
    socket.close();
  };
})"""


def until(tab: Tab, action: list[str], selector: str, text: str | None) -> float:
    """Do something; return the milliseconds until all elements there have the text.

    "" is no text at all, None is any.
    """
    return float(tab.page.evaluate(_UNTIL, [action, selector, text]))


def results(tab: Tab) -> dict[str, list[float]]:
    """Return what was measured so far, and begin again."""
    found: dict[str, list[float]] = tab.page.evaluate(
        """() => {
          // The first one is from before the measurement.
          const found = {frames: window.frames.slice(1), tasks: window.longTasks};
          window.frames = [];
          window.longTasks = [];
          return found;
        }"""
    )
    return found


class Heap:
    """The memory of the page's objects that are in use."""

    def __init__(self, tab: Tab) -> None:
        self._protocol: Any = tab.page.context.new_cdp_session(tab.page)

    def used(self) -> float:
        """Return the bytes that are left after all garbage is collected."""
        self._protocol.send("HeapProfiler.collectGarbage")
        return float(self._protocol.send("Runtime.getHeapUsage")["usedSize"])
