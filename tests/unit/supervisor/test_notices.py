"""What the collectors are told, in step with a store that the test plays."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from mist.errors import StoreError
from supervisor.notices import Notices


class FakeApps:
    """The store's applications; counts the queries."""

    def __init__(self) -> None:
        self.names = {1: "web", 2: "db"}
        self.fails = False
        self.queries = 0

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return those that exist."""
        self.queries += 1
        if self.fails:
            raise StoreError("the disk is full")
        return {number: name for number, name in self.names.items() if number in app_ids}


@pytest.fixture
def apps() -> FakeApps:
    """Return a store with two applications."""
    return FakeApps()


@pytest.fixture
def notices(apps: FakeApps) -> Iterator[Notices]:
    """Return the notices of no collector."""
    made = Notices(apps)
    yield made
    made.end()


def test_a_collector_knows_its_container_at_its_start(notices: Notices) -> None:
    """And whether it is being replaced."""
    notices.update({2})
    web, db, none = (notices.open(number) for number in (1, 2, 3))
    assert (web.container(), db.container(), none.container()) == ("web", "db", None)
    assert (web.deploying(), db.deploying()) == (False, True)


def test_an_application_that_is_pointed_to_another_container(
    apps: FakeApps, notices: Notices
) -> None:
    """As one that is made or removed while its collector runs."""
    web, db, none = (notices.open(number) for number in (1, 2, 3))
    apps.names = {1: "web-2", 3: "made"}
    notices.update(set())
    assert (web.container(), db.container(), none.container()) == ("web-2", None, "made")


def test_a_deployment_begins_and_ends(notices: Notices) -> None:
    """Only its own application's collector is concerned."""
    web, db = notices.open(1), notices.open(2)
    notices.update({1})
    assert (web.deploying(), db.deploying()) == (True, False)
    notices.update(set())
    assert not web.deploying()


def test_one_query_serves_all_collectors(apps: FakeApps, notices: Notices) -> None:
    """Without a collector there is none, and answers cost none."""
    notices.update({1})
    assert apps.queries == 0
    opened = [notices.open(number) for number in (1, 2, 3)]
    apps.queries = 0
    notices.update(set())
    for notice in opened * 100:
        notice.container()
        notice.deploying()
    assert apps.queries == 1


def test_a_store_that_fails_leaves_what_it_said(apps: FakeApps, notices: Notices) -> None:
    """But what is being deployed is known without it."""
    web = notices.open(1)
    apps.fails = True
    notices.update({1})
    assert (web.container(), web.deploying()) == ("web", True)


def test_a_store_that_fails_at_the_start(apps: FakeApps, notices: Notices) -> None:
    """An error for the collector, until the store can be read again."""
    apps.fails = True
    web = notices.open(1)
    notices.update({1})
    with pytest.raises(StoreError, match="the disk is full"):
        web.container()
    apps.fails = False
    notices.update(set())
    assert web.container() == "web"


def test_collectors_that_end_are_not_counted(notices: Notices) -> None:
    """Nor told anything."""
    for _ in range(3):
        opened = [notices.open(number) for number in (1, 2, 3)]
        assert opened[0].collectors() == 3
        for number in (1, 2, 3):
            notices.close(number)
    notices.update({1})
    assert opened[0].collectors() == 1
