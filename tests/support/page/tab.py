"""A tab of a real browser, as a person uses it, and what must never happen in one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Response, expect

from tests.support.service.service import ADMIN, Service

#: What the browser itself says of an answer or a WebSocket that a test has made fail.
_NETWORK: Final = re.compile(r"Failed to load resource|WebSocket connection to .* failed")
#: Violations of the Content-Security-Policy are errors, wherever they come from.
_REPORT_VIOLATIONS: Final = """
addEventListener('securitypolicyviolation', (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


class Tab:
    """A page and the service that it shows.

    ``problems`` are what the page should never do: console errors, uncaught errors,
    violations of its policy, dialogs, files that are missing.
    """

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        self.problems: list[str] = []
        page.add_init_script(_REPORT_VIOLATIONS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("response", self._on_response)
        page.on("dialog", self._on_dialog)

    # ------------------------------------------------------------- going places

    def open(self, address: str = "") -> None:
        """Open an address of the page in this tab, as if it were typed."""
        self.page.goto(f"{self.service.url}/{address}")

    def sign_in(self, address: str = "", email: str = ADMIN, password: str | None = None) -> None:
        """Open an address, and sign in where the page asks for it."""
        self.open(address)
        self.fill_in(email, self.service.password if password is None else password)
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    def fill_in(self, email: str, password: str) -> None:
        """Fill in the form of the sign-in, and send it."""
        self.page.get_by_role("textbox", name="Email").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.button("Sign in").click()

    # --------------------------------------------------------------- what it has

    def button(self, name: str) -> Locator:
        """The button of exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def status(self, name: str) -> Locator:
        """The element with role ``status`` and this name."""
        return self.page.get_by_role("status", name=name, exact=True)

    @property
    def log(self) -> Locator:
        """The log that is shown."""
        return self.page.get_by_role("log")

    def line(self, text: str) -> Locator:
        """The rows in sight that contain ``text``."""
        return self.log.locator("[data-time]").filter(has_text=text)

    @property
    def marks(self) -> Locator:
        """The dividers between lines that are in sight."""
        return self.log.locator("[data-mark]")

    def expect_state(self, text: str | re.Pattern[str], seconds: float = 20.0) -> None:
        """Wait until the stream's state has this text."""
        expect(self.status("Stream state")).to_have_text(text, timeout=seconds * 1000)

    def expect_line(self, text: str, seconds: float = 20.0) -> None:
        """Wait until a row with the text is in sight."""
        expect(self.line(text).first).to_be_visible(timeout=seconds * 1000)

    def first_in_sight(self) -> str:
        """The text of the topmost row that is wholly in sight."""
        return str(
            self.log.evaluate(
                """(log) => [...log.querySelectorAll('[data-time]')].find((row) =>
                  row.getBoundingClientRect().top >= log.getBoundingClientRect().top)
                  .querySelector('.text').textContent"""
            )
        )

    def held(self) -> list[str]:
        """Every line that the page holds, as the Download button gives them, without times."""
        texts = [line.partition(" ")[2] for line in self.download().splitlines()]
        return [text for text in texts if not text.startswith("--- ")]

    def download(self) -> str:
        """What the Download button gives: lines and dividers, each behind its time."""
        with self.page.expect_download() as download:
            self.button("Download").click()
        return Path(download.value.path()).read_text("utf-8")

    def picture(self, name: str) -> None:
        """Take a picture, if PAGE_PICTURES names a folder for those who want to look."""
        if folder := os.environ.get("PAGE_PICTURES"):
            self.page.screenshot(path=f"{folder}/{name}.png")

    # ------------------------------------------------------------------- checks

    def check(self) -> None:
        """AssertionError if something happened that never should."""
        assert not self.problems, "\n".join(self.problems)

    def axe(self, source: str) -> list[str]:
        """Run axe-core, and return its violations, one text each."""
        self.page.evaluate(source)
        found: dict[str, Sequence[dict[str, Any]]] = self.page.evaluate(
            "async () => { const {violations} = await axe.run(); return {violations}; }"
        )
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:5]]} "
            f"{each['nodes'][0]['failureSummary']}"
            for each in found["violations"]
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _NETWORK.match(message.text):
            self.problems.append(f"console: {message.text}")

    def _on_response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and not path.startswith("/api/"):
            self.problems.append(f"{path} was answered with {response.status}")

    def _on_dialog(self, dialog: Any) -> None:
        self.problems.append(f"a dialog: {dialog.message}")
        dialog.dismiss()
