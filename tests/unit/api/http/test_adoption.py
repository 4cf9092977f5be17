"""Tests of adoptions over HTTP, with answers of a reader that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from mist.adoptable import Adoptable, Fact
from mist.read_request import frame, refusal
from mist.store import App, Store, User
from tests.support.http_api import Api
from tests.support.reader_socket import END, HEAD, ReaderSocket, reader_socket

FOUND = Adoptable("a" * 64, "running", [Fact("image", "busybox", "replaced")], ["Careful"])


@pytest.fixture
def readers(api: Api) -> Iterator[ReaderSocket]:
    """A reader that describes a container."""
    with reader_socket(api.services.paths.readers) as readers:
        readers.answer = HEAD + frame(msgspec.json.encode(FOUND)) + END
        yield readers


@pytest.fixture
def shop(store: Store) -> App:
    """An application."""
    return store.apps.add("shop", git_url="https://example.com/shop")


def test_a_container_is_described(api: Api, ada: User, shop: App, readers: ReaderSocket) -> None:
    """The reader is asked for the application, in the name of the admin."""
    got = api.ask("GET", f"/api/apps/{shop.id}/adoption", ada)
    assert msgspec.convert(got.json["data"], Adoptable) == FOUND
    asked = readers.request
    assert (asked.app_id, asked.user, asked.adopts) == (shop.id, ada.email, True)


def test_exactly_what_was_looked_at_is_adopted(
    api: Api, ada: User, bob: User, shop: App, store: Store, readers: ReaderSocket
) -> None:
    """Another container, a wrong body, or a user who may not, adopts nothing."""
    path = f"/api/apps/{shop.id}/adoption"
    other = api.ask("POST", path, ada, json={"container_id": "b" * 64})
    assert (other.status_code, "another container" in other.json["message"]) == (409, True)
    assert api.ask("POST", path, ada, json={}).status_code == 400
    assert api.ask("POST", path, bob, json={"container_id": FOUND.container_id}).status_code == 403
    assert store.apps.adopted(shop.id) is None
    assert api.ask("POST", path, ada, json={"container_id": FOUND.container_id}).status_code == 200
    assert store.apps.adopted(shop.id) == FOUND.container_id
    assert "replaces" in store.audit.newest(1)[0].text


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (refusal(409, "shop has no Git repository"), 409, "no Git repository"),
        (refusal(404, "there is no container 'shop' to adopt"), 404, "to adopt"),
        (refusal(429, "You are already reading 4 logs", 2), 429, "already reading"),
        (HEAD + frame(b"{"), 503, "No reader answers"),
    ],
)
def test_why_nothing_can_be_adopted(
    api: Api, ada: User, shop: App, readers: ReaderSocket, answer: bytes, status: int, words: str
) -> None:
    """The client reads the reader's reason, also of an answer that broke off."""
    readers.answer = answer
    got = api.ask("GET", f"/api/apps/{shop.id}/adoption", ada)
    assert (got.status_code, words in got.json["message"]) == (status, True)
