"""Deployments in the page: starting, watching, cancelling and rolling back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.page.conftest import OpenTab
from tests.support.page.tab import Tab
from tests.support.service.deployments import SERVE, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.repository_app import add_repository_app
from tests.support.service.service import Service
from tests.support.wait import wait_until

SETTINGS: dict[str, object] = {
    "deployments.settle_seconds": 0.6,
    "deployments.stop_seconds": 1,
    "supervisor.poll_seconds": 0.2,
}
STAGES = (
    "Clone the repository",
    "Build the image",
    "Stop the old container",
    "Start the new container",
    "Completed",
)
#: A build that takes some seconds and prints numbered lines.
SLOW = tuple(f"RUN echo part {part}; sleep 0.7" for part in range(4))


@pytest.fixture(scope="module")
def deploying(engine: PrivateEngine) -> Iterator[Service]:
    """A service on which deployments are quick."""
    service = Service(engine.host, SETTINGS)
    try:
        service.start()
        yield service
    finally:
        service.destroy()
        remove_deployed(engine)


class Shop:
    """An application with a repository, and a tab that shows it."""

    def __init__(self, tab: Tab, name: str, folder: Path) -> None:
        self.tab = tab
        self.name = name
        self.app, self.repository = add_repository_app(tab.service, folder, name)

    def change(self, subject: str, *steps: str, run: str = SERVE) -> None:
        """Commit another Dockerfile."""
        self.repository.commit({"Dockerfile": dockerfile(*steps, run=run)}, subject)

    def deploy(self) -> None:
        """Press the button and confirm."""
        self.tab.button("Deploy").first.click()
        dialog = self.tab.page.get_by_role("dialog", name=f"Deploy {self.name}?")
        dialog.get_by_role("button", name="Deploy", exact=True).click()
        self.tab.page.wait_for_url(re.compile(r"/deployment\?id=\d+"))

    def expect_end(self, status: str, seconds: float = 60) -> None:
        """Wait until the page shows the deployment's end."""
        state = self.tab.status("Deployment state")
        expect(state).to_have_text(re.compile(f"^{status}"), timeout=seconds * 1000)

    @property
    def stages(self) -> Locator:
        """Return the stages in order."""
        return self.tab.page.get_by_role("list", name="Stages").get_by_role("listitem")

    @property
    def progress(self) -> int:
        """Return the text of the progress bar."""
        bar = self.tab.page.get_by_role("progressbar", name="Deployment progress")
        return int(bar.get_attribute("aria-valuenow") or -1)


@pytest.fixture
def shop(deploying: Service, open_tab: OpenTab, container: str, tmp_path: Path) -> Shop:
    """The deployments view of an application that has none yet."""
    tab = open_tab(deploying)
    made = Shop(tab, container, tmp_path / "repository")
    tab.sign_in(f"deployments?app={made.app}")
    expect(tab.page.get_by_text(f"{container} was never deployed")).to_be_visible()
    return made


def test_a_deployment_from_the_button(shop: Shop, engine: PrivateEngine) -> None:
    """The page shows stages, progress and steps live, and commit, times and history afterwards."""
    tab = shop.tab
    shop.change("Paint it blue", *SLOW)
    shop.deploy()
    expect(shop.stages).to_have_count(5)
    for stage, label in zip(shop.stages.all(), STAGES, strict=True):
        expect(stage).to_contain_text(label)
    expect(shop.stages.nth(1)).to_contain_text("in progress", timeout=30_000)
    seen = {shop.progress}
    tab.expect_line("part 3")
    seen.add(shop.progress)
    shop.expect_end("success")
    assert len(seen) == 2
    assert max(seen) < 100 == shop.progress
    for stage in shop.stages.all():
        expect(stage).to_contain_text(re.compile(r"done.*\d s", re.DOTALL))
    expect(tab.page.get_by_text("‘Paint it blue’")).to_be_visible()
    assert engine.state(shop.name) == "running"
    tab.page.get_by_role("link", name="History").click()
    row = tab.page.get_by_role("row").filter(has_text="Paint it blue")
    expect(row).to_contain_text("success · runs now")
    expect(row).to_contain_text("admin@localhost")


def test_steps_fold(shop: Shop) -> None:
    """Each step of the Dockerfile opens and closes by mouse and by keyboard."""
    tab = shop.tab
    shop.change("Build in parts", "RUN echo part one", "RUN echo part two")
    shop.deploy()
    shop.expect_end("success")
    step = tab.log.get_by_role("button", name="Step 2/4 : RUN echo part one")
    expect(step).to_have_attribute("aria-expanded", "false")
    output = tab.log.get_by_text("part one", exact=True)
    expect(output).to_have_count(0)
    step.click()
    expect(output).to_be_visible()
    step.press("Enter")
    expect(output).to_have_count(0)
    tab.button("Open all steps").click()
    expect(output).to_be_visible()
    expect(tab.log.get_by_text("part two", exact=True)).to_be_visible()


def test_a_deployment_that_fails(shop: Shop) -> None:
    """Reason and first error are at the top, the step is open, and the old container runs."""
    tab = shop.tab
    shop.change("Break it", "RUN echo fine", "RUN echo ERROR: no paint left; exit 7")
    shop.deploy()
    shop.expect_end("failed")
    alert = tab.page.get_by_role("alert").filter(has_text="exit code 7")
    expect(alert).to_contain_text("ERROR: no paint left")
    expect(shop.stages.nth(1)).to_contain_text("failed")
    expect(shop.stages.nth(3)).to_contain_text("not begun")
    expect(tab.log.get_by_text("ERROR: no paint left", exact=True)).to_be_visible()
    tab.button("Fold all steps").click()
    expect(tab.log.get_by_text("ERROR: no paint left", exact=True)).to_have_count(0)
    alert.get_by_role("button", name="Show in the log").click()
    expect(tab.line("ERROR: no paint left").first).to_have_attribute("aria-current", "true")


def test_a_deployment_that_is_cancelled(shop: Shop) -> None:
    """After a confirmation the deployment fails, and the page names the user who cancelled it."""
    tab = shop.tab
    shop.change("Take for ever", "RUN echo begun; sleep 50")
    shop.deploy()
    tab.expect_line("begun")
    tab.button("Cancel deployment").click()
    tab.button("Keep as it is").click()
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    tab.button("Cancel deployment").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Cancel the deployment").click()
    shop.expect_end("failed")
    expect(tab.page.get_by_role("alert").filter(has_text="admin@localhost")).to_be_visible()
    expect(tab.button("Cancel deployment")).to_have_count(0)


def test_rolling_back(shop: Shop, engine: PrivateEngine) -> None:
    """From the history and after a confirmation, the old image runs again."""
    tab = shop.tab
    shop.change("Version one", run=f"echo version one; {SERVE}")
    shop.deploy()
    shop.expect_end("success")
    tab.open(f"deployments?app={shop.app}")
    expect(tab.button("Roll back to this")).to_have_count(0)
    shop.change("Version two", run=f"echo version two; {SERVE}")
    shop.deploy()
    shop.expect_end("success")
    tab.page.get_by_role("link", name="History").click()
    row = tab.page.get_by_role("row").filter(has_text="Version one")
    row.get_by_role("button", name="Roll back to this").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Version one")
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    tab.page.wait_for_url(re.compile(r"/deployment\?id=\d+"))
    shop.expect_end("success")
    expect(tab.page.get_by_text(re.compile("^back to deployment"))).to_be_visible()
    assert engine.lines(shop.name)[0] == "version one"


@pytest.mark.parametrize("fails", [False, True])
def test_a_tab_that_sleeps_meanwhile(shop: Shop, fails: bool) -> None:
    """A tab that was frozen until after the end shows the outcome when it wakes up."""
    tab = shop.tab
    shop.change("While you sleep", *SLOW[:2], *(["RUN exit 9"] if fails else []))
    shop.deploy()
    number = int(tab.page.url.rpartition("=")[2])
    protocol = tab.page.context.new_cdp_session(tab.page)
    protocol.send("Page.setWebLifecycleState", {"state": "frozen"})
    other = tab.page.context.new_page()
    url = f"{tab.service.url}/api/deployments/{number}"

    def ended() -> bool:
        return other.request.get(url).json()["data"]["status"] in {"success", "failed"}

    wait_until(ended, "the deployment's end", 60, every=0.3)
    other.close()
    protocol.send("Page.setWebLifecycleState", {"state": "active"})
    shop.expect_end("failed" if fails else "success", 10)
    assert (shop.progress == 100) is not fails


def test_a_deployment_marks_the_log(shop: Shop) -> None:
    """The log shows the deployment between the lines of the old and the new container."""
    tab = shop.tab
    shop.change("Version one", run=f"echo version one; {SERVE}")
    shop.deploy()
    shop.expect_end("success")
    tab.open(f"log?app={shop.app}")
    tab.expect_line("version one")
    shop.change("Version two", run=f"echo version two; {SERVE}")
    shop.deploy()
    shop.expect_end("success")
    tab.page.go_back()
    tab.expect_line("version two")
    mark = tab.marks.filter(has_text="‘Version two’")
    expect(mark).to_contain_text(re.compile(r"deployment \d+ · \w{7} ‘Version two’ · succeeded in"))
