"""The page's speed: it never freezes, and shows the first line at once.

PAGE_SECONDS is the duration of the flood; 60 measures the documented limits. The machine
that runs the tests may have two cores, while the producer, the service and the browser
need one each, so the bounds here are wider than what the page achieves on a desktop.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.conftest import MakeService
from tests.page.conftest import OpenTab
from tests.support.page.tab import Tab
from tests.support.page.unwatched import UnwatchedPage
from tests.support.service.clients import WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import ADMIN, Service

SECONDS: Final = float(os.environ.get("PAGE_SECONDS", "15"))
HELD: Final = 100_000
#: Milliseconds: the slowest frame in a thousand, and a task that blocks the page.
LONGEST_FRAME: Final = 50 if SECONDS >= 60 else 120
LONGEST_TASK: Final = 100 if SECONDS >= 60 else 200
#: The lines of a tenth of a second.
BLOCK: Final = 500

_MEASURE: Final = """() => {
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
_RESULTS: Final = """(() => {
  // The first one is from before the measurement.
  const found = {frames: window.frames.slice(1), tasks: window.longTasks};
  window.frames = [];
  window.longTasks = [];
  return found;
})()"""
#: Resolves to the milliseconds from an action until a text is present.
_UNTIL: Final = """([action, selector, wanted]) => new Promise((resolve) => {
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
        """Write blocks one after the other and return when all are written."""
        self.engine.say(
            self.name,
            f"i=0; while [ $i -lt {blocks} ]; do cat /lines/block; sleep {pause}; i=$((i+1)); done",
        )


@pytest.fixture
def producer(engine: PrivateEngine, container: str, tmp_path: Path) -> Producer:
    """A container that waits for instructions."""
    return Producer(engine, container, tmp_path)


@pytest.fixture
def filled(tab: Tab, producer: Producer) -> Tab:
    """A log with the maximum number of lines that a page holds."""
    app = tab.service.add_app(producer.name, producer.name)
    tab.sign_in(f"log?app={app}")
    tab.expect_state("LIVE")
    producer.write(HELD // BLOCK + 1, 0.03)
    tab.expect_line("request number 499")
    tab.page.wait_for_timeout(1000)
    return tab


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.timeout(420)
def test_a_flood_of_lines(
    service: Service, browser: Browser, producer: Producer, tmp_path: Path
) -> None:
    """The page copes with 5,000 lines a second: frames, long tasks, memory, number of elements."""
    app = service.add_app(producer.name, producer.name)
    with UnwatchedPage(tmp_path / "profile", service.url) as page:
        page.wait_for("document.querySelector('form')")
        body = {"email": ADMIN, "password": service.password}
        page.evaluate(
            f"""fetch('/api/auth/login', {{method: 'POST', body: JSON.stringify({json.dumps(body)}),
            headers: {{'Content-Type': 'application/json'}}}}).then((answer) => answer.status)"""
        )
        page.evaluate(f"location.assign('log?app={app}')")
        page.wait_for("document.querySelector('[aria-label=\"Stream state\"]').innerText == 'LIVE'")
        producer.write(HELD // BLOCK + 1, 0.03)
        page.evaluate(f"({_MEASURE})()")
        began = time.monotonic()
        producer.write(int(SECONDS * 5), 0.09)
        took = time.monotonic() - began
        # The forced garbage collection is not the page's own work, so it is not measured.
        first = page.evaluate(_RESULTS)
        middle = page.heap()
        page.evaluate(_RESULTS)
        producer.write(int(SECONDS * 5), 0.09)
        second = page.evaluate(_RESULTS)
        end = page.heap()
        rows = page.evaluate("document.querySelectorAll('[data-time]').length")
        skipped = page.evaluate("document.querySelectorAll('[data-mark=gap]').length")
        strip = page.evaluate("document.querySelector('.strip [role=img]').ariaLabel")
    frames, tasks = first["frames"] + second["frames"], first["tasks"] + second["tasks"]
    print(
        f"\n{SECONDS * 5 * BLOCK / took:.0f} lines/s; {len(frames)} frames, in ms: "
        f"median {statistics.median(frames):.1f}, 99 % {percentile(frames, 0.99):.1f}, "
        f"99.9 % {percentile(frames, 0.999):.1f}, longest {max(frames):.1f}; "
        f"{len(tasks)} long tasks, longest {max(tasks, default=0):.0f} ms; "
        f"heap {middle / 2**20:.1f} MiB, then {end / 2**20:.1f} MiB; {rows} rows; {strip}"
    )
    assert rows < 120
    assert skipped == 0
    assert end < middle * 1.1 + 2 * 2**20
    assert percentile(frames, 0.99) <= 50
    assert percentile(frames, 0.999) <= LONGEST_FRAME
    assert max(tasks, default=0) <= LONGEST_TASK


def test_searching_and_filtering_all_lines(filled: Tab) -> None:
    """Searching and filtering take at most 300 ms, from the input to the result on the screen.

    The median of three, because other processes may interfere.
    """
    tab = filled
    expected = str(sum("needle" in line for line in tab.held()))
    times: dict[str, list[float]] = {"search": [], "expression": [], "filter": [], "levels": []}

    def search(text: str, matches: str) -> float:
        field = ["type", "input[aria-label='Search the log']", text]
        return until(tab, field, "[aria-label=Matches]", matches)

    for _ in range(3):
        times["search"].append(search("needle", expected))
        search("", "")
        tab.button("Regular expression").click()
        times["expression"].append(search("n[e]{2}dle", expected))
        only = ["click", "search [title='Show only lines that match']"]
        times["filter"].append(until(tab, only, "[data-time]", "needle"))
        for name in ("Filter", "Regular expression"):
            tab.button(name).click()
        search("", "")
        levels = tab.page.get_by_role("group", name="Levels").get_by_role("button")
        for name in ("Warn", "Info"):
            levels.filter(has_text=name).click()
        debug = ["click", "[aria-label=Levels] .debug"]
        errors = "[data-level=error], [data-level=debug]"
        times["levels"].append(until(tab, debug, errors, "level=error"))
        for name in ("Warn", "Info", "Debug"):
            levels.filter(has_text=name).click()
        expect(tab.log.locator("[data-level=debug]").first).to_be_visible()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("\n" + ", ".join(f"{name} {ms:.0f} ms" for name, ms in medians.items()))
    for name, ms in medians.items():
        assert ms <= 300, f"{name}: {times[name]}"


def test_the_first_line_is_there_at_once(
    engine: PrivateEngine, make_service: MakeService, open_tab: OpenTab, container: str
) -> None:
    """The first line appears within 300 ms of a click, as the median of ten."""
    service = make_service(engine)
    engine.run(container, "seq 1 500; sleep 600")
    app = service.add_app(container, container)
    tab = open_tab(service)
    tab.sign_in()
    # Another client is already connected, so the collector is running.
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


_RAW: Final = """(app) => new Promise((resolve) => {
  const began = performance.now();
  const socket = new WebSocket(`ws://${location.host}/ws/container/logs?appId=${app}&tail=1000`);
  socket.onmessage = ({data}) => {
    if (JSON.parse(data).type !== 'log') return;
    resolve(performance.now() - began);
    socket.close();
  };
})"""


def until(tab: Tab, action: list[str], selector: str, text: str | None) -> float:
    """Run an action and return the milliseconds until all elements have their texts.

    "" means no text, None means any.
    """
    return float(tab.page.evaluate(_UNTIL, [action, selector, text]))
