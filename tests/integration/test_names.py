"""Container names that the engine would also take for the beginning of another container's id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from bus.wire import Kind
from mist import settings as s
from tests.support.service.collecting import Collecting
from tests.support.service.engine import PrivateEngine
from tests.support.wait import wait_until
from workers import references

pytestmark = pytest.mark.engine

WAIT = "sleep 1000"

Collect = Callable[[str], Collecting]


@pytest.fixture
def made(engine: PrivateEngine) -> Iterator[list[str]]:
    """The ids of containers that are removed after the test."""
    ids: list[str] = []
    yield ids
    for each in ids:
        engine.remove(each)


@pytest.fixture
def stranger(engine: PrivateEngine, made: list[str]) -> str:
    """The id of a running container that belongs to no application."""
    made.append(engine.run("stranger", f"echo secret; {WAIT}"))
    wait_until(lambda: engine.lines("stranger") == ["secret"], "its line")
    return made[-1]


@pytest.fixture
def settings(engine: PrivateEngine) -> s.Settings:
    """Settings that point to the engine."""
    return s.Settings(
        engine=s.EngineSettings(host=engine.host, timeout_seconds=5),
        collector=s.CollectorSettings(retry_seconds=0.2),
    )


@pytest.fixture
def collect(settings: s.Settings) -> Iterator[Collect]:
    """Start a broker and the collector of an application with this container name."""
    started: list[Collecting] = []

    def start(container: str) -> Collecting:
        started.append(Collecting(settings, container))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.close()


def not_found(one: Collecting) -> bool:
    """Return True if clients are told that there is no such container."""
    one.until(lambda c: c.count(Kind.ERROR))
    error = one.events()[-1]["data"]["message"]
    return (error, one.got[-1].header.code) == ("Container not found", 4404)


@pytest.mark.parametrize("length", [2, 4, 6, 12, 63, 64])
def test_an_id_is_no_name(stranger: str, collect: Collect, length: int) -> None:
    """Neither a stranger's whole id nor its beginning shows the stranger's log."""
    one = collect(stranger[:length])
    assert not_found(one)
    assert one.lines() == []


def test_the_beginning_of_two_ids_is_no_name(
    engine: PrivateEngine, made: list[str], collect: Collect
) -> None:
    """The engine's answer "Multiple IDs found" is treated as not found."""
    starts: dict[str, int] = defaultdict(int)
    while not any(count > 1 for count in starts.values()):
        assert len(made) < 257
        made.append(engine.create(f"one-of-many-{len(made)}", WAIT))
        starts[made[-1][:2]] += 1
    assert not_found(collect(made[-1][:2]))


@pytest.mark.parametrize("length", [4, 12, 64])
def test_a_name_that_begins_an_id_is_found(
    engine: PrivateEngine, made: list[str], stranger: str, collect: Collect, length: int
) -> None:
    """A name is found even if the engine itself would prefer the stranger with this id."""
    made.append(engine.run(stranger[:length], f"echo mine; {WAIT}"))
    one = collect(stranger[:length])
    one.until(lambda c: c.lines() == ["mine"])


def test_a_container_that_loses_its_name_is_no_longer_shown(
    engine: PrivateEngine, made: list[str], stranger: str, collect: Collect
) -> None:
    """The stream ends and does not continue with a stranger whose id begins with the name."""
    made.append(engine.run(stranger[:8], f"echo mine; {WAIT}"))
    one = collect(stranger[:8])
    one.until(lambda c: c.lines() == ["mine"])
    engine.remove(made[-1])
    one.until(lambda c: c.count(Kind.END))
    assert one.lines() == ["mine"]


@pytest.mark.parametrize("other", ["a-web", "web-1", "aXweb", "web"])
def test_a_name_is_no_pattern(
    engine: PrivateEngine, made: list[str], settings: s.Settings, stranger: str, other: str
) -> None:
    """Container lists, too, match only the whole name."""
    made.append(engine.create(other, WAIT))
    name = "a.web"
    assert references.find_container(settings, name) is None
    assert references.find_container(settings, stranger[:5]) is None


def test_a_name_with_a_link_is_found(
    engine: PrivateEngine, made: list[str], settings: s.Settings, stranger: str
) -> None:
    """A container that others link to has further names; only its own counts."""
    target = stranger[:7]
    made.append(engine.create(target, WAIT))
    config = engine.client.create_host_config(network_mode="none", links={target: stranger[:9]})
    image = engine.client.inspect_container(target)["Config"]["Image"]
    made.append(
        engine.client.create_container(
            image, ["/bin/sh", "-c", WAIT], name="linking", host_config=config
        )["Id"]
    )
    found = references.find_container(settings, target)
    assert found is not None
    assert found["Id"] == made[0] or found["Id"] == made[1]
    assert found["Name"] == f"/{target}"
    assert references.find_container(settings, stranger[:9]) is None
    assert references.find_container(settings, f"linking/{stranger[:9]}") is None


@pytest.mark.parametrize("length", [2, 12, 63])
def test_an_id_is_no_networks_name(
    engine: PrivateEngine, settings: s.Settings, length: int
) -> None:
    """The beginning of a network's id is refused; a name or a whole id is accepted."""
    none = next(each for each in engine.client.networks() if each["Name"] == "none")
    with pytest.raises(references.NoSuchNetwork, match="no network"):
        references.network_mode(settings, none["Id"][:length])
    for whole in ("none", "host", "", "default", none["Id"]):
        assert references.network_mode(settings, whole) == whole


def test_a_containers_network_is_that_of_the_name(settings: s.Settings, stranger: str) -> None:
    """``container:NAME`` becomes the id; the beginning of an id is refused."""
    assert references.network_mode(settings, "container:stranger") == f"container:{stranger}"
    assert references.network_mode(settings, f"container:{stranger}") == f"container:{stranger}"
    with pytest.raises(references.NoSuchNetwork, match=r"does not name a container"):
        references.network_mode(settings, f"container:{stranger[:6]}")
