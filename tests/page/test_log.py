"""The log of a container, live."""

from __future__ import annotations

from tests.integration.harness.engine import PrivateEngine
from tests.page.harness.tab import Tab


def test_the_lines_of_a_container_appear(
    engine: PrivateEngine, tab: Tab, container: str
) -> None:
    """Those it wrote before, and those it writes now, each with its time and its stream."""
    engine.run(container, "echo before; sleep 600")
    app = tab.service.add_app(container, container)
    tab.sign_in(f"log?app={app}")
    tab.expect_line("before")
    engine.say(container, "echo now; echo more")
    tab.expect_line("now")
    assert tab.line("now").first.get_attribute("data-stream") == "stdout"
    tab.expect_state("LIVE")
    assert tab.held() == ["before", "now", "more"]
