"""The page shows each line once and in order, whatever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import expect

from tests.integration.conftest import MakeService
from tests.page.conftest import OpenTab
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

#: Prints numbers at about 300 a second, forever.
NUMBERS = "i=0; while :; do for _ in 1 2 3 4 5 6; do i=$((i+1)); echo $i; done; sleep 0.02; done"


def kill_supervised(name: str) -> Callable[[Service], None]:
    """Send SIGKILL to a process of the supervisor, which starts another one."""

    def kill(service: Service) -> None:
        old = int(service.running(name)[0]["pid"])
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: [r for r in service.running(name) if r["pid"] != old], f"a new {name}")

    return kill


def kill_web_worker(service: Service) -> None:
    """Send SIGKILL to the process that the page's WebSocket is connected to."""
    master = psutil.Process(int(service.running("gunicorn")[0]["pid"]))
    for worker in master.children():
        worker.kill()
        worker.wait(30)
    wait_until(lambda: service.answers("/readyz"), "another web worker")


def kill_service(service: Service) -> None:
    """Send SIGKILL to the supervisor, which ends the service, and start it at the same address."""
    service.kill()
    wait_until(lambda: not service.processes(), "the service's processes to end")
    service.start()


_RECONNECTED = "RECONNECTED · nothing missed"
#: How each process is killed, and the state that the page then shows.
CASUALTIES = {
    "web worker": (kill_web_worker, _RECONNECTED),
    "broker": (kill_supervised("broker"), "LIVE"),
    "collector": (kill_supervised("container/"), "LIVE"),
    "whole service": (kill_service, _RECONNECTED),
}


@pytest.mark.parametrize("casualty", list(CASUALTIES))
def test_every_number_once_and_in_order(
    engine: PrivateEngine,
    make_service: MakeService,
    open_tab: OpenTab,
    container: str,
    casualty: str,
) -> None:
    """After two kills the page shows every number once and says that nothing is missing."""
    # On a busy machine, a start takes longer than 1,000 lines do.
    service = make_service(engine, {"replay.lines": 20_000})
    engine.run(container, NUMBERS)
    app = service.add_app(container, container)
    tab = open_tab(service)
    tab.sign_in(f"log?app={app}")
    tab.expect_state("LIVE")
    kill, said = CASUALTIES[casualty]
    for _ in range(2):
        wait_for_more(tab)
        kill(service)
        tab.expect_state(said, 30)
        wait_for_more(tab)
    numbers = [int(line) for line in tab.held()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] - numbers[0] > 300
    assert " skipped ---" not in tab.download()


def test_the_page_says_that_it_reconnects(
    engine: PrivateEngine, make_service: MakeService, open_tab: OpenTab, container: str
) -> None:
    """The page says that the service is away and when it is back, and keeps its lines visible."""
    service = make_service(engine)
    engine.run(container, "echo precious; sleep 600")
    app = service.add_app(container, container)
    tab = open_tab(service)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("precious")
    service.kill()
    tab.expect_state("RECONNECTING…", 60)
    tab.expect_line("precious")
    expect(tab.page.get_by_role("alert").filter(has_text="no live connection")).to_be_visible(
        timeout=20_000
    )
    wait_until(lambda: not service.processes(), "the service's processes to end")
    service.start()
    tab.expect_state(_RECONNECTED, 40)
    tab.expect_state("LIVE", 30)
    assert tab.held() == ["precious"]


def wait_for_more(tab: Tab, lines: int = 300) -> None:
    """Wait until the newest visible number has risen by this much."""

    def newest() -> int:
        text = tab.log.locator("[data-time]").last.locator(".text").text_content(timeout=60_000)
        return int(text or 0)

    first = newest()
    wait_until(lambda: newest() >= first + lines, f"{lines} more lines", 60, every=0.2)
