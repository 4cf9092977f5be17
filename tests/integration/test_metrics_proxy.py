"""The engine's counts behind a socket proxy that cuts answers and forbids requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cli import doctor
from mist.messages import Docker
from mist.paths import Paths
from mist.settings import EngineSettings, MetricsSettings, Settings
from tests.support.service.engine import PrivateEngine
from tests.support.service.engine_proxy import EngineProxy, proxied
from tests.support.wait import wait_until
from workers.metrics.counts import UNKNOWN, Counts

pytestmark = pytest.mark.engine

LISTS = {"/containers/json", "/images/json"}


@pytest.fixture
def proxy(engine: PrivateEngine) -> Iterator[EngineProxy]:
    """A proxy that lets everything through."""
    with proxied(engine.socket) as proxy:
        yield proxy


def settings(proxy: EngineProxy) -> Settings:
    """Return settings with short times."""
    return Settings(
        engine=EngineSettings(host=proxy.host),
        metrics=MetricsSettings(stale_seconds=1.5, recount_seconds=2.0),
    )


@contextmanager
def counting(proxy: EngineProxy) -> Iterator[Callable[[], Docker]]:
    """Count through the proxy; yield the function that returns the figures."""
    counts = Counts(settings(proxy))
    counts.start()
    try:
        yield counts.figures
    finally:
        counts.stop()


def known(figures: Callable[[], Docker]) -> Docker:
    """Return the figures once they are known."""
    wait_until(lambda: figures() != UNKNOWN, "the counts")
    return figures()


def never(figures: Callable[[], Docker], unwanted: Docker, seconds: float) -> None:
    """Assert that the figures are not these at any time during some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert figures() != unwanted
        time.sleep(0.01)


def test_cut_report(engine: PrivateEngine, container: str, proxy: EngineProxy) -> None:
    """A report of changes that is cut again and again voids no sample, and changes are seen."""
    with counting(proxy) as figures:
        before = known(figures)
        for _ in range(3):
            wait_until(lambda: proxy.cut("/events"), "a report to cut")
            never(figures, UNKNOWN, 0.7)
        total = before.containers_total
        assert total is not None
        engine.run(container, "sleep 1000")
        wait_until(lambda: figures().containers_total == total + 1, "the change")


@pytest.mark.parametrize(
    "forbidden",
    [{"/events"}, {"/info"}, {"/events", "/info"}, {"/info", "/_ping"}],
    ids=lambda each: " ".join(sorted(each)),
)
@pytest.mark.parametrize("how", ["forbidden", "dropped"])
def test_forbidden(
    engine: PrivateEngine, container: str, proxy: EngineProxy, forbidden: set[str], how: str
) -> None:
    """Without the report or the counts, the lists that are allowed give the same figures."""
    with counting(proxy) as figures:
        expected = known(figures)
    setattr(proxy, how, forbidden)
    with counting(proxy) as figures:
        wait_until(lambda: figures() == expected, "the same counts")
        never(figures, UNKNOWN, 2.0)
        running = expected.containers_running
        assert running is not None
        engine.run(container, "sleep 1000")
        wait_until(lambda: figures().containers_running == running + 1, "the change")


def test_silent_report(proxy: EngineProxy) -> None:
    """A proxy that keeps the beginning of the report to itself voids no sample."""
    proxy.silent = {"/events"}
    with counting(proxy) as figures:
        known(figures)
        never(figures, UNKNOWN, 3.0)


def test_only_some_is_allowed(proxy: EngineProxy) -> None:
    """What is forbidden is null, and nothing else is; everything is null if nothing is allowed."""
    proxy.forbidden = {"/info", "/events", "/images/json"}
    with counting(proxy) as figures:
        wait_until(lambda: figures().containers_total is not None, "the containers")
        assert figures().images is None
        proxy.forbidden = {"/info", "/events", *LISTS}
        wait_until(lambda: figures() == UNKNOWN, "no counts")
        proxy.forbidden = set()
        wait_until(lambda: figures().images is not None, "the counts again")


@pytest.mark.parametrize(
    "path",
    [
        *("/info", "/events", "/containers/json", "/images/json", "/version"),
        *("/containers/mist-doctor/json", "/containers/mist-doctor/logs"),
    ],
)
def test_doctor_says_what_is_forbidden(proxy: EngineProxy, path: str) -> None:
    """The doctor names the request, and what to allow in the proxy."""
    nowhere = Paths(proxy.path.parent, proxy.path.parent)
    assert [each.verdict for each in doctor.check_engine(settings(proxy), nowhere)] == ["ok"]
    proxy.forbidden = {path}
    *_, finding = doctor.check_engine(settings(proxy), nowhere)
    essential = path.startswith(("/containers", "/version"))
    assert finding.verdict == ("fail" if essential else "warn")
    assert f"GET {path}" in finding.text
    assert path.split("/")[1].upper() + "=1" in finding.advice


def test_doctor_goes_on_without_a_version(proxy: EngineProxy) -> None:
    """What else is forbidden is told, too, although the engine's version is."""
    proxy.forbidden = {"/version", "/info"}
    nowhere = Paths(proxy.path.parent, proxy.path.parent)
    found = [each.text.split()[1] for each in doctor.check_engine(settings(proxy), nowhere)]
    assert found == ["/version", "/info"]
