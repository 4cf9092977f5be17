"""Tests of when the removal of an application begins, and how its streams end."""

from __future__ import annotations

from bus import topics
from bus.broker.control import RejectTopic
from mist import close_codes
from mist.errors import StoreError
from mist.settings import Settings
from mist.store import Store
from supervisor.removals import Removals
from tests.support.supervisor import History


class Apps:
    """The applications that are to be removed; None for a store that fails."""

    def __init__(self, *numbers: int) -> None:
        self.numbers: list[int] | None = list(numbers)

    def removals(self) -> list[int]:
        """Return the applications."""
        if self.numbers is None:
            raise StoreError("broken")
        return self.numbers


def test_a_removal_waits_for_deployments() -> None:
    """An application with a worker, or a deployment that is not finished, has to wait."""
    removals = Removals(Apps(1, 2, 3), Settings())
    assert removals.look([1], [2]) == [3]
    assert removals.wanted == {1, 2, 3}


def test_a_removal_is_tried_again_after_growing_delays() -> None:
    """While the engine is away, workers do not follow each other in a busy loop."""
    now = [0.0]
    removals = Removals(Apps(1), Settings(), lambda: now[0])
    times = []
    for tenth in range(100):
        now[0] = tenth / 10
        if removals.look([], []):
            times.append(now[0])
    assert times[:4] == [0.0, 0.3, 0.8, 1.8]
    assert len(times) <= 7


def test_a_store_that_fails_changes_nothing() -> None:
    """What was read last stays valid, and nothing is started."""
    apps = Apps(1)
    removals = Removals(apps, Settings())
    assert removals.look([], []) == [1]
    apps.numbers = None
    assert removals.look([], []) == []
    assert removals.wanted == {1}


def test_another_container_is_another_collector(store: Store) -> None:
    """The former collector ends with a reason; one of the new container takes its place."""
    history = History(Settings(), store.deployments, store.apps)
    app = store.apps.add("web", container="web")
    history.subscribe(topics.container_log(app.id))
    former = history.world.last
    history.world.moved = {app.id}
    history.passes(1.0)
    told = [each for each in history.world.told if isinstance(each, RejectTopic)]
    assert [(each.topic, each.code) for each in told] == [
        (topics.container_log(app.id), close_codes.TRY_AGAIN_LATER)
    ]
    assert b"another container now" in told[0].body
    assert former.signals
    history.ends(former, 0)
    assert history.running() == [f"container/{app.id}"]
    assert history.world.last is not former


def test_streams_end_before_the_worker_starts(store: Store) -> None:
    """The collector ends with a reason, later subscribers read it, and one worker removes."""
    history = History(Settings(), store.deployments, store.apps)
    app = store.apps.add("web", git_url="https://h/r.git")
    history.subscribe(topics.container_log(app.id))
    collector = history.world.last
    row = store.deployments.create(app.id, "ada")
    history.passes(1.0)
    store.apps.request_removal(app.id, "ada")
    history.passes(1.0)
    assert f"removal/{app.id}" not in history.running(), "a deployment is not finished"
    told = [each for each in history.world.told if isinstance(each, RejectTopic)]
    assert [each.topic for each in told] == [topics.container_log(app.id)]
    assert b"The application was removed" in told[0].body
    assert told[0].code == close_codes.NOT_FOUND
    assert collector.signals
    history.ends(collector, 0)
    assert f"container/{app.id}" not in history.running()
    store.deployments.update(row.id, status="failed")
    history.passes(3.0)
    assert history.running().count(f"removal/{app.id}") == 1
    store.apps.remove(app.id)
    history.ends(history.world.last, 0)
    history.passes(3.0)
    assert f"removal/{app.id}" not in history.running()
