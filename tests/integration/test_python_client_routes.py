"""Each route and each stream of ``mist-client``, and the examples of its README."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from mist_client import (
    ApiError,
    AsyncClient,
    Client,
    ContainerStatus,
    DeploymentStatus,
    HostContainers,
    HostUsage,
    LogLine,
    MetricsSample,
    StreamError,
    UsageSample,
    routes,
)

from tests.integration.conftest import MakeService
from tests.support.service.deployments import Repository, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

README: Final = Path(__file__).parents[2] / "clients/python/README.md"
#: The words of an example, and what it prints once it works; those with ^C run until then.
EXAMPLES: Final = {
    "client.deploy(": ("[100 %]", False),
    "case LogLine": ("error: none", True),
    "asyncio.run": ("error: none", True),
    "older_lines": ("error: none", False),
}


async def ask(answer: Any) -> Any:
    """Return an answer of either client."""
    return await answer if inspect.isawaitable(answer) else answer


async def each(stream: Any) -> AsyncIterator[Any]:
    """Yield the events of either client's stream, and close it."""
    if hasattr(stream, "__aiter__"):
        async for event in stream:
            yield event
    else:
        for event in stream:
            yield event
    if hasattr(stream, "close"):
        await ask(stream.close())


async def first(stream: Any, *kinds: type[Any]) -> list[Any]:
    """Return the first event of each type."""
    found: dict[type[Any], Any] = {}
    async for event in each(stream):
        found.setdefault(type(event), event)
        if set(kinds) <= found.keys():
            break
    await ask(stream.close())
    return [found[kind] for kind in kinds]


async def only(count: int, stream: Any) -> AsyncIterator[Any]:
    """Yield so many events, and then leave the iteration."""
    async for event in each(stream):
        yield event
        count -= 1
        if not count:
            break


@contextmanager
def refused(status: int, words: str | None = None) -> Iterator[None]:
    """Expect an answer that is an error."""
    with pytest.raises(ApiError, match=words) as caught:
        yield
    assert caught.value.status == status


class Tour:
    """Every method of a client, in an order in which one needs what another made."""

    def __init__(self, client: Any, other: Any, container: str) -> None:
        self.client = client
        self.other = other
        self.container = container
        self.name = f"{container}-{type(client).__name__.lower()}"

    async def run(self) -> None:
        """Call everything."""
        client = self.client
        assert (await ask(client.get_me())).role == "admin"
        app = await self.applications()
        await self.accounts(app)
        await self.deployments()
        await self.service()
        await self.streams(app)
        assert (await ask(client.remove_app(app))).removed_by
        with refused(404, "Application not found"):
            await ask(client.get_app(999_999))

    async def applications(self) -> int:
        """Add and change an application."""
        client = self.client
        added = await ask(client.add_app(name=self.name, container=self.container, memory="64m"))
        changed = await ask(client.change_app(added.id, env={"A": "1"}, memory=None))
        assert (added.memory, changed.memory, changed.env) == (64 << 20, None, ["A"])
        assert await ask(client.get_app(added.id)) == changed
        assert changed in await ask(client.list_apps())
        git = await ask(client.change_app(added.id, git_url="file:///nowhere"))
        found = await ask(client.get_adoption(git.id))
        assert found.state == "running"
        with refused(409, "another container"):
            await ask(client.adopt(git.id, "f00"))
        await ask(client.adopt(git.id, found.container_id))
        return int(added.id)

    async def accounts(self, app: int) -> None:
        """Add a user, who signs in, may see the application, and then no longer."""
        client, user = self.client, self.other
        email = f"{self.name}@example.com"
        added = await ask(client.add_user(email))
        assert (await ask(user.login(email, added.one_time_password))).must_change_password
        await ask(user.change_password(added.one_time_password, "four pass words"))
        with pytest.raises(StreamError, match="Permission denied") as caught:
            await first(user.logs(app), LogLine)
        assert caught.value.reason.code == "forbidden"
        assert (await ask(client.grant(app, email, "viewer"))).right == "viewer"
        grant = await ask(client.get_grant(app, email))
        assert [grant] == await ask(client.list_grants(app))
        await first(user.logs(app, tail=1), LogLine)  # with the cookie of the session
        token = await ask(user.add_token("ci", apps=[app], right="viewer", expires="1d"))
        assert token.token.startswith("mist_")
        assert [token.id] == [one.id for one in await ask(user.list_tokens())]
        await ask(user.revoke_token(token.id))
        await ask(client.withdraw_grant(app, added.id))
        await ask(user.logout())
        with refused(401):
            await ask(user.get_me())
        assert (await ask(client.change_user(added.id, role="admin"))).role == "admin"
        assert email in [one.email for one in await ask(client.list_users())]
        await ask(client.remove_user(added.id))

    async def deployments(self) -> None:
        """Follow one that fails."""
        client = self.client
        app = await ask(client.add_app(name=f"{self.name}-git", git_url="file:///nowhere"))
        assert (await ask(client.make_hook(app.id))).path.endswith(f"/{app.id}")
        await ask(client.remove_hook(app.id))
        deployment = await ask(client.deploy(app.id))
        events = [event async for event in each(client.deployment(deployment.id))]
        statuses = [event for event in events if isinstance(event, DeploymentStatus)]
        assert (statuses[-1].status, statuses[-1].finished) == ("failed", True)
        found = await ask(client.get_deployment(deployment.id))
        while found.finished_at is None:  # the log is complete before the store knows
            found = await ask(client.get_deployment(deployment.id))
        assert found.error_message == statuses[-1].error_message
        assert [found] == await ask(client.list_deployments(app.id, limit=1))
        with refused(409):
            await ask(client.cancel(deployment.id))
        with pytest.raises(ApiError):
            await ask(client.roll_back(app.id, deployment.id))
        await ask(client.remove_app(app.id))

    async def service(self) -> None:
        """Ask about the service and its host."""
        client = self.client
        assert self.container in [one.name for one in await ask(client.list_containers())]
        newest, older = await ask(client.list_audit(limit=2))
        assert await ask(client.list_audit(limit=1, before=newest.id)) == [older]
        table = await ask(client.get_status())
        assert "broker" in [one.process for one in table.processes]
        assert await ask(client.check_health()) is None
        assert (await ask(client.check_readiness())).store is None
        assert "mist_live_clients" in await ask(client.read_figures())
        assert (await ask(client.read_openapi()))["openapi"] == "3.1.0"

    async def streams(self, app: int) -> None:
        """Follow each stream until it has brought what it is for."""
        client, name = self.client, self.container
        status, line = await first(client.container_logs(name, tail=1), ContainerStatus, LogLine)
        assert (status.container, line.line) == (name, "2999")
        [sample] = await first(client.metrics(history=1), MetricsSample)
        assert sample.cpu.cores > 0
        listed, used = await first(client.containers(), HostContainers, HostUsage)
        [found] = [one for one in listed.containers if one.name == name]
        assert found.state == "running"
        assert used.time
        for target in ({"app_id": app}, {"container": name}):
            [usage] = await first(client.container_stats(**target, history=1), UsageSample)
            assert usage.usage.memory_used > 0
        older = client.older_lines(app, q="99$", regex=True)
        assert [line.line async for line in each(older)] == [
            "99",
            *(f"{n}99" for n in range(1, 30)),
        ]
        assert (older.end.lines, older.end.matched, older.end.complete) == (3_000, 30, True)
        first_of_all = [line.line async for line in only(1, older)]
        assert (first_of_all, older.end) == (["99"], None)
        newest = client.older_lines(container=name, order="desc", limit=2)
        assert [line.line async for line in each(newest)] == ["2999", "2998"]
        assert (newest.end.matched, newest.end.complete) == (2, False)
        with refused(400, "RE2"):
            [line async for line in each(client.older_lines(app, q="(", regex=True))]


@pytest.fixture
def thousands(engine: PrivateEngine, container: str) -> str:
    """A container that has written 3,000 lines."""
    engine.run(container, "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; sleep 600")
    wait_until(lambda: len(engine.lines(container)) == 3_000, "the lines")
    return container


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_method_works(
    service: Service, thousands: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the real service, on every route that the client has."""
    called = set()
    fill = routes.Route.fill

    def note(route: routes.Route[Any], values: dict[str, Any]) -> str:
        called.add((route.method, route.path))
        return fill(route, values)

    monkeypatch.setattr(routes.Route, "fill", note)
    token = service.mist("token", "add", "tour").stdout.strip()

    async def run() -> None:
        client, other = kind(service.url, token=token), kind(service.url)
        try:
            await Tour(client, other, thousands).run()
        finally:
            await ask(client.close())
            await ask(other.close())

    asyncio.run(run())
    known = [one for one in vars(routes).values() if isinstance(one, routes.Route)]
    assert called == {(one.method, one.path) for one in known}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_wrong_token_is_an_error(service: Service, kind: Any) -> None:
    """For requests, streams and older lines, and without another attempt."""

    async def run() -> None:
        client = kind(service.url, token="mist_wrong")
        with pytest.raises(StreamError, match="token is not valid") as caught:
            await first(client.metrics(), MetricsSample)
        assert caught.value.reason.code == "unauthorized"
        with refused(401, "token is not valid"):
            await ask(client.list_apps())
        with refused(401, "token is not valid"):
            [line async for line in each(client.older_lines(1))]
        await ask(client.close())

    asyncio.run(run())


def test_the_examples_of_the_readme(
    engine: PrivateEngine, make_service: MakeService, tmp_path: Path
) -> None:
    """Each works as it is written, with another address, and ^C ends those that follow a log."""
    service = make_service(engine, {"deployments.settle_seconds": 0.2})
    serve = "trap exit TERM; echo error: none; while :; do sleep 0.1; done"
    repository = Repository(tmp_path / "web", {"Dockerfile": dockerfile(run=serve)})
    assert service.add_app("web", None, "--git", repository.url) == 1
    token = service.mist("token", "add", "readme").stdout.strip()
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    scripts = {words: [one for one in blocks if words in one] for words in EXAMPLES}
    assert [len(one) for one in scripts.values()] == [1] * len(blocks)
    try:
        for words, (expected, follows) in EXAMPLES.items():
            [script] = scripts[words]
            run_example(script.replace("https://mist.lan", service.url), token, expected, follows)
    finally:
        remove_deployed(engine)
    with Client(service.url, token=token) as client:
        wait_until(lambda: "mist_live_clients 0" in client.read_figures(), "all clients to leave")


def run_example(script: str, token: str, expected: str, follows: bool) -> None:
    """Run a program and check what it prints and how it ends."""
    command = [sys.executable, "-c", script]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with program(command, 90, env=os.environ | {"MIST_TOKEN": token}, **pipes) as running:
        output = ""
        if follows:
            assert running.stdout is not None
            while expected not in output:
                line = running.stdout.readline()
                assert line, running.communicate()
                output += line
            running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=60)
        assert expected in output + rest, errors
        assert running.returncode == (-signal.SIGINT if follows else 0), errors
        assert follows == ("KeyboardInterrupt" in errors), errors
