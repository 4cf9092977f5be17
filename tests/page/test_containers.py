"""All containers of the host: their table, their metrics, and the palette."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, WebSocket, expect

from tests.page.conftest import OpenTab
from tests.page.test_views import AXE
from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

#: Figures come once a second, from a collector that is started first.
PATIENCE_MS = 20_000


@pytest.fixture
def project(engine: PrivateEngine, container: str) -> Iterator[str]:
    """The name of a Compose project with the services ``web`` and ``db``."""
    names = [f"{container}-{service}-1" for service in ("web", "db")]
    for name, service in zip(names, ("web", "db"), strict=True):
        labels = {
            "com.docker.compose.project": container,
            "com.docker.compose.service": service,
        }
        engine.run(name, "while :; do echo tick; sleep 0.2; done", labels=labels)
    yield container
    for name in names:
        engine.remove(name)


def row(tab: Tab, name: str) -> Locator:
    """Return the row whose link is called ``name``."""
    link = tab.page.get_by_role("link", name=name, exact=True)
    return tab.page.get_by_role("row").filter(has=link)


class Sockets:
    """The WebSockets that a page has opened and not closed."""

    def __init__(self, tab: Tab) -> None:
        self._open: list[str] = []
        tab.page.on("websocket", self._on_websocket)

    @property
    def paths(self) -> list[str]:
        """Return the path of each, without its parameters."""
        return [urlsplit(url).path for url in self._open]

    def _on_websocket(self, socket: WebSocket) -> None:
        self._open.append(socket.url)
        socket.on("close", lambda _: self._open.remove(socket.url))


def test_table_of_containers(
    engine: PrivateEngine, tab: Tab, service: Service, container: str, project: str
) -> None:
    """Containers stand in their project with state, image and lines; the table is filtered."""
    tab.sign_in()
    web, db = f"{project}-web-1", f"{project}-db-1"
    expect(row(tab, web)).to_contain_text("running", timeout=PATIENCE_MS)
    group = tab.page.get_by_role("row").filter(has=tab.button(project))
    expect(group).to_contain_text("2 containers, 2 running")
    for name in (re.compile(rf"^CPU of {web} [\d.]+ %$"), re.compile(rf"^Memory of {web} [\d.]+")):
        expect(row(tab, web).get_by_role("img", name=name)).to_be_visible(timeout=PATIENCE_MS)
    engine.client.stop(db, timeout=0)
    expect(row(tab, db)).to_contain_text("exited", timeout=PATIENCE_MS)
    tab.page.get_by_role("searchbox", name="Filter containers").fill(f"{project} exited")
    expect(row(tab, web)).to_have_count(0)
    expect(row(tab, db)).to_be_visible()
    # An application's container moves to the table of applications.
    service.add_app(f"{container}-app", db)
    tab.page.reload()
    expect(row(tab, f"{container}-app")).to_contain_text("exited", timeout=PATIENCE_MS)
    expect(row(tab, db)).to_have_count(0)
    assert not tab.axe(AXE.read_text("utf-8"))


def test_nothing_is_followed_that_is_not_shown(tab: Tab, project: str) -> None:
    """The list is followed on the home page and in the palette; a closed view leaves nothing."""
    sockets = Sockets(tab)
    web = f"{project}-web-1"
    tab.sign_in()
    expect(row(tab, web)).to_be_visible(timeout=PATIENCE_MS)
    row(tab, web).get_by_role("link", name="Figures").click()
    cpu = tab.page.get_by_role("img", name=re.compile(r"^CPU [\d.]+ %$"))
    expect(cpu).to_be_visible(timeout=PATIENCE_MS)
    for name in (r"^Memory [\d.]+ \w+$", "^Network received", "^Block written [\\d.]+ "):
        expect(tab.page.get_by_role("img", name=re.compile(name))).to_be_visible()
    wait_until(lambda: sockets.paths == ["/ws/container/stats"], "the metrics' stream alone")
    assert not tab.axe(AXE.read_text("utf-8"))
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type(f"{project} db metrics")
    choice = tab.page.get_by_role("option", name=f"{project}-db-1: metrics")
    expect(choice).to_be_visible(timeout=PATIENCE_MS)
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("combobox", name="Metrics of")).to_have_value(
        f"container={project}-db-1"
    )
    wait_until(lambda: sockets.paths == ["/ws/container/stats"], "the metrics' stream alone")
    tab.page.get_by_role("link", name="Manage").click()
    wait_until(lambda: sockets.paths == [], "no stream")


def test_viewers_see_their_applications_alone(
    engine: PrivateEngine, service: Service, open_tab: OpenTab, container: str
) -> None:
    """Without the table of containers, a row has the figures of its own stream."""
    engine.run(container, "sleep 600")
    service.add_app(container, container)
    email = f"{container}@example.com"
    service.add_user(email, "correct horse battery")
    service.mist("app", "grant", container, email)
    tab = open_tab(service, viewport={"width": 360, "height": 740})
    tab.sign_in("", email, "correct horse battery")
    line = row(tab, container).get_by_role("img", name=re.compile(f"^CPU of {container} "))
    expect(line).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.page.get_by_role("heading", name="Other containers")).to_have_count(0)
    assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
