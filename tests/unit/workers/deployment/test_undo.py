"""Tests of undoing a replacement in which other programs took part."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError
from msgspec import structs

from tests.support.fake_engine import refusal
from tests.support.swap_rig import BEFORE, NEW, OLD, Rig
from workers.deployment.containers import Swap
from workers.references import Inspection


@pytest.fixture
def rig(swap_rig: Rig) -> Rig:
    """The application."""
    return swap_rig


@pytest.fixture(params=["new first", "old first"])
def new_first(request: pytest.FixtureRequest) -> bool:
    """Both orders of a replacement."""
    return bool(request.param == "new first")


def swapped(rig: Rig, *, new_first: bool) -> tuple[Swap, Inspection]:
    """Run a deployment until the new container has the name; return it with the old one."""
    rig.engine.health_check = new_first
    old = rig.engine.containers_by_id[rig.old()]
    swap = rig._replace(app=structs.replace(rig.app, port=None)).deploy()
    swap.prepare("image")
    assert swap.new_first is new_first
    if new_first:
        swap.start_new()
        swap.take_over()
    else:
        swap.stop_old()
        swap.start_new()
    assert rig.names() == {BEFORE: new_first, OLD: True}
    return swap, old


def remove(rig: Rig, name: str) -> None:
    """Remove a container as another program does."""
    found = rig.engine.named(name)
    assert found is not None
    del rig.engine.containers_by_id[found["Id"]]


def stopped(rig: Rig) -> list[str]:
    """Return the names of the containers that were asked to stop."""
    return [name for method, name in rig.engine.calls if method == "stop"]


def test_a_new_one_that_another_program_removed(rig: Rig, new_first: bool) -> None:
    """The old container gets its name back without the labels of the new one."""
    swap, old = swapped(rig, new_first=new_first)
    remove(rig, OLD)
    for _ in range(2):
        assert swap.undo()
        assert rig.names() == {OLD: True}
    assert rig.engine.named(OLD) is old
    assert len(stopped(rig)) == (not new_first)
    assert ("The previous container has its name again" in swap.notes) is new_first
    assert any("was away for" in note for note in swap.notes) is not new_first


def test_a_new_one_of_an_adopted_container_that_was_removed(rig: Rig) -> None:
    """An adopted container has no labels of Mist."""
    swap, old = swapped(rig, new_first=False)
    old["Config"]["Labels"] = {}
    rig.store.apps.adopt(rig.app.id, old["Id"])
    remove(rig, OLD)
    assert swap.undo()
    assert rig.engine.named(OLD) is old
    assert rig.names() == {OLD: True}


def test_a_stranger_with_the_name_of_one_that_was_set_aside(rig: Rig) -> None:
    """It is left alone, and so is a container that another deployment has set aside."""
    rig.engine.add(BEFORE, running=False)
    rig.engine.add("shop-before-2", running=False)
    assert rig.deploy().undo()
    assert rig.names() == {BEFORE: False, "shop-before-2": False}
    assert rig.engine.calls == []


@pytest.mark.parametrize("running", [True, False])
def test_a_name_that_another_program_has_taken(rig: Rig, new_first: bool, running: bool) -> None:
    """The old container runs all the same, and is not stopped in vain."""
    swap, old = swapped(rig, new_first=new_first)
    found = rig.engine.named(OLD)
    assert found is not None
    found["Name"] = f"/{NEW}"
    found["State"]["Running"] = running
    rig.engine.add(OLD)
    rig.engine.calls.clear()
    with pytest.raises(APIError, match="Conflict"):
        swap.undo()
    assert old["State"]["Running"]
    assert old["Name"][1:] not in stopped(rig)
    assert BEFORE not in stopped(rig)
    remove(rig, OLD)
    rig.deploy().prepare("image")
    assert rig.engine.named(OLD) is old, "the next deployment completes it"


def test_a_taken_name_of_one_that_is_alone(rig: Rig, new_first: bool) -> None:
    """The same without a new container."""
    swap, old = swapped(rig, new_first=new_first)
    remove(rig, OLD)
    rig.engine.add(OLD)
    rig.engine.calls.clear()
    with pytest.raises(APIError, match="Conflict"):
        swap.undo()
    assert old["State"]["Running"]
    assert stopped(rig) == []


@pytest.mark.parametrize("refused", [(OLD,), (OLD, "Shop", NEW)])
def test_one_that_cannot_be_renamed_at_all(
    rig: Rig, new_first: bool, refused: tuple[str, ...]
) -> None:
    """The old container runs again, also if it was stopped for the renaming."""
    swap, old = swapped(rig, new_first=new_first)
    rename = rig.engine.rename

    def fails(full_id: str, name: str) -> None:
        if name in refused:
            raise refusal(500, "sandbox not found")
        rename(full_id, name)

    rig.engine.rename = fails  # type: ignore[method-assign]
    with pytest.raises(APIError):
        swap.undo()
    assert old["State"]["Running"]


def test_one_that_stops_meanwhile_did_not_go_on_running(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine may stop the old container after the runner has ended, before its renaming."""
    rig.engine.health_check = True
    old = rig.engine.containers_by_id[rig.old()]
    swap = rig._replace(app=structs.replace(rig.app, port=None)).deploy()
    swap.prepare("image")
    swap.start_new()

    def stops(_seconds: float) -> None:
        old["State"]["Running"] = False

    monkeypatch.setattr("workers.deployment.undo.time.sleep", stops)
    assert swap.undo(stopping=True)
    assert any("was away for" in note for note in swap.notes)
    assert not any("went on running" in note for note in swap.notes)


@pytest.mark.parametrize("replaces", ["nothing", "one that is gone"])
@pytest.mark.parametrize("name", ["Shop", "SHOP", "sHop"])
def test_a_name_whose_case_the_user_changes(rig: Rig, replaces: str, name: str) -> None:
    """The running container is not taken for one that is halfway through its renaming."""
    if replaces != "nothing":
        rig.old(running=False)
    first = rig.deploy()
    first.prepare("image")
    first.stop_old()
    first.start_new()
    first.commit()
    found = rig.engine.named(OLD)
    assert found is not None
    rig.engine.calls.clear()
    rig._replace(app=structs.replace(rig.app, container=name)).deploy().prepare("image")
    assert found["Id"] in rig.engine.containers_by_id
    assert found["State"]["Running"]
    assert {method for method, _ in rig.engine.calls} <= {"create", "rename"}
    # One that replaced another may have been left so by a runner that was killed.
    assert found["Name"] == f"/{OLD if replaces == 'nothing' else name}"


def test_the_name_is_checked(rig: Rig) -> None:
    """Only a container of this very deployment has it."""
    swap, old = swapped(rig, new_first=False)
    assert swap.has_name()
    assert not rig.deploy().has_name()
    made: Any = rig.engine.named(OLD)
    made["Name"] = f"/{NEW}"
    assert not swap.has_name()
    old["Name"] = f"/{OLD}"
    assert not swap.has_name()
