"""Tests of taking over networks and aliases."""

from __future__ import annotations

from typing import Any, cast

import pytest
from docker import APIClient

from mist.settings import Settings
from tests.support.fake_engine import FakeEngine
from workers.deployment import networks


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine without containers."""
    return FakeEngine(monkeypatch)


def pair(
    engine: FakeEngine, asked: str | None, old: dict[str, list[str]], new: list[str]
) -> list[dict[str, Any]]:
    """Return the old container with its networks and aliases, and the new one."""
    labels = {} if asked is None else {"mist.networks": asked}
    made = [engine.add("old", labels=labels), engine.add("new", running=False)]
    for name, aliases in old.items():
        engine.connect_container_to_network(made[0]["Id"], name, aliases)
    for name in new:
        engine.connect_container_to_network(made[1]["Id"], name)
    engine.calls.clear()
    return made


def joined(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the aliases in each network, without the one of the engine."""
    networks = found["NetworkSettings"]["Networks"]
    return {name: each["Aliases"][:-1] for name, each in networks.items()}


@pytest.mark.parametrize(
    ("asked", "new", "wanted"),
    [
        ('["front"]', ["front"], {"front", "added"}),
        ('["id-front"]', ["front"], {"front", "added"}),
        ('["front", "added"]', ["front"], {"front"}),
        ('["front"]', ["added"], {"added"}),
        ('["front"]', ["front", "added"], {"front", "added"}),
        ("[]", ["front"], {"front", "added"}),
        (None, ["front"], {"front"}),
        ("no JSON", ["front"], {"front"}),
        ('{"a": 1}', ["front"], {"front"}),
    ],
)
def test_networks_that_were_added(
    engine: FakeEngine, asked: str | None, new: list[str], wanted: set[str]
) -> None:
    """A network goes along if the old container's deployment did not ask for it."""
    old, made = pair(engine, asked, {"front": [], "added": ["api"], "bridge": []}, new)
    notes = list(networks.attach(cast(APIClient, engine), Settings(), old, made))
    assert set(joined(made)) == wanted
    assert len(notes) == len(engine.calls) == len(wanted) - len(new)
    assert not any(joined(made).values()), "aliases come later"


def test_a_fixed_address_is_mentioned(engine: FakeEngine) -> None:
    """No two containers can have it."""
    old, made = pair(engine, '["front"]', {"front": []}, ["front"])
    old["NetworkSettings"]["Networks"]["front"]["IPAMConfig"] = {"IPv4Address": "10.1.2.3"}
    [note] = networks.attach(cast(APIClient, engine), Settings(), old, made)
    assert "10.1.2.3 in front" in note


def test_a_network_that_was_removed(engine: FakeEngine) -> None:
    """The container starts without it, and is attached to the others."""
    old, made = pair(engine, "[]", {"gone": ["api"], "added": []}, [])
    engine.missing_networks = {"gone"}
    notes = list(networks.attach(cast(APIClient, engine), Settings(), old, made))
    assert notes[0] == "The previous container's network gone does not exist any more"
    assert set(joined(made)) == {"added"}
    assert list(networks.take_aliases(cast(APIClient, engine), old, made)) == []
    engine.start(made["Id"])


@pytest.mark.parametrize("mode", ["host", "none", f"container:{'a' * 64}"])
def test_a_network_mode_that_excludes_others(engine: FakeEngine, mode: str) -> None:
    """The engine refuses to attach such a container to a network."""
    old, made = pair(engine, '["front"]', {"front": ["web"], "added": []}, [])
    made["HostConfig"]["NetworkMode"] = mode
    [note] = networks.attach(cast(APIClient, engine), Settings(), old, made)
    word = mode.partition(":")[0]
    assert note == f"Not attached to the network added: the network mode '{word}' excludes others"
    assert list(networks.take_aliases(cast(APIClient, engine), old, made)) == []
    assert engine.calls == []


def test_aliases_are_taken_once(engine: FakeEngine) -> None:
    """A network is joined again only for an alias that is lacking."""
    old, made = pair(engine, None, {"front": ["web", "www"], "plain": [], "other": ["x"]}, [])
    for name, aliases in (("front", ["mine", "web"]), ("plain", [])):
        engine.connect_container_to_network(made["Id"], name, aliases)
    for count in (1, 0):
        notes = list(networks.take_aliases(cast(APIClient, engine), old, made))
        assert len(notes) == count
        assert joined(made) == {"front": ["mine", "web", "www"], "plain": []}
    assert [method for method, _ in engine.calls] == ["connect"] * 2 + ["disconnect", "connect"]


def test_a_label_tells_what_was_asked_for() -> None:
    """The next deployment reads it."""
    assert networks.labels(("a", "b")) == {"mist.networks": '["a","b"]'}
