"""Tests of the sampler with a broker and an engine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from bus import topics, wire
from bus.subscriber import ask_replay, events_socket
from bus.wire import Kind
from mist.errors import SettingsError
from mist.messages import MetricsSample
from mist.process import Assignment
from mist.settings import MetricsSettings, Settings
from tests.support.bus import Rig
from tests.support.engine_server import EngineServer
from tests.support.service.programs import kill
from tests.support.until_sigterm import until_sigterm
from workers.metrics.main import main

SAMPLER = Assignment("metrics", 0, 5, False)


@pytest.fixture
def settings(rig: Rig, server: EngineServer, tmp_path: Path) -> Settings:
    """The settings of a sampler of an engine with three containers."""
    info = {"ContainersRunning": 2, "Containers": 3, "Images": 4}
    server.answer("/info", info)
    server.answer("/_ping", b"OK")
    metrics = MetricsSettings(disk_path=str(tmp_path))
    return structs.replace(rig.settings, engine=server.settings.engine, metrics=metrics)


def test_samples_are_published(rig: Rig, settings: Settings) -> None:
    """Each sample has the host's figures and the engine's counts, and the next number."""

    def visit() -> list[wire.Message]:
        with events_socket(rig.context, rig.paths, settings) as subscriber:
            subscriber.subscribe(topics.METRICS)
            found: list[wire.Message] = []
            while len(found) < 2:
                assert subscriber.poll(20_000)
                found.append(wire.parse(subscriber.recv_multipart()))
            return found

    first, second = until_sigterm(lambda: main(SAMPLER, settings, rig.paths), visit)
    assert (first.header.kind, first.header.term) == (Kind.METRICS, 5)
    assert second.header.seq == first.header.seq + 1
    sample = msgspec.json.decode(second.body, type=MetricsSample)
    assert (sample.docker.containers_running, sample.docker.containers_total) == (2, 3)
    assert 0 < sample.memory.used < sample.memory.total


def test_sampling_goes_on_with_a_new_broker(rig: Rig, settings: Settings) -> None:
    """A new broker gets the samples of the old one again, and the next ones."""

    def visit() -> None:
        rig.await_seq(topics.METRICS, 1)
        kill(rig.broker)
        rig.start()
        rig.await_seq(topics.METRICS, 2)
        found = ask_replay(rig.context, rig.paths, topics.METRICS).messages
        assert [each.header.seq for each in found][:2] == [1, 2]

    until_sigterm(lambda: main(SAMPLER, settings, rig.paths), visit)


def test_a_disk_that_is_not_there_is_reported(rig: Rig, settings: Settings) -> None:
    """The setting is named before anything is published."""
    metrics = MetricsSettings(disk_path="/nowhere")
    with pytest.raises(SettingsError, match="disk_path"):
        main(SAMPLER, structs.replace(settings, metrics=metrics), rig.paths)
