"""The log of a deployment over connections that break, without I/O."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mist_client import DeploymentStatus, LogLine, Reconnected, Retry, StreamError
from mist_client.deployments import DeploymentLog
from mist_client.follower import Follower

from tests.support.log_service import message


def at(status: str, progress: int, text: str = "") -> bytes:
    """Return the status of a deployment."""
    return message(
        "status",
        deployment_id=3,
        status=status,
        stage=status,
        progress=progress,
        message=text,
        error_message="no Dockerfile" if status == "failed" else "",
    )


LINES = [message("log", line=f"Step {number}", stream="stdout") for number in range(4)]
SUCCEEDS = [
    at("pending", 0, "first in the queue"),
    at("building", 25),
    *LINES,
    at("building", 50),
    LINES[0],  # a line like an earlier one
    at("success", 100),
]
FAILS = [*SUCCEEDS[:3], at("failed", 30), message("error", message="no Dockerfile")]


def shown(events: list[Any]) -> list[tuple[Any, ...]]:
    """Return what the events say, without those of the connection."""
    return [
        (each.line,) if isinstance(each, LogLine) else (each.status, each.progress)
        for each in events
        if isinstance(each, LogLine | DeploymentStatus)
    ]


def play(log: list[bytes], cuts: list[int]) -> tuple[list[Any], Follower[Any]]:
    """Send the log again and again, cut as told, and at last completely."""
    follower = Follower(DeploymentLog(3), Retry())
    events: list[Any] = []
    for cut in [*cuts, len(log)]:
        assert dict(follower.connect()) == {"deploymentId": 3}
        for each in log[:cut]:
            events += follower.receive(each)
        if follower.over:
            break
        events.append(follower.closed(1006))
    return events, follower


@pytest.mark.parametrize("log", [SUCCEEDS, FAILS])
@given(st.lists(st.integers(0, 8), max_size=6))
def test_wherever_it_is_cut_every_record_comes_once(log: list[bytes], cuts: list[int]) -> None:
    """Every connection sends the log from its beginning."""
    events, follower = play(log, cuts)
    assert shown(events) == shown(play(log, [])[0])
    assert follower.over
    finished = [each for each in events if isinstance(each, DeploymentStatus) if each.finished]
    assert len(finished) == 1
    assert all(each.missing == 0 for each in events if isinstance(each, Reconnected))


def test_statuses_of_the_queue_are_not_records_of_the_log() -> None:
    """They come before it, as often as the position changes."""
    follower = Follower(DeploymentLog(3), Retry())
    events: list[Any] = []
    for each in (at("pending", 0, "third"), at("pending", 0, "second")):
        events += follower.receive(each)
    follower.closed(1006)
    for each in (at("pending", 0, "second"), at("pending", 0, "first"), *SUCCEEDS[1:]):
        events += follower.receive(each)
    texts = [e.message for e in events if isinstance(e, DeploymentStatus) if e.status == "pending"]
    assert texts == ["third", "second", "first"]
    assert follower.over


def test_a_refusal_is_not_a_failed_deployment() -> None:
    """The error before any status is why the stream is closed."""
    follower = Follower(DeploymentLog(9), Retry())
    assert list(follower.receive(message("error", message="Deployment not found"))) == []
    with pytest.raises(StreamError, match="Deployment not found"):
        follower.closed(4404)


def test_the_reason_of_a_failure() -> None:
    """It is in the last status."""
    events, _ = play(FAILS, [])
    assert events[-1].error_message == "no Dockerfile"
