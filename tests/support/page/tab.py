"""A tab of a real browser, and checks for errors in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Response, expect

from tests.support.service.service import ADMIN, Service

#: The browser's own messages about an answer or a WebSocket that a test makes fail.
_NETWORK: Final = re.compile(r"Failed to load resource|WebSocket connection to .* failed")
#: Violations of the Content-Security-Policy are errors, whatever their source.
_REPORT_VIOLATIONS: Final = """
addEventListener('securitypolicyviolation', (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


class Tab:
    """A page and the service that it shows.

    ``problems`` holds console errors, uncaught errors, violations of the page's policy,
    dialogs, and missing files.
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

    # -------------------------------------------------------------- navigation

    def open(self, address: str = "") -> None:
        """Open an address of the page in this tab."""
        self.page.goto(f"{self.service.url}/{address}")

    def sign_in(self, address: str = "", email: str = ADMIN, password: str | None = None) -> None:
        """Open an address, and sign in if the page asks for it."""
        self.open(address)
        self.fill_in(email, self.service.password if password is None else password)
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    def fill_in(self, email: str, password: str) -> None:
        """Fill in and submit the sign-in form."""
        self.page.get_by_role("textbox", name="Email").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.button("Sign in").click()

    # ----------------------------------------------------------------- content

    def button(self, name: str) -> Locator:
        """Return the button with exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def status(self, name: str) -> Locator:
        """Return the element with role ``status`` and this name."""
        return self.page.get_by_role("status", name=name, exact=True)

    @property
    def log(self) -> Locator:
        """The visible log."""
        return self.page.get_by_role("log")

    def line(self, text: str) -> Locator:
        """Return the visible rows that contain ``text``."""
        return self.log.locator("[data-time]").filter(has_text=text)

    @property
    def marks(self) -> Locator:
        """Return the visible dividers between lines."""
        return self.log.locator("[data-mark]")

    def expect_state(self, text: str | re.Pattern[str], seconds: float = 20.0) -> None:
        """Wait until the stream's state has this text."""
        expect(self.status("Stream state")).to_have_text(text, timeout=seconds * 1000)

    def expect_line(self, text: str, seconds: float = 20.0) -> None:
        """Wait until a row with the text is visible."""
        expect(self.line(text).first).to_be_visible(timeout=seconds * 1000)

    def first_in_sight(self) -> str:
        """Return the text of the topmost row that is completely visible."""
        return str(
            self.log.evaluate(
                """(log) => [...log.querySelectorAll('[data-time]')].find((row) =>
                  row.getBoundingClientRect().top >= log.getBoundingClientRect().top)
                  .querySelector('.text').textContent"""
            )
        )

    def held(self) -> list[str]:
        """Return every line that the page holds, as downloaded, without times."""
        texts = [line.partition(" ")[2] for line in self.download().splitlines()]
        return [text for text in texts if not text.startswith("--- ")]

    def download(self) -> str:
        """Return what the Download button gives: lines and dividers, each after its time."""
        with self.page.expect_download() as download:
            self.button("Download").click()
        return Path(download.value.path()).read_text("utf-8")

    def picture(self, name: str) -> None:
        """Take a screenshot if PAGE_PICTURES names a folder for them."""
        if folder := os.environ.get("PAGE_PICTURES"):
            self.page.screenshot(path=f"{folder}/{name}.png")

    # ------------------------------------------------------------------ checks

    def check(self) -> None:
        """Raise AssertionError if the page had a problem."""
        assert not self.problems, "\n".join(self.problems)

    def axe(self, source: str) -> list[str]:
        """Run axe-core and return the text of each violation."""
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
