"""``@mist/client`` while each process, or the whole service, is killed or restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_restarts import end, pid_of
from tests.integration.typescript.follower import Follow, assert_complete, run_numbers
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine


def kill_web_worker(service: Service, _process: str) -> None:
    """Send SIGKILL to one of gunicorn's workers; the master starts another one."""
    [worker] = psutil.Process(pid_of(service, "gunicorn")).children()
    worker.kill()


def reload(service: Service, _process: str) -> None:
    """Reload the web tier as ``systemctl reload`` does."""
    os.kill(service.pid, signal.SIGHUP)


def restart(service: Service, _process: str) -> None:
    """Stop and start the service."""
    assert service.stop() == 0
    service.start()


def kill_supervisor(service: Service, _process: str) -> None:
    """Send SIGKILL to the supervisor, which ends every process, and start the service again."""
    service.kill()
    wait_until(lambda: not service.processes(), "every process to end")
    service.start()


@pytest.mark.parametrize(
    ("disturb", "process"),
    [
        pytest.param(end, "container/", id="collector"),
        pytest.param(end, "broker", id="broker"),
        pytest.param(end, "gunicorn", id="gunicorn"),
        pytest.param(kill_web_worker, "", id="web-worker"),
        pytest.param(reload, "", id="reload"),
        pytest.param(restart, "", id="restart"),
        pytest.param(kill_supervisor, "", id="supervisor"),
    ],
)
def test_restarts_lose_and_repeat_nothing(
    engine: PrivateEngine,
    make_service: MakeService,
    container: str,
    follow: Follow,
    disturb: Callable[[Service, str], None],
    process: str,
) -> None:
    """300 lines a second survive two kills of each process and restarts of all of them."""
    # By default the service remembers as much as is written in three seconds at this rate.
    service = make_service(engine, {"replay.lines": 10_000})
    begin = run_numbers(engine, container)
    app = service.add_app(container, container)
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    follower.wait_state("live")
    begin()
    for count in (300, 1500):
        follower.wait_lines(count)
        disturb(service, process)
    assert_complete(follower)


def test_reload_is_a_restart_and_not_a_loss(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """After close code 1012 the client is back at once."""
    service = make_service(engine)
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    follower.wait_lines(1)
    os.kill(service.pid, signal.SIGHUP)
    follower.wait_for(lambda: follower.missing, "reconnected")
    states = follower.of("state")
    assert (states[1]["reason"]["code"], states[1]["reason"]["closeCode"]) == ("restarting", 1012)
    assert states[1]["retryIn"] <= 500
    assert follower.missing == [(0, True)]
    assert follower.lines == ["begun"]
    assert follower.end() == 0
