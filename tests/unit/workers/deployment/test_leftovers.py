"""Tests of the lines that name what a build has left, and of its removal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from docker import APIClient

from tests.support.engine_server import EngineServer
from workers.deployment.leftovers import Leftovers, named_in, remove

LOG = """\
Step 1/4 : FROM busybox
 ---> 111111111111
Step 2/4 : RUN one
 ---> Using cache
 ---> 222222222222
Step 3/4 : RUN two
 ---> Running in aaaaaaaaaaaa
some output ---> 999999999999
Removing intermediate container aaaaaaaaaaaa
 ---> 333333333333
Step 4/4 : RUN three
 ---> Running in bbbbbbbbbbbb
"""


def test_only_what_the_build_made_is_named() -> None:
    """The base image and cached images are not the build's own."""
    assert named_in(LOG.splitlines()) == Leftovers(
        ["aaaaaaaaaaaa", "bbbbbbbbbbbb"], ["333333333333"], ["111111111111", "222222222222"]
    )


def test_a_flood_of_lines_is_bounded() -> None:
    """A step can print any number of such lines."""
    lines = (f" ---> Running in {number:012x}" for number in range(100_000))
    assert len(named_in(lines).containers) == 1_000


def test_a_log_without_a_build() -> None:
    """A deployment that never built has left nothing."""
    assert named_in(["Cloning …", "Step 1/x"]) == Leftovers([], [], [])


SINCE = "2026-05-01T12:00:00.123456Z"
OLDER, NEWER = "2026-05-01T11:59:59.999999999Z", "2026-05-01T12:00:00.000000000Z"
CONTAINER, IMAGE, BASE = "a" * 64, f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
FOUND = Leftovers(["a" * 12], ["1" * 12], ["2" * 12])


@pytest.fixture
def client(server: EngineServer) -> Iterator[APIClient]:
    """A client of an engine with one container and one image of the build."""
    container = {"Id": CONTAINER, "Created": NEWER, "Config": {"Image": BASE}}
    server.answer(f"/containers/{'a' * 12}/json", container)
    server.answer(f"/images/{'1' * 12}/json", {"Id": IMAGE, "Created": NEWER, "RepoTags": []})
    server.answer(f"DELETE /containers/{CONTAINER}", b"", 204)
    server.answer(f"DELETE /images/{IMAGE}", [])
    with closing(APIClient(server.settings.engine.host, version="1.41", timeout=10)) as client:
        yield client


def removed(server: EngineServer) -> list[str]:
    """Return the things whose removal was requested."""
    paths = [path for path, _ in server.queries]
    return [path.removeprefix("DELETE /") for path in paths if path.startswith("DELETE /")]


def test_the_container_goes_before_the_image(server: EngineServer, client: APIClient) -> None:
    """The container of the broken step and the image of the last whole one are removed."""
    assert remove(client, FOUND, SINCE)
    assert removed(server) == [f"containers/{CONTAINER}", f"images/{IMAGE}"]
    queries = dict(server.queries)
    assert queries[f"DELETE /containers/{CONTAINER}"]["force"] == "True"
    assert queries[f"DELETE /images/{IMAGE}"]["noprune"] == "True"


def test_the_newest_image_goes_first(server: EngineServer, client: APIClient) -> None:
    """An image with children cannot be removed."""
    newest = f"sha256:{'3' * 64}"
    server.answer(f"/images/{'3' * 12}/json", {"Id": newest, "Created": NEWER})
    server.answer(f"DELETE /images/{newest}", [])
    assert remove(client, Leftovers([], ["1" * 12, "3" * 12], []), SINCE)
    assert removed(server) == [f"images/{newest}", f"images/{IMAGE}"]


@pytest.mark.parametrize(
    "other",
    [
        {"Created": OLDER},
        {"Config": {"Image": "busybox"}},
        {"Config": {"Image": "sha256:" + "9" * 64}},
        {"Id": "b" * 64},
    ],
)
def test_a_container_of_something_else_stays(
    server: EngineServer, client: APIClient, other: dict[str, object]
) -> None:
    """A step can print the id of a container that is older or based on another image."""
    found = {"Id": CONTAINER, "Created": NEWER, "Config": {"Image": BASE}} | other
    server.answer(f"/containers/{'a' * 12}/json", found)
    assert remove(client, FOUND, SINCE)
    assert removed(server) == [f"images/{IMAGE}"]


@pytest.mark.parametrize(
    "other",
    [
        {"Created": OLDER},
        {"RepoTags": ["app:1"]},
        {"RepoDigests": ["app@sha256:0"]},
        {"Id": BASE},
    ],
)
def test_an_image_of_something_else_stays(
    server: EngineServer, client: APIClient, other: dict[str, object]
) -> None:
    """A step can print the id of an image that is older or has a name."""
    server.answer(f"/images/{'1' * 12}/json", {"Id": IMAGE, "Created": NEWER} | other)
    assert remove(client, FOUND, SINCE)
    assert removed(server) == [f"containers/{CONTAINER}"]


def test_what_is_gone_needs_no_removal(server: EngineServer, client: APIClient) -> None:
    """An engine that knows neither has nothing left of the build."""
    server.answers.clear()
    assert remove(client, FOUND, SINCE)
    assert removed(server) == []


@pytest.mark.parametrize("what", [f"containers/{CONTAINER}", f"images/{IMAGE}"])
def test_what_cannot_be_removed_is_left(server: EngineServer, client: APIClient, what: str) -> None:
    """A conflict with one of them does not keep the other from being removed."""
    server.answer(f"DELETE /{what}", {"message": "conflict"}, 409)
    assert not remove(client, FOUND, SINCE)
    assert removed(server) == [f"containers/{CONTAINER}", f"images/{IMAGE}"]
