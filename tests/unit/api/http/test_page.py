"""The page's files and addresses, without a browser."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from api.http.page import Page

INDEX = b'<!doctype html><link href="./assets/a.css"><script src="./assets/a.js"></script>'
SCRIPT = b"console.log(1);\n" * 50
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@pytest.fixture
def page(tmp_path: Path) -> falcon.testing.TestClient:
    """A page as a build leaves it."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_bytes(INDEX)
    (assets / "a.js").write_bytes(SCRIPT)
    (assets / "a.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "a.js.br").write_bytes(b"brotli")
    (assets / "a.css").write_bytes(b"a{}")
    (assets / "a.svg").write_bytes(b"<svg/>")
    return _client(tmp_path)


def _client(root: Path) -> falcon.testing.TestClient:
    app = falcon.App()
    app.add_sink(Page(root), "/")
    return falcon.testing.TestClient(app)


@pytest.mark.parametrize(
    "path", ["/", "/log", "/host", "/whatever", "/metric", "/apis", "/index.html"]
)
def test_addresses_show_the_page(page: Any, path: str) -> None:
    """Also those that are unknown; the page says so."""
    answer = page.simulate_get(path, query_string="app=3")
    assert (answer.status_code, answer.content) == (200, INDEX)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(
    ("path", "up"), [("/log/", "../"), ("/a/b/c", "../../"), ("//", "../"), ("/a//", "../../")]
)
def test_deeper_addresses_find_the_files(page: Any, path: str, up: str) -> None:
    """By relative links, because a proxy may put a path in front."""
    answer = page.simulate_get(path)
    assert answer.status_code == 200
    assert f'href="{up}assets/a.css"' in answer.text
    assert f'src="{up}assets/a.js"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/", "/api/nothing", "/ws", "/ws/nothing", "/assets", "/assets/"),
        *("/assets/b.js", "/assets/a.js.gz", "/assets/../index.html", "/assets/%2e%2e/index.html"),
        *("/assets/a.js/", "/assets/a.js%00"),
    ],
)
def test_what_a_program_asks_for_is_not_found(page: Any, path: str) -> None:
    """It would take the page for an answer."""
    assert page.simulate_get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/assets/a.js", "text/javascript; charset=utf-8"),
        ("/assets/a.css", "text/css; charset=utf-8"),
        ("/assets/a.svg", "image/svg+xml"),
    ],
)
def test_assets_are_kept_for_ever(page: Any, path: str, kind: str) -> None:
    """Their names change with their content."""
    answer = page.simulate_get(path)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("br;q=0, *;q=0.1", "gzip"),
        ("", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("abrgzip", None),
        (";;,,=;q", None),
    ],
)
def test_the_client_says_what_it_can_unpack(page: Any, accepted: str, encoding: str | None) -> None:
    """The smallest that it accepts is sent, each with an entity tag of its own."""
    answer = page.simulate_get("/assets/a.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    expected = {"br": b"brotli", "gzip": gzip.compress(SCRIPT), None: SCRIPT}[encoding]
    assert answer.content[10:] == expected[10:]


def test_a_browser_asks_whether_the_page_is_new(page: Any, tmp_path: Path) -> None:
    """By content: another build of the same size and time is another page."""
    first = page.simulate_get("/")
    tag = first.headers["ETag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = page.simulate_get("/log", headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    (tmp_path / "index.html").write_bytes(INDEX.replace(b"a.js", b"b.js"))
    answer = _client(tmp_path).simulate_get("/", headers={"If-None-Match": tag})
    assert answer.status_code == 200


def test_encodings_have_entity_tags_of_their_own(page: Any) -> None:
    """A cache must not take one for the other (RFC 9110 §8.8.3)."""
    tags = {
        page.simulate_get("/assets/a.js", headers={"Accept-Encoding": each}).headers["ETag"]
        for each in ("br", "gzip", "identity")
    }
    assert len(tags) == 3


def test_head_has_no_body(page: Any) -> None:
    """And the headers of the answer to GET."""
    got, asked = page.simulate_get("/"), page.simulate_head("/")
    assert asked.content == b""
    assert asked.headers["ETag"] == got.headers["ETag"]
    assert asked.headers["Content-Length"] == str(len(INDEX))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/assets/a.js", 405), ("DELETE", "/index.html", 405), ("POST", "/nothing", 404)],
)
def test_the_page_is_only_read(page: Any, method: str, path: str, status: int) -> None:
    """Other methods do nothing."""
    assert page.simulate_request(method, path).status_code == status


def test_a_tree_without_a_page_says_how_to_build_it(tmp_path: Path) -> None:
    """At its root; everything else is not found."""
    client = _client(tmp_path / "none")
    answer = client.simulate_get("/")
    assert answer.status_code == 404
    assert "make page" in answer.text
    assert client.simulate_get("/log").status_code == 404
