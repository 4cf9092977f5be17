"""``@mist/client`` when a stream ends, is refused, or is temporarily unavailable."""

from __future__ import annotations

import pytest
import requests

from tests.integration.conftest import MakeService
from tests.integration.typescript.follower import Follow
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service

pytestmark = pytest.mark.engine


def test_container_restarts_is_recreated_and_stops(
    service: Service, engine: PrivateEngine, container: str, admin: str, follow: Follow
) -> None:
    """One stream lasts until the container stops, and resumes without repetition."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=service.url, headers={"Cookie": admin}, appId=app)
    follower.wait_lines(1)
    engine.client.restart(container)
    follower.wait_lines(2)
    engine.remove(container)
    engine.run(container, "echo new; sleep 600")
    follower.wait_lines(3)
    engine.client.stop(container)
    ended = follower.wait_state("ended")
    assert ended["reason"]["code"] == "ended"
    assert follower.of("status")[-1]["data"]["state"] == "exited"
    assert len(follower.of("end")) == 1
    follower.tell("reconnect")
    assert follower.wait_state("failed")["reason"]["code"] == "not-running"
    engine.client.start(container)
    follower.tell("reconnect")
    assert follower.wait_lines(4) == ["begun", "begun", "new", "new"]
    assert follower.state == "live"
    assert follower.end() == 0


@pytest.mark.parametrize(
    ("app", "email", "code", "words"),
    [
        (999_999, "admin@localhost", "not-found", "Application not found"),
        (999_999, "nobody@localhost", "forbidden", "Permission denied"),
        (0, "admin@localhost", "thrown", "appId must be a positive integer, not 0"),
    ],
)
def test_refused_streams_fail_with_the_reason(
    engine: PrivateEngine,
    service: Service,
    follow: Follow,
    app: int,
    email: str,
    code: str,
    words: str,
) -> None:
    """A wrong application, a missing right and a malformed id give the reason."""
    if email != "admin@localhost":
        service.add_user(email, "a long password")
        cookie = service.login(email, "a long password")
    else:
        cookie = service.login()
    follower = follow("logs", url=service.url, headers={"Cookie": cookie}, appId=app)
    if code == "thrown":
        follower.wait_for(lambda: follower.of("thrown"), "the error")
        assert words in follower.of("thrown")[0]["message"]
        return
    reason = follower.wait_state("failed")["reason"]
    assert (reason["code"], reason["message"]) == (code, words)


def test_without_a_session_it_fails_and_does_not_try_again(
    service: Service, follow: Follow
) -> None:
    """The client finds the 401 that refused the handshake, which a WebSocket does not reveal."""
    follower = follow("metrics", url=service.url, headers={"Cookie": "mist_token=no"})
    assert follower.wait_state("failed")["reason"]["code"] == "unauthorized"


def test_expired_session_and_back(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """Signing out ends the stream with 4401, and the client does not reconnect."""
    service = make_service(engine, {"auth.check_seconds": 1})
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    cookie = service.login()
    follower = follow("logs", url=service.url, headers={"Cookie": cookie}, appId=app)
    follower.wait_lines(1)
    requests.post(f"{service.url}/api/auth/logout", headers={"Cookie": cookie}, timeout=10)
    reason = follower.wait_state("failed")["reason"]
    assert (reason["code"], reason["closeCode"]) == ("unauthorized", 4401)
    assert reason["message"] == "Session expired"


def test_container_that_was_never_made(service: Service, admin: str, follow: Follow) -> None:
    """The stream fails with 4404 and the service's message."""
    app = service.add_app("never-made", "never-made")
    follower = follow("logs", url=service.url, headers={"Cookie": admin}, appId=app)
    reason = follower.wait_state("failed")["reason"]
    assert reason == {"code": "not-found", "message": "Container not found", "closeCode": 4404}
    assert [event["message"] for event in follower.of("error")] == ["Container not found"]


def test_full_service_is_waited_for(
    engine: PrivateEngine, make_service: MakeService, follow: Follow
) -> None:
    """After 1013 the second client waits and is live once the first has gone."""
    service = make_service(engine, {"streams.max_clients": 1})
    options = {"url": service.url, "headers": {"Cookie": service.login()}}
    first = follow("metrics", **options)
    first.wait_state("live")
    second = follow("metrics", **options)
    reason = second.wait_state("connecting")["reason"]
    assert (reason["code"], reason["closeCode"]) == ("unavailable", 1013)
    assert first.end() == 0
    second.wait_state("live")
    assert second.end() == 0


def test_engine_that_is_away_is_waited_for(
    own_engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """After 1013 with the service's message, the stream becomes live by itself."""
    service = make_service(own_engine)
    own_engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    own_engine.stop()
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    follower.wait_for(lambda: follower.of("error"), "an error")
    reason = follower.wait_state("connecting")["reason"]
    assert (reason["code"], reason["message"]) == ("unavailable", "Docker Engine is unreachable")
    own_engine.start()
    assert follower.wait_lines(1) == ["begun"]
    assert follower.state == "live"
