"""Tests of handing a container's name over."""

from __future__ import annotations

from typing import cast

import pytest
from docker import APIClient
from docker.errors import APIError

from tests.support.fake_engine import FakeEngine
from workers.deployment import names


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine without containers."""
    return FakeEngine(monkeypatch)


def hand_over(engine: FakeEngine, name: str, giver: str, taker: str) -> None:
    """Hand ``name`` over between containers with these ids."""
    names.hand_over(cast(APIClient, engine), name, giver, taker, f"{name}-aside")


def renamed(engine: FakeEngine) -> list[str]:
    """Return the names that containers got, in order."""
    return [name for method, name in engine.calls if method == "rename"]


def test_the_name_always_resolves(engine: FakeEngine) -> None:
    """Before each renaming, a container that is not being renamed answers to the name."""
    giver, taker = engine.add("shop")["Id"], engine.add("shop-new")["Id"]
    answering: list[set[str]] = []
    rename = engine.rename

    def spied(full_id: str, name: str) -> None:
        others = {key: each for key, each in engine.containers_by_id.items() if key != full_id}
        now = {key for key, each in others.items() if each["Name"].lower() == "/shop"}
        rename(full_id, name)
        answering.append(now)

    engine.rename = spied  # type: ignore[method-assign]
    hand_over(engine, "shop", giver, taker)
    assert answering == [{giver}, {taker}, {giver}, {taker}]
    assert engine.containers_by_id[taker]["Name"] == "/shop"
    assert engine.containers_by_id[giver]["Name"] == "/shop-aside"


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("back", [False, True])
def test_it_can_go_on_and_back_after_each_step(engine: FakeEngine, steps: int, back: bool) -> None:
    """Wherever a runner was killed, another one completes or reverses the renaming."""
    giver, taker = engine.add("shop")["Id"], engine.add("shop-new")["Id"]
    rename, done = engine.rename, iter(range(steps))

    def limited(full_id: str, name: str) -> None:
        if not engine.named(name) and next(done, None) is None:
            raise InterruptedError
        rename(full_id, name)

    engine.rename = limited  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        hand_over(engine, "shop", giver, taker)
    engine.rename = rename  # type: ignore[method-assign]
    if back:
        names.hand_over(cast(APIClient, engine), "shop", taker, giver, "shop-new")
    else:
        hand_over(engine, "shop", giver, taker)
    found = {each["Id"]: each["Name"] for each in engine.containers_by_id.values()}
    names_now = (found[giver], found[taker])
    assert names_now == (("/shop", "/shop-new") if back else ("/shop-aside", "/shop"))


def test_spellings_that_are_taken_are_passed_over(engine: FakeEngine) -> None:
    """Another container's name is left alone."""
    giver, taker = engine.add("ab")["Id"], engine.add("new")["Id"]
    engine.add("Ab")
    hand_over(engine, "ab", giver, taker)
    assert renamed(engine)
    assert engine.named("Ab")
    assert engine.containers_by_id[taker]["Name"] == "/ab"
    assert engine.containers_by_id[giver]["Name"] == "/ab-aside"


@pytest.mark.parametrize("name", ["7", "1-2.3", "a1"])
def test_names_with_too_few_letters(engine: FakeEngine, name: str) -> None:
    """They change hands all the same."""
    giver, taker = engine.add(name)["Id"], engine.add("new")["Id"]
    hand_over(engine, name, giver, taker)
    assert engine.containers_by_id[taker]["Name"] == f"/{name}"
    assert engine.containers_by_id[giver]["Name"] == f"/{name}-aside"


def test_a_failure_is_not_taken_for_a_conflict(engine: FakeEngine) -> None:
    """An engine that refuses is asked once."""
    giver, taker = engine.add("shop")["Id"], engine.add("new")["Id"]
    engine.fails_on = {"rename"}
    with pytest.raises(APIError):
        hand_over(engine, "shop", giver, taker)
    assert len(renamed(engine)) == 1
