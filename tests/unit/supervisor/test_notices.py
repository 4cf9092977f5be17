"""Tests of what the collectors are told, with a store that the test plays."""

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
        """Return the containers that exist."""
        self.queries += 1
        if self.fails:
            raise StoreError("the disk is full")
        return {number: name for number, name in self.names.items() if number in app_ids}


@pytest.fixture
def apps() -> FakeApps:
    """A store with two applications."""
    return FakeApps()


@pytest.fixture
def notices(apps: FakeApps) -> Iterator[Notices]:
    """Notices without a collector."""
    made = Notices(apps)
    yield made
    made.end()


def test_a_collector_knows_its_container_at_its_start(notices: Notices) -> None:
    """A new collector learns its container and whether a deployment is replacing it."""
    notices.update({2})
    web, db, none = (notices.open(number) for number in (1, 2, 3))
    assert (web.container(), db.container(), none.container()) == ("web", "db", None)
    assert (web.deploying(), db.deploying()) == (False, True)


def test_an_application_that_is_pointed_to_another_container(
    apps: FakeApps, notices: Notices
) -> None:
    """A collector learns that its application changed its container, was added or was removed.

    Only the first of these is told to the supervisor, and once.
    """
    web, db, none = (notices.open(number) for number in (1, 2, 3))
    apps.names = {1: "web-2", 3: "made"}
    assert notices.update(set()) == {1}
    assert notices.update(set()) == set()
    assert (web.container(), db.container(), none.container()) == ("web-2", None, "made")


def test_a_deployment_begins_and_ends(notices: Notices) -> None:
    """A deployment concerns only its own application's collector."""
    web, db = notices.open(1), notices.open(2)
    notices.update({1})
    assert (web.deploying(), db.deploying()) == (True, False)
    notices.update(set())
    assert not web.deploying()


def test_one_query_serves_all_collectors(apps: FakeApps, notices: Notices) -> None:
    """One query serves all collectors; without a collector there is none."""
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
    """After a store failure the old answers stay, and deployments are still reported."""
    web = notices.open(1)
    apps.fails = True
    notices.update({1})
    assert (web.container(), web.deploying()) == ("web", True)


def test_a_store_that_fails_at_the_start(apps: FakeApps, notices: Notices) -> None:
    """A store failure at the start is an error for the collector until the store recovers."""
    apps.fails = True
    web = notices.open(1)
    notices.update({1})
    with pytest.raises(StoreError, match="the disk is full"):
        web.container()
    apps.fails = False
    notices.update(set())
    assert web.container() == "web"


def test_a_container_without_an_application(notices: Notices, apps: FakeApps) -> None:
    """Its collector knows the name that it was started for, and no application is asked for."""
    some = notices.open(("container", "some"))
    assert (some.container(), some.deploying(), apps.queries) == ("some", False, 0)
    notices.update(set())
    assert (some.container(), apps.queries) == ("some", 0)
    notices.close(("container", "some"))
    assert notices.open(("container", "some")).container() == "some"


def test_a_deployment_replaces_a_container_that_was_named(notices: Notices, apps: FakeApps) -> None:
    """A collector that was started by name learns of deployments of its container, too."""
    some, web = notices.open(("container", "some")), notices.open(("container", "web"))
    notices.update({1})
    assert (some.deploying(), web.deploying()) == (False, True)
    apps.fails = True
    notices.update({1, 2})
    assert web.deploying()
    apps.fails = False
    notices.update(set())
    assert (web.container(), web.deploying()) == ("web", False)


def test_collectors_that_end_are_not_counted(notices: Notices) -> None:
    """Collectors that ended are not told anything."""
    for _ in range(3):
        opened = [notices.open(number) for number in (1, 2, 3)]
        assert opened[0].collectors() == 3
        for number in (1, 2, 3):
            notices.close(number)
    notices.update({1})
    assert opened[0].collectors() == 1


def test_missing_applications_are_found_with_one_query(notices: Notices, apps: FakeApps) -> None:
    """Of any number of applications, those that do not exist are known after one query."""
    notices.look_up(range(1, 10_000))
    assert [number for number in range(1, 10_000) if notices.exists(number)] == [1, 2]
    assert apps.queries == 1
    apps.names[3] = "new"
    notices.look_up([3])
    assert notices.exists(3)


def test_applications_may_exist_while_the_store_fails(notices: Notices, apps: FakeApps) -> None:
    """A store that cannot be read does not make applications disappear."""
    apps.fails = True
    notices.look_up([1, 3])
    assert notices.exists(1)
    assert notices.exists(3)
