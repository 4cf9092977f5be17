"""Containers and networks are found by their whole name or id, and by nothing else."""

from __future__ import annotations

import pytest

from mist.errors import EngineError, EngineUnreachable
from tests.support.engine_server import EngineServer
from workers.references import NoSuchNetwork, find_container, network_mode

ID = "ab" * 32
CONTAINER = {"Id": ID, "Name": "/web"}


def test_a_container_is_found_by_its_name(server: EngineServer) -> None:
    """The engine's answer is returned as it is."""
    server.answer("/containers/web/json", CONTAINER)
    assert find_container(server.settings, "web") == CONTAINER


@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_beginning_of_an_id_is_not_a_name(server: EngineServer, status: int) -> None:
    """Whether one container's id begins with it, or several do."""
    server.answer("/containers/abab/json", CONTAINER if status == 200 else {}, status)
    server.answer("/containers/json", [])
    assert find_container(server.settings, "abab") is None


def test_a_name_that_hides_behind_an_id_is_found(server: EngineServer) -> None:
    """The list of all names decides, in which a linked container has several."""
    other = {"Id": "cd" * 32, "Name": "/abab"}
    server.answer("/containers/abab/json", CONTAINER)
    server.answer(
        "/containers/json",
        [
            {"Id": ID, "Names": ["/xabab"]},
            {"Id": other["Id"], "Names": ["/db/link", "/abab"]},
        ],
    )
    server.answer(f"/containers/{other['Id']}/json", other)
    assert find_container(server.settings, "abab") == other


def test_a_container_that_was_renamed_meanwhile_is_not_found(server: EngineServer) -> None:
    """Between the list and the inspection."""
    server.answer("/containers/abab/json", CONTAINER)
    server.answer("/containers/json", [{"Id": ID, "Names": ["/abab"]}])
    server.answer(f"/containers/{ID}/json", CONTAINER)
    assert find_container(server.settings, "abab") is None


def test_an_answer_that_is_not_the_engines_is_an_error(server: EngineServer) -> None:
    """Some other server listens at the address."""
    server.answer("/containers/web/json", ["welcome"])
    with pytest.raises(EngineUnreachable, match="not the Docker Engine's"):
        find_container(server.settings, "web")


@pytest.mark.parametrize("text", ["bridge", "host", "none"])
def test_modes_are_passed_on(server: EngineServer, text: str) -> None:
    """They are no names, so the engine is not asked."""
    assert network_mode(server.settings, text) == text
    assert server.queries == []


def test_a_network_is_known_by_name_or_id(server: EngineServer) -> None:
    """The beginning of an id is refused."""
    network = {"Name": "shop", "Id": ID}
    for name in ("shop", ID, ID[:12]):
        server.answer(f"/networks/{name}", network)
    assert network_mode(server.settings, "shop") == "shop"
    assert network_mode(server.settings, ID) == ID
    for missing in (ID[:12], "shopping"):
        with pytest.raises(NoSuchNetwork, match=missing):
            network_mode(server.settings, missing)


def test_a_failing_engine_is_not_a_missing_network(server: EngineServer) -> None:
    """Its own words are the error."""
    server.answer("/networks/shop", {"message": "out of memory"}, 500)
    with pytest.raises(EngineError, match="out of memory"):
        network_mode(server.settings, "shop")


def test_a_containers_network_is_named_by_the_containers_id(server: EngineServer) -> None:
    """By name or by full id."""
    server.answer("/containers/web/json", CONTAINER)
    server.answer(f"/containers/{ID}/json", CONTAINER)
    server.answer("/containers/json", [])
    for name in ("web", ID):
        assert network_mode(server.settings, f"container:{name}") == f"container:{ID}"
    with pytest.raises(NoSuchNetwork, match="container:db"):
        network_mode(server.settings, "container:db")
