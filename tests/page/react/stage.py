"""A page of React components on ``@mist/react``, on the service's own origin."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import ConsoleMessage, Page, WebSocket
from playwright.sync_api import TimeoutError as Late

from tests.support.service.programs import run
from tests.support.service.service import ADMIN, Service

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parents[2]
#: Chromium reports lost WebSockets and refused requests as page errors.
_EXPECTED: Final = ("WebSocket connection to", "Failed to load resource")


def bundle(variant: str, folder: Path) -> str:
    """Return the page's program. Without Node or the built clients, skip (in CI: fail)."""
    if not (shutil.which("node") and (_ROOT / "clients/react/dist/index.js").is_file()):
        reason = "node or the built @mist/react is missing (`tox run -e web`)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    run("node", _HERE / "build.mjs", variant, folder, cwd=_ROOT)
    return (folder / "main.js").read_text("utf-8")


class Stage:
    """The page in a tab on the service's origin, with one scene of ``main.tsx`` in strict mode."""

    def __init__(self, page: Page, program: str, service: Service, origin: str = "") -> None:
        self.page = page
        self.problems: list[str] = []
        self.sockets: list[WebSocket] = []
        self._program = program
        self._service = service
        self._origin = origin or service.url
        page.on("websocket", self._take_socket)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._take_console)

    def sign_in(self) -> None:
        """Sign in as the page does and keep the session's cookie."""
        body = {"email": ADMIN, "password": self._service.password}
        answer = self.page.request.post(f"{self._origin}/api/auth/login", data=body)
        assert answer.ok, answer.text()

    def open(self) -> None:
        """Replace a page of the service with the program.

        Chromium lets only a page from the service's origin connect to this machine.
        """
        self.page.goto(f"{self._origin}/healthz")
        self.page.set_content('<title>Hooks</title><div id="root"></div>')
        self.page.add_script_tag(content=self._program, type="module")
        self.page.wait_for_function("globalThis.stage")

    def show(self, scene: str, **properties: object) -> None:
        """Show a scene, or the same scene with other properties."""
        self.call("show", scene, properties)

    def call(self, method: str, *arguments: object) -> Any:
        """Call a function of ``main.tsx`` and return its result as JSON."""
        call = "([method, given]) => JSON.stringify(stage[method](...given) ?? null)"
        return json.loads(self.page.evaluate(call, [method, list(arguments)]))

    def wait_for(self, condition: str, seconds: float = 30.0) -> None:
        """Wait for a JavaScript expression, in which ``view`` is the newest view."""
        check = f"() => {{ const view = stage.view() ?? {{}}; return {condition}; }}"
        try:
            self.page.wait_for_function(check, timeout=seconds * 1000)
        except Late as error:
            shown = self.page.content()[-500:], str(self.call("view"))[-500:]
            raise AssertionError(f"waited for {condition}: {shown}, {self.problems}") from error

    def wait_text(self, selector: str, text: str, seconds: float = 30.0) -> None:
        """Wait until an element has the text."""
        found = f"document.querySelector({json.dumps(selector)})?.textContent"
        self.wait_for(f"{found} === {json.dumps(text)}", seconds)

    @property
    def lines(self) -> list[str]:
        """Return the lines that the example shows."""
        return (self.page.locator("pre").text_content() or "").split("\n")

    @property
    def open_sockets(self) -> int:
        """Return the number of open WebSockets."""
        return sum(not socket.is_closed() for socket in self.sockets)

    def _take_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def _take_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_EXPECTED):
            self.problems.append(message.text)
