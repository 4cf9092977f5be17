"""The picture in the README. PAGE_PICTURE names the file to write, docs/page.png."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.page.conftest import OpenTab
from tests.support.page.showcase import Showcase

LARGEST = 400_000


def test_the_picture(showcase: Showcase, open_tab: OpenTab, tmp_path: Path) -> None:
    """Three logs are shown as one, searched and live, in a file small enough for a README."""
    file = Path(os.environ.get("PAGE_PICTURE") or tmp_path / "page.png")
    tab = open_tab(showcase.service, viewport={"width": 1440, "height": 900}, color_scheme="dark")
    tab.sign_in(f"log?app={showcase.shop}&app=2&app=3&q=receipt")
    tab.expect_state("LIVE")
    tab.page.mouse.move(0, 0)
    expect(tab.status("Matches")).to_have_text(re.compile(r"^([5-9]|\d\d)$"), timeout=60_000)
    tab.page.screenshot(path=file)
    assert 20_000 < file.stat().st_size < LARGEST
