"""The older lines of an application whose containers ran at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service.deployments import Repository, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.reading import Reading
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.steps]

CHECK = 'HEALTHCHECK --interval=200ms --start-period=2s --retries=2 CMD ["cat", "/tmp/ready"]'
#: A line each 20 ms, from the start to the end.
WRITE = (
    "trap exit TERM; echo > /tmp/ready; i=0; "
    "while :; do i=$((i + 1)); echo container {number} line $i; sleep 0.02; done"
)


@pytest.fixture(scope="module")
def log(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """The log of three containers; each started before the one before it was stopped."""
    settings = {"deployments.settle_seconds": 0.5, "deployments.drain_seconds": 1}
    service = Service(engine.host, settings | {"supervisor.poll_seconds": 0.2})
    try:
        service.start()
        files = {"README": "A program that writes\n"}
        repository = Repository(tmp_path_factory.mktemp("seams") / "repository", files)
        app = service.add_app("seams", "seams", "--git", repository.url)
        for run in (WRITE.format(number=number) for number in range(3)):
            repository.commit({"Dockerfile": dockerfile(CHECK, run=run)}, "Another version")
            service.mist("deploy", "seams")
            wait_until(lambda: len(engine.lines("seams")) > 40, "lines of the container")
        yield Reading(service, f"/api/apps/{app}/logs", service.login())
    finally:
        service.destroy()
        remove_deployed(engine)


def identities(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the time and the text of each line."""
    return [(message["timestamp"], message["data"]["line"]) for message in messages]


def test_a_line_leads_to_all_before_and_after_it(log: Reading) -> None:
    """Wherever a client goes on, one piece of the log has everything in that direction."""
    until = log.records(order="desc", limit=1)[0][0]["timestamp"]  # the last container writes on
    whole = identities(log.records(until=until, seam=1)[0])
    texts = [text for _, text in whole]
    borders = [texts.index(f"container {number} line 1") for number in (1, 2)]
    # Otherwise the containers did not run at the same time.
    assert [whole[border - 1] > whole[border] for border in borders] == [True, True]
    lost = 0
    for place in (border + step for border in borders for step in (-20, -1, 0, 20)):
        time = whole[place][0]
        after = identities(log.records(since=time, until=until, seam=1)[0])
        assert after[-len(whole[place:]) :] == whole[place:]
        later = f"{time[:20]}{int(time[20:29]) + 1:09d}Z"
        before = identities(log.records(until=later, order="desc", seam=1)[0])[::-1]
        assert before[: place + 1] == whole[: place + 1]
        lost += not set(whole[place:]) <= set(identities(log.records(since=time)[0]))
        lost += not set(whole[:place]) <= set(identities(log.records(until=later)[0]))
    assert lost > 0  # each range by time alone
