"""Logs with hostile content: nothing executes, and the layout is unaffected."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.support.page.tab import Tab
from tests.support.service.engine import PrivateEngine

#: Each is written byte by byte, and calls ``alert`` if it is ever executed.
HOSTILE: list[bytes] = [
    b"<script>alert(1)</script>",
    b"<img src=x onerror=alert(2)>",
    b"<svg/onload=alert(3)><iframe srcdoc='<script>alert(4)</script>'>",
    b"\"><a href='javascript:alert(5)'>click</a>",
    b"javascript:alert(6) JaVaScRiPt:alert(7) data:text/html,<script>alert(8)</script>",
    b"{{constructor.constructor('alert(9)')()}} ${alert(10)} {@html alert(11)}",
    b'{"level":"<img src=x onerror=alert(12)>","__proto__":{"polluted":1},"<b>k</b>":"<i>v</i>"}',
    b'msg="<img src=x onerror=alert(13)>" key=javascript:alert(14)',
    b"\x1b]8;;javascript:alert(15)\x1b\\an OSC 8 link\x1b]8;;\x1b\\",
    b"\x1b]8;;https://evil.example/\x07another OSC 8 link\x1b]8;;\x07",
    b"\x1b]0;a title\x07\x1b[2J\x1b[H\x1b[10A\x1b[?1049h\x1b[31;1mred after moves\x1b[0m",
    b"\x1b]52;c;ZXZpbA==\x07\x1b[6n\x1bc\x1b[>0c clipboard and queries",
    b"\x1b[38;5;196mindexed\x1b[0m \x1b[48;2;1;2;3m\x1b[38;2;250;251;252mtrue colour\x1b[0m",
    b"\x1b[38;2;14;17;22mthe colour of the background\x1b[0m \x1b[8mconcealed\x1b[0m",
    b"progress 10 %\rprogress 100 %",
    b"\x9b31mC1\x9d0;x\x9c and \x07 bell \x08 backspace \x00 null",
    "right\u202eto left\u202c and \u2066isolated\u2069 and \u200bzero width".encode(),
    "one\u2028line\u2029still\u0085the same".encode(),
    b"\xed\xa0\x80 a lone surrogate, \xff\xfe no UTF-8",
    b"combining " + "Z\u0351\u036b\u0343".encode() * 200,
    b"https://user@example.com:1/<script>alert(16)</script>?q='\"><b>",
    b"http://[::1 https://%zz ftp://x file:///etc/passwd //evil.example",
    b"x" * 1_048_576,
    b"\xf0\x9f\x98\x80" * 100_000,
    b"<b>" * 5_000 + b"\x1b[31m" * 5_000,
    b"{" * 20_000,
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    b"a=b " * 30_000,
]
END = "the end of it"


@pytest.fixture
def hostile(engine: PrivateEngine, tab: Tab, container: str, tmp_path: Path) -> Tab:
    """A log with every hostile line, scrolled to its end."""
    lines = [*HOSTILE, END.encode()]
    (tmp_path / "lines").write_bytes(b"\n".join(lines) + b"\n")
    engine.run(container, "cat /lines/lines; sleep 600", binds=[f"{tmp_path}:/lines"])
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line(END)
    return tab


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_executes_and_the_layout_stands(
    hostile: Tab, wrap: bool, theme: Literal["dark", "light"]
) -> None:
    """Every line is viewed, closed and opened; dialogs and CSP violations fail any test."""
    tab = hostile
    tab.page.emulate_media(color_scheme=theme)
    if wrap:
        tab.button("Wrap").click()
    tab.page.keyboard.press("g")
    tab.expect_line("<script>alert(1)</script>")
    tab.line("<script>alert(1)</script>").locator(".text").first.click()
    tab.log.focus()
    tab.picture(f"hostile-{theme}-{'wrap' if wrap else 'lines'}")
    current = tab.log.locator("[aria-current=true]")
    for number in range(len(HOSTILE)):
        tab.page.keyboard.press("Enter")
        expect(current, f"line {number}").to_have_count(1)
        expect(current.locator(".details")).to_be_visible()
        box = current.locator(".text").bounding_box()
        assert box is not None
        tab.page.keyboard.press("Enter")
    wide = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    assert tab.page.evaluate("({}).polluted") is None
    assert tab.page.title().endswith("· Mist")
    for element in ("script", "img", "iframe", "svg", "b", "i"):
        expect(tab.log.locator(element)).to_have_count(0)


def test_links_are_http_only_and_tell_nothing(hostile: Tab) -> None:
    """Links only lead to http(s), open a tab of their own, and send no referrer."""
    tab = hostile
    tab.page.keyboard.press("g")
    tab.expect_line("<script>alert(1)</script>")
    links = tab.log.locator("a")
    found = links.evaluate_all("(all) => all.map((a) => [a.href, a.rel, a.target])")
    assert found
    for href, rel, target in found:
        assert href.startswith(("http://", "https://"))
        assert rel == "noopener noreferrer"
        assert target == "_blank"


def test_text_is_what_a_terminal_would_show(hostile: Tab) -> None:
    """Colours are applied, cursor moves and titles dropped, and invisible characters named."""
    tab = hostile
    tab.page.keyboard.press("g")
    tab.expect_line("red after moves")
    texts = tab.log.locator("[data-time] .text").all_text_contents()
    for wanted in (
        "an OSC 8 link",
        "another OSC 8 link",
        "red after moves",
        " clipboard and queries",
        "progress 100 %",
        "indexed true colour",
    ):
        assert wanted in texts
    assert not any("evil.example/" in text and "OSC" in text for text in texts)
    assert any("U+202E" in text for text in texts)
    assert any("\ufffd" in text for text in texts)
    red = tab.line("red after moves").locator("span.bold")
    assert red.evaluate("(span) => getComputedStyle(span).color") != "rgb(211, 216, 224)"


def test_lines_are_held_as_they_came(hostile: Tab) -> None:
    """The download has every line as the container wrote it, even the longest."""
    found = hostile.download()
    for line in HOSTILE[:8]:
        assert line.decode() in found
    assert "x" * 1_048_576 in found
