"""Tests of the supervisor's decisions, with histories of events."""

from __future__ import annotations

import errno
import signal

import msgspec

from bus.broker.control import DropTopic, RejectTopic
from mist import close_codes
from mist.errors import Exit, StoreError
from mist.settings import CollectorSettings, Settings, SupervisorSettings
from supervisor import specs
from supervisor.states import State
from tests.support.supervisor import FakeRows, History, deployment

SETTINGS = Settings(
    collector=CollectorSettings(linger_seconds=5.0, max_running=2),
    supervisor=SupervisorSettings(
        backoff_seconds=1.0,
        backoff_limit_seconds=1.0,
        crash_limit=3,
        crash_window_seconds=60.0,
        stop_seconds=10.0,
        poll_seconds=1.0,
    ),
)
ONE = b"container/1/log"


def whole_service() -> History:
    """Everything that ``mist up`` starts, and one collector."""
    history = History(SETTINGS)
    for spec in (specs.broker(SETTINGS), specs.metrics(SETTINGS), specs.web(SETTINGS)):
        history.supervisor.add(spec)
    history.subscribe(ONE)
    return history


def refusals(history: History) -> list[tuple[bytes, str, int]]:
    """Return the topic, text and code of each refusal sent to the broker."""
    return [
        (told.topic, msgspec.json.decode(told.body)["data"]["message"], told.code)
        for told in history.world.told
        if isinstance(told, RejectTopic)
    ]


def forgotten(history: History) -> list[bytes]:
    """Return the topics that the broker was told to forget."""
    return [told.topic for told in history.world.told if isinstance(told, DropTopic)]


# Demand


def test_first_subscription_starts_a_collector() -> None:
    """The first subscription starts a collector, which loads the history."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    assert history.running() == ["container/1"]
    assert not history.world.last.resume


def test_application_that_is_added_after_its_first_subscriber() -> None:
    """The supervisor looks for it again, as long as somebody listens."""
    history = History(SETTINGS, FakeRows())
    history.world.missing = {7, 8}
    for number in (7, 8):
        history.subscribe(b"container/%d/log" % number)
    history.unsubscribe(b"container/8/log")
    history.world.missing = set()
    history.passes(SETTINGS.supervisor.poll_seconds + 0.1)
    assert history.running() == ["container/7"]


def test_application_that_does_not_exist() -> None:
    """Nothing is started for an application that does not exist; its subscribers are told."""
    history = History(SETTINGS)
    history.world.missing = {7}
    history.subscribe(b"container/7/")
    history.subscribe(b"container/7/log")
    assert history.world.started == []
    assert refusals(history) == [(b"container/7/log", "Application not found", 4404)] * 2
    assert not any(told.keep for told in history.world.told if isinstance(told, RejectTopic))
    history.world.missing = set()
    history.subscribe(b"container/7/")
    assert history.running() == ["container/7"]


NAMED = b"container/name:%b/log"
LIMITED = msgspec.structs.replace(
    SETTINGS, collector=CollectorSettings(linger_seconds=5.0, max_running=4, max_named=2)
)


def test_container_that_is_no_application() -> None:
    """A name starts a collector like an application's id, and the same rules end it."""
    history = History(SETTINGS)
    history.world.missing = {0}
    history.subscribe(b"container/name:web/")
    history.subscribe(NAMED % b"web")
    assert history.running() == ["container/name:web"]
    spec = history.world.last.spec
    assert (spec.container, specs.topic(spec)) == ("web", NAMED % b"web")
    history.ends(history.world.last, -signal.SIGKILL)
    history.passes(1.1)
    assert (history.world.last.spec, history.world.last.resume) == (spec, True)
    for prefix in (b"container/name:web/", NAMED % b"web"):
        history.unsubscribe(prefix)
    history.passes(5.1)
    history.obeys(history.world.last)
    assert history.supervisor.children == {}
    assert forgotten(history) == [NAMED % b"web"]


def test_names_leave_places_to_applications() -> None:
    """Beyond their limit, names are refused; nothing of it stays in the broker."""
    history = History(LIMITED)
    for name in (b"aa", b"bb", b"cc", b"cc", b"dd"):
        history.subscribe(NAMED % name)
    history.subscribe(ONE)
    history.subscribe(b"container/2/log")
    assert history.running() == [f"container/{n}" for n in ("name:aa", "name:bb", "1", "2")]
    refused = [NAMED % name for name in (b"cc", b"cc", b"dd")]
    assert refusals(history) == [(topic, "Too many collectors", 1013) for topic in refused]
    assert not any(told.keep for told in history.world.told if isinstance(told, RejectTopic))


def test_places_that_become_free_go_to_whom_may_have_them() -> None:
    """An application's place is not given to a name beyond the limit of names."""
    history = History(LIMITED)
    for topic in (NAMED % b"aa", NAMED % b"bb", NAMED % b"cc", ONE, b"container/2/log"):
        history.subscribe(topic)
    history.subscribe(b"container/3/log")
    for gone in (ONE, NAMED % b"aa"):
        history.unsubscribe(gone)
        history.passes(5.1)
        for process in list(history.world.started):
            if signal.SIGTERM in process.signals and not process.closed:
                history.obeys(process)
    assert sorted(history.running()) == [f"container/{n}" for n in ("2", "3", "name:bb", "name:cc")]


def test_two_subscribers_are_one_collector() -> None:
    """Two subscribers share one collector."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.subscribe(ONE)
    history.subscribe(b"container/1/")
    assert len(history.world.started) == 1


def test_collector_ends_after_the_linger() -> None:
    """A collector ends after the linger, and then the broker forgets its topic."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.unsubscribe(ONE)
    history.passes(4.9)
    assert history.world.last.signals == []
    history.passes(0.2)
    history.obeys(history.world.last)
    assert history.supervisor.children == {}
    assert forgotten(history) == [ONE]


def test_subscriber_who_comes_back_keeps_the_collector() -> None:
    """A subscriber who returns within the linger keeps the collector."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.unsubscribe(ONE)
    history.passes(4.0)
    history.subscribe(ONE)
    history.passes(60.0)
    assert history.running() == ["container/1"]


def test_subscriber_who_comes_while_the_collector_ends() -> None:
    """A subscription during a collector's stop starts a fresh one as soon as the old one ended."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.unsubscribe(ONE)
    history.passes(5.0)
    old = history.world.last
    history.subscribe(ONE)
    assert len(history.world.started) == 1
    history.obeys(old)
    assert history.running() == ["container/1"]
    assert not history.world.last.resume
    assert forgotten(history) == [ONE]


def test_collector_that_does_not_stop_is_killed() -> None:
    """A collector that does not stop in time is killed."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.unsubscribe(ONE)
    history.passes(5.0 + 10.0)
    assert history.world.last.signals == [signal.SIGTERM, signal.SIGKILL]


def test_crashed_collector_resumes() -> None:
    """A crashed collector's successor resumes for the same subscribers."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.ends(history.world.last, -signal.SIGKILL)
    assert history.running() == []
    history.passes(1.0)
    assert history.running() == ["container/1"]
    assert history.world.last.resume
    assert forgotten(history) == []


def crash_out(history: History) -> None:
    """Crash as often as allowed."""
    for _ in range(3):
        history.ends(history.world.last, 1)
        history.passes(1.0)


def test_collector_that_keeps_crashing_is_reported() -> None:
    """A collector that keeps crashing is reported to its viewers and in the status table."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    crash_out(history)
    child = history.supervisor.children["container/1"]
    assert (child.state, child.why) == (State.FAILED, "crashed: exit status 1 (3 times)")
    text = "The log collector failed: crashed: exit status 1 (3 times)"
    assert refusals(history) == [(ONE, text, 1013)]


def test_failed_collector_gets_another_chance() -> None:
    """A failed collector with subscribers is started again after the window."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    crash_out(history)
    history.passes(58.0)
    assert history.running() == []
    history.passes(2.0)
    assert history.running() == ["container/1"]


def test_failed_collector_without_listeners_goes() -> None:
    """A failed collector without subscribers is removed."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    crash_out(history)
    history.unsubscribe(ONE)
    history.passes(5.0)
    assert history.supervisor.children == {}


def test_collector_that_is_told_to_end_is_started_again() -> None:
    """A SIGTERM from outside ends it with status 0; its subscribers are still there."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.ends(history.world.last, 0)
    assert history.running() == []
    history.passes(SETTINGS.supervisor.crash_window_seconds)
    assert history.running() == ["container/1"]
    assert history.world.last.resume


def test_too_many_collectors() -> None:
    """A collector above the limit is refused once."""
    history = History(SETTINGS)
    for topic in (ONE, b"container/2/log", b"container/3/log", b"container/3/"):
        history.subscribe(topic)
    assert history.running() == ["container/1", "container/2"]
    assert refusals(history) == [(b"container/3/log", "Too many collectors", 1013)]


def test_refused_one_starts_when_there_is_room() -> None:
    """A refused collector starts for a lasting subscription when there is room."""
    history = History(SETTINGS)
    for number in (1, 2, 3):
        history.subscribe(b"container/%d/log" % number)
    first = history.world.started[0]
    history.unsubscribe(ONE)
    history.passes(5.0)
    history.obeys(first)
    assert history.running() == ["container/2", "container/3"]


def test_refused_one_that_left_does_not_start() -> None:
    """A refused collector without subscribers is forgotten and never started."""
    history = History(SETTINGS)
    for number in (1, 2, 3):
        history.subscribe(b"container/%d/log" % number)
    history.unsubscribe(b"container/3/log")
    history.unsubscribe(ONE)
    history.passes(5.0)
    history.obeys(history.world.started[0])
    assert history.running() == ["container/2"]
    assert b"container/3/log" in forgotten(history)


def test_restarted_broker_keeps_collectors_that_are_wanted() -> None:
    """Collectors survive a broker's restart if their subscriptions return within the linger."""
    history = History(SETTINGS)
    history.subscribe(ONE)
    history.subscribe(b"container/2/log")
    history.supervisor.broker_restarted()
    history.subscribe(ONE)
    history.passes(5.0)
    first, second = history.world.started
    assert (first.signals, second.signals) == ([], [signal.SIGTERM])


# Shortages


def test_refused_start_is_told_once_and_tried_again() -> None:
    """Subscribers learn why there is no collector; it starts when there is room."""
    history = History(SETTINGS)
    history.world.refuse_to_start = OSError(errno.EMFILE, "Too many open files")
    history.subscribe(ONE)
    history.passes(30.0)
    text = "The log collector cannot be started: Too many open files; it is tried again"
    assert refusals(history) == [(ONE, text, close_codes.TRY_AGAIN_LATER)]
    history.world.refuse_to_start = None
    history.passes(1.5)
    assert history.running() == ["container/1"]
    assert not history.world.last.resume


def test_refused_start_that_is_not_wanted_any_more() -> None:
    """A collector that could not be started goes with its subscribers, and may come back."""
    history = History(SETTINGS)
    history.world.refuse_to_start = OSError(errno.ENOMEM, "Cannot allocate memory")
    history.subscribe(ONE)
    history.passes(10.0)
    history.unsubscribe(ONE)
    history.passes(10.0)
    assert not history.supervisor.children
    history.world.refuse_to_start = None
    history.subscribe(ONE)
    assert history.running() == ["container/1"]


# Deployments


def test_pending_deployment_is_run() -> None:
    """Pending deployments are looked up once per second."""
    rows = FakeRows()
    history = History(SETTINGS, rows)
    history.passes(0.0)
    rows.rows[14] = deployment(14, app=1)
    history.passes(1.0)
    assert history.running() == ["deployment/14"]
    assert not history.world.last.resume


def test_subscription_to_a_deployment_is_a_reason_to_look() -> None:
    """A subscription to a deployment triggers an immediate look at the store."""
    rows = FakeRows()
    history = History(SETTINGS, rows)
    history.passes(0.5)
    rows.rows[14] = deployment(14, app=1)
    history.subscribe(b"deployment/14/log")
    history.passes(0.0)
    assert history.running() == ["deployment/14"]


def test_end_of_a_deployment_is_a_reason_to_look() -> None:
    """The end of a deployment starts the application's next one at once."""
    rows = FakeRows(deployment(1, app=1), deployment(2, app=1))
    history = History(SETTINGS, rows)
    history.passes(0.0)
    rows.update(1, status="success")
    history.ends(history.world.last, 0)
    history.passes(0.0)
    assert history.running() == ["deployment/2"]
    assert forgotten(history) == [b"deployment/1/log"]


def test_watched_deployment_is_forgotten_with_its_last_watcher() -> None:
    """A deployment's final message stays in the replay until its last subscriber leaves."""
    rows = FakeRows(deployment(1, app=1))
    history = History(SETTINGS, rows)
    history.passes(0.0)
    history.subscribe(b"deployment/1/log")
    rows.update(1, status="success")
    history.ends(history.world.last, 0)
    assert forgotten(history) == []
    history.unsubscribe(b"deployment/1/log")
    history.passes(5.0)
    assert forgotten(history) == [b"deployment/1/log"]


def test_collectors_are_told_what_is_being_deployed() -> None:
    """Collectors learn at once when their application's runner starts and ends."""
    rows = FakeRows(deployment(1, app=5))
    history = History(SETTINGS, rows)
    history.passes(0.0)
    assert history.world.deploying == [{5}]
    rows.update(1, status="success")
    history.ends(history.world.last, 0)
    history.passes(0.0)
    assert history.world.deploying == [{5}, set()]


def test_collectors_are_told_nothing_while_the_store_fails() -> None:
    """While the store fails, the notices stay and the store is asked only once."""

    def fail() -> None:
        raise StoreError("the disk is full")

    rows = FakeRows(deployment(1, app=5))
    history = History(SETTINGS, rows)
    history.passes(0.0)
    rows.before = fail
    history.passes(3.0)
    assert history.world.deploying == [{5}]


def test_runner_that_dies_is_started_again_to_clean_up() -> None:
    """A runner that dies is started again, because only a runner knows what to clean up."""
    history = History(SETTINGS, FakeRows(deployment(1, app=1)))
    history.passes(0.0)
    history.ends(history.world.last, -signal.SIGKILL)
    history.passes(1.0)
    assert history.running() == ["deployment/1"]
    assert history.world.last.resume


def test_runner_that_cannot_even_clean_up() -> None:
    """If the clean-up crashes too, the row is closed and the queue continues."""
    rows = FakeRows(deployment(1, app=1), deployment(2, app=1))
    history = History(SETTINGS, rows)
    history.passes(0.0)
    history.ends(history.world.last, 1)
    history.passes(1.0)
    history.ends(history.world.last, 1)
    assert rows.rows[1].status == "failed"
    history.passes(1.0)
    assert history.running() == ["deployment/2"]
    assert history.supervisor.children["deployment/1"].state is State.FAILED
    history.passes(60.0)
    assert "deployment/1" not in history.supervisor.children


# Permanent children


def test_crashed_broker_comes_back() -> None:
    """A crashed broker is restarted without touching the other children."""
    history = whole_service()
    broker = history.world.started[0]
    history.ends(broker, -signal.SIGKILL)
    history.passes(1.0)
    assert history.world.last.spec.name == "broker"
    assert sorted(history.running()) == ["broker", "container/1", "gunicorn", "metrics"]


def test_service_ends_when_the_broker_cannot_start() -> None:
    """A broker that cannot start ends the service with the broker's own status."""
    history = History(SETTINGS)
    history.supervisor.add(specs.broker(SETTINGS))
    history.ends(history.world.last, Exit.UNAVAILABLE)
    assert history.supervisor.stopped
    assert history.supervisor.exit_status == Exit.UNAVAILABLE
    expected = "broker cannot start: exit status 69; the log above says more"
    assert history.supervisor.reason == expected


def test_service_ends_when_the_web_tier_gives_up() -> None:
    """A web tier that gives up ends the service with the reason that it reported."""
    history = whole_service()
    web = history.supervisor.children[specs.WEB]
    web.reason = "the web tier cannot start: a bug"
    process = next(p for p in history.world.started if p.spec.name == specs.WEB)
    history.ends(process, Exit.FAILURE)
    assert history.supervisor.stopping
    assert history.supervisor.exit_status == Exit.FAILURE
    assert history.supervisor.reason == "the web tier cannot start: a bug"


def test_service_ends_when_the_web_tier_keeps_crashing() -> None:
    """A web tier that keeps crashing ends the service in the order of a shutdown."""
    history = whole_service()
    for _ in range(3):
        web = next(p for p in reversed(history.world.started) if p.spec.name == specs.WEB)
        history.ends(web, 1)
        history.passes(1.0)
    assert history.supervisor.stopping
    assert history.supervisor.exit_status == Exit.FAILURE


def test_sampler_that_cannot_start_is_only_shown() -> None:
    """The status shows that the sampler cannot start; logs still work without charts."""
    history = whole_service()
    history.ends(history.world.started[1], Exit.BAD_CONFIG)
    assert history.supervisor.children["metrics"].state is State.FAILED
    assert not history.supervisor.stopping


# Shutdown


def test_shutdown_goes_phase_by_phase() -> None:
    """Shutdown stops the web tier first and the broker last."""
    history = whole_service()
    broker, metrics, web, collector = history.world.started
    history.supervisor.stop()
    for process, later in (
        (web, [collector, metrics, broker]),
        (collector, [metrics, broker]),
        (metrics, [broker]),
        (broker, []),
    ):
        assert all(other.signals == [] for other in later)
        assert not history.supervisor.stopped
        history.obeys(process)
    assert history.supervisor.stopped


def test_shutdown_is_bounded() -> None:
    """Each shutdown phase is bounded, even if no process obeys."""
    history = whole_service()
    history.supervisor.stop()
    for process in (2, 3, 1, 0):
        history.passes(10.0)
        asked = history.world.started[process]
        assert asked.signals == [signal.SIGTERM, signal.SIGKILL]
        history.ends(asked, -signal.SIGKILL)
    assert history.supervisor.stopped


def test_nothing_is_started_during_a_shutdown() -> None:
    """During a shutdown nothing starts: no crashed, waiting or newly demanded child."""
    history = whole_service()
    history.ends(history.world.started[3], 1)
    history.supervisor.stop()
    assert sorted(history.running()) == ["broker", "gunicorn", "metrics"]
    history.ends(history.world.started[1], 1)
    history.subscribe(b"container/2/log")
    history.passes(5.0)
    assert sorted(history.running()) == ["broker", "gunicorn"]


def test_second_request_kills() -> None:
    """A second request to stop kills everything."""
    history = whole_service()
    history.supervisor.stop()
    history.supervisor.kill()
    for process in history.world.started:
        assert process.signals[-1] == signal.SIGKILL
        history.ends(process, -signal.SIGKILL)
    assert history.supervisor.stopped


def test_idle_service_has_nothing_due() -> None:
    """Without a store to look at, an idle service has no timer."""
    history = whole_service()
    assert history.supervisor.due() is None
