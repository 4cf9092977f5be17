"""A user of the Mist on a machine, who logs in, watches and deploys."""

from __future__ import annotations

import json
import re
import shlex
from typing import Final

from tests.support.machine.machine import Command, Machine
from tests.support.wait import wait_until

URL: Final = "http://127.0.0.1:8420"
ADMIN: Final = "admin@localhost"
#: A third-party WebSocket client in an environment of its own.
_WSDUMP: Final = "/root/client/bin/wsdump"
# A request without programs that a fresh machine lacks.
_IS_READY: Final = r"""
exec 3<>/dev/tcp/127.0.0.1/8420 || exit
printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:8420\r\n\r\n' >&3
IFS= read -t 5 -r status <&3
[[ $status == *' 200 '* ]]
"""
_ENDED: Final = "'status': '(success|failed|cancelled)'"
_JOURNAL: Final = "journalctl --no-pager --lines=40 -u mist-supervisor -u mist-api"
_REPOSITORY: Final = r"""
set -e
git init -q /srv/git/{name} && cd /srv/git/{name}
printf 'FROM busybox:1\nCMD while :; do echo {says}; sleep 1; done\n' >Dockerfile
git add Dockerfile
git -c user.name=me -c user.email=me@localhost commit -q -m 'Say {says}'
systemd-run -q --unit=git-daemon git daemon --reuseaddr --export-all --base-path=/srv/git
"""
_IMAGE: Final = """
mkdir -p image/bin && cp /bin/busybox image/bin && cd image
for applet in sh echo sleep; do ln -sf busybox bin/$applet; done
tar --create . | docker import - busybox:1
"""


class Visitor:
    """A user on this machine, with a browser's abilities; ``cookie`` is the session."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.cookie = ""

    def wait_ready(self, seconds: float = 60.0, command: Command | None = None) -> None:
        """Wait until /readyz says that bus and store are reachable.

        Raise AssertionError if ``command``, which starts the service, ends first.
        """

        def ready() -> bool:
            assert command is None or command.poll() is None, "it has ended"
            return self._machine.run(_IS_READY, check=False).status == 0

        try:
            wait_until(ready, "the service to be ready", seconds, every=0.2)
        except AssertionError as error:
            said = command.tail if command else self._machine.run(_JOURNAL).output
            raise AssertionError(f"{error}:\n{said}") from None

    def open_page(self) -> None:
        """Load the page and every file that it names, as a browser does."""
        page = self._machine.run(f"curl -sSi {URL}/").output
        assert "200 OK" in page, page
        assert "content-security-policy: default-src 'none'" in page, page
        names = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page)
        assert names, page
        for name in names:
            self._machine.run(f"curl -fsSo /dev/null --compressed {URL}/{name}")

    def install_client(self) -> None:
        """Install the WebSocket client."""
        install = "python3 -m venv client && client/bin/pip install -q websocket-client"
        self._machine.run(install, 120)

    def make_image(self) -> None:
        """Make ``busybox:1`` from Debian's busybox, because there is no image registry."""
        self._machine.run("apt-get install -qy busybox-static", 120)
        self._machine.run(_IMAGE)

    def run_container(self, name: str, *options: str) -> None:
        """Run a container that prints its name and a number each second."""
        says = f'i=0; while :; do i=$((i+1)); echo "{name} $i"; sleep 1; done'
        command = ["docker", "run", "-d", "--name", name, *options, "busybox:1", "sh", "-c", says]
        self._machine.run(shlex.join(command))

    def serve_repository(self, name: str, says: str) -> None:
        """Serve a repository by git; its container prints one line again and again."""
        self._machine.run(_REPOSITORY.format(name=name, says=says))

    def log_in(self, password: str, email: str = ADMIN) -> None:
        """Log in over HTTP and keep the session."""
        body = {"email": email, "password": password}
        answer = self.request("POST", "/api/auth/login", body, "--include")
        found = re.search(r"(?im)^set-cookie: (mist_token=[^;\s]+)", answer)
        assert found, answer
        self.cookie = found[1]

    def choose_password(self, one_time: str) -> str:
        """Log in with the one-time password and replace it; return the new password."""
        new = f"{one_time} replaced"
        self.log_in(one_time)
        body = {"old_password": one_time, "new_password": new}
        self.request("POST", "/api/auth/password", body)
        return new

    def request(self, method: str, path: str, body: object = None, *options: str) -> str:
        """Send a request with the session; return the body, AssertionError if refused."""
        command = ["curl", "-sS", "--fail-with-body", "-X", method, *options]
        command += ["--cookie", self.cookie, "-H", "Content-Type: application/json"]
        command += [] if body is None else ["--data", json.dumps(body)]
        return self._machine.run(shlex.join([*command, f"{URL}{path}"])).output

    def app(self, name: str) -> int:
        """Return the id of one of the user's applications."""
        apps = json.loads(self.request("GET", "/api/apps"))["data"]
        return next(int(app["id"]) for app in apps if app["name"] == name)

    def deploy(self, name: str) -> str:
        """Deploy an application and return the final status."""
        path = f"/api/apps/{self.app(name)}/deployments"
        deployment = json.loads(self.request("POST", path))["data"]["id"]

        def status() -> str:
            return str(json.loads(self.request("GET", f"/api/deployments/{deployment}"))["data"])

        wait_until(lambda: re.search(_ENDED, status()), "the deployment to end", 180, every=0.5)
        return status()

    def watch(self, name: str, says: str = "") -> None:
        """Watch an application's container log until two lines have arrived."""
        says = says or rf"{name} \d+"
        url = f"ws://127.0.0.1:8420/ws/container/logs?appId={self.app(name)}&tail=1"
        self._follow(url, rf'(?s)"line":"{says}".*"line":"{says}"')

    def watch_deployment(self, deployment: int) -> None:
        """Watch a deployment's log from its start until its success."""
        url = f"ws://127.0.0.1:8420/ws/deployment/logs?deploymentId={deployment}"
        self._follow(url, '"status":"success"')

    def _follow(self, url: str, pattern: str) -> None:
        command = [_WSDUMP, "--raw", "--headers", f"Cookie: {self.cookie}", url]
        with self._machine.start(shlex.join(command), terminal=True) as client:
            client.wait_for(pattern)
