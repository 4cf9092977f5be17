"""Tests of the demand for the host's containers and for the figures of one of them."""

from __future__ import annotations

import signal
from collections.abc import Collection

import msgspec

from bus.broker.control import RejectTopic
from mist.errors import StoreError
from mist.settings import CollectorSettings, ContainerSettings
from supervisor import specs
from supervisor.notices import Notices
from tests.support.supervisor import History
from tests.unit.supervisor.test_supervisor import SETTINGS, forgotten, refusals

LIMITED = msgspec.structs.replace(
    SETTINGS,
    collector=CollectorSettings(linger_seconds=5.0, max_running=1),
    containers=ContainerSettings(max_running=2),
)


def names(history: History) -> list[str]:
    """Return the names of the children."""
    return sorted(history.supervisor.children)


def test_one_collector_of_all_containers() -> None:
    """However many prefixes ask for it; it ends after the linger."""
    history = History(SETTINGS)
    prefixes = (b"containers/", b"containers/host", b"containers/x")
    for prefix in prefixes:
        history.subscribe(prefix)
    assert names(history) == ["containers"]
    for prefix in prefixes:
        history.unsubscribe(prefix)
    history.passes(4.9)
    assert not history.world.last.signals
    history.passes(0.2)
    history.obeys(history.world.last)
    assert (names(history), forgotten(history)) == ([], [b"containers/host"])


def test_one_collector_for_each_name() -> None:
    """It knows the name, and a crash is followed by a resume."""
    history = History(SETTINGS)
    history.world.missing = {0}
    history.subscribe(b"stats/web/")
    history.subscribe(b"stats/web/samples")
    history.subscribe(b"stats/db/samples")
    assert names(history) == ["stats/db", "stats/web"]
    spec = history.world.last.spec
    assert (spec.container, specs.topic(spec)) == ("db", b"stats/db/samples")
    history.ends(history.world.last, -signal.SIGKILL)
    history.passes(1.1)
    assert (history.world.last.spec, history.world.last.resume) == (spec, True)
    history.unsubscribe(b"stats/db/samples")
    history.passes(5.1)
    history.obeys(history.world.last)
    assert (names(history), forgotten(history)) == (["stats/web"], [b"stats/db/samples"])


def test_names_have_a_limit_of_their_own() -> None:
    """A flood of names costs no log its collector, and leaves nothing in the broker."""
    history = History(LIMITED)
    flood = [b"stats/c%d/samples" % number for number in range(50)]
    for topic in flood:
        history.subscribe(topic)
    history.subscribe(b"containers/host")
    history.subscribe(b"container/1/log")
    assert names(history) == ["container/1", "containers", "stats/c0", "stats/c1"]
    assert refusals(history) == [(topic, "Too many collectors", 1013) for topic in flood[2:]]
    assert not any(told.keep for told in history.world.told if isinstance(told, RejectTopic))


def test_place_that_becomes_free() -> None:
    """It goes to the name that was refused first, and not to a log."""
    history = History(LIMITED)
    for topic in (b"container/1/log", b"container/2/log", *(b"stats/c%d/" % n for n in range(4))):
        history.subscribe(topic)
    assert names(history) == ["container/1", "stats/c0", "stats/c1"]
    first = next(each for each in history.world.started if each.spec.container == "c0")
    history.unsubscribe(b"stats/c0/")
    history.passes(5.1)
    history.obeys(first)
    assert names(history) == ["container/1", "stats/c1", "stats/c2"]


def test_collector_that_keeps_crashing_is_reported() -> None:
    """Its subscribers are told."""
    history = History(SETTINGS)
    history.subscribe(b"containers/host")
    for _ in range(SETTINGS.supervisor.crash_limit):
        history.ends(history.world.last, 1)
        history.passes(1.1)
    ((topic, text, code),) = refusals(history)
    assert (topic, code) == (b"containers/host", 1013)
    assert text.startswith("The container collector failed: ")


class FakeApps:
    """A store with one application."""

    fails = False

    def containers(self, app_ids: Collection[int]) -> dict[int, str]:
        """Return the containers that exist."""
        if self.fails:
            raise StoreError("the disk is full")
        return {number: "web" for number in app_ids if number == 1}


def test_deployment_that_replaces_a_container() -> None:
    """The collector of its figures is told, by the container's name."""
    apps = FakeApps()
    notices = Notices(apps, "this-one")
    try:
        web, other = notices.open("web"), notices.open("other")
        assert (web.container(), web.installation()) == ("web", "this-one")
        notices.update({1})
        assert (web.deploying(), other.deploying()) == (True, False)
        apps.fails = True
        notices.update({1})
        assert web.deploying()
        apps.fails = False
        notices.update(set())
        assert (web.deploying(), other.container()) == (False, "other")
        notices.close("web")
        assert notices.open("web").container() == "web"
    finally:
        notices.end()
