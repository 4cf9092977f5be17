"""Tests of the page's files and addresses, without a browser."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from api.http.errors import add_error_handlers
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
    """A page as the build leaves it."""
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
    add_error_handlers(app)
    app.add_sink(Page(root), "/")
    return falcon.testing.TestClient(app)


@pytest.mark.parametrize(
    "path", ["/", "/log", "/host", "/whatever", "/metric", "/apis", "/index.html"]
)
def test_addresses_show_the_page(page: Any, path: str) -> None:
    """Unknown addresses show the page as well, which says that they are unknown."""
    answer = page.simulate_get(path, query_string="app=3")
    assert (answer.status_code, answer.content) == (200, INDEX)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(
    ("path", "up"),
    [
        *(("/log/", "../"), ("/a/b/c", "../../"), ("//", "../"), ("/a//", "../../")),
        *(("/a%2Fb/", "../"), ("/a/b%2fc?d=/e/", "../")),
    ],
)
def test_deeper_addresses_find_the_files(page: Any, path: str, up: str) -> None:
    """Deeper addresses use relative links, because a proxy may add a path prefix.

    A browser does not count an encoded slash.
    """
    answer = page.simulate_get(path)
    assert answer.status_code == 200
    assert f'href="{up}assets/a.css"' in answer.text
    assert f'src="{up}assets/a.js"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/", "/api/nothing", "/ws", "/ws/nothing", "/assets", "/assets/"),
        *("/assets/b.js", "/assets/a.js.gz", "/assets/../index.html", "/assets/%2e%2e/index.html"),
        *("/assets/a.js/", "/assets/a.js%00", "/assets%2Fb.js", "/api%2Fapps", "/%61pi/apps"),
        *("/healthz/", "/readyz/", "/metrics/", "/metrics/node"),
    ],
)
def test_what_a_program_asks_for_is_not_found(page: Any, path: str) -> None:
    """Requests of programs get a 404, because a program would mistake the page for an answer."""
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
    """Assets are cached for ever, because their names change with their content."""
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
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0.5, br;q=0.500", "br"),
        ("br;q=0.1, identity", None),
        ("identity;q=0.2, gzip;q=0.1", None),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("*;q=0.5, gzip", "gzip"),
        ("gzip ; Q=0.3 , br; q=0.2", "gzip"),
        ("gzip, *;q=0", "gzip"),
        ("gzip;level=9;q=0", None),
        ("gzip;q=nan, br;q=inf", None),
        ("gzip;q=-1, br;q=1_0", None),
        ("", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("abrgzip", None),
        (";;,,=;q", None),
    ],
)
def test_the_client_says_what_it_can_unpack(page: Any, accepted: str, encoding: str | None) -> None:
    """The smallest encoding that the client accepts is sent, with its own entity tag."""
    answer = page.simulate_get("/assets/a.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    expected = {"br": b"brotli", "gzip": gzip.compress(SCRIPT), None: SCRIPT}[encoding]
    assert answer.content[10:] == expected[10:]


def test_a_browser_asks_whether_the_page_is_new(page: Any, tmp_path: Path) -> None:
    """The entity tag depends on the content: a build of the same size and time has another one."""
    first = page.simulate_get("/")
    tag = first.headers["ETag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = page.simulate_get("/log", headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    for header in ("garbage", '"x', "", ",", '"', "W/"):
        assert page.simulate_get("/", headers={"If-None-Match": header}).status_code == 200
    (tmp_path / "index.html").write_bytes(INDEX.replace(b"a.js", b"b.js"))
    answer = _client(tmp_path).simulate_get("/", headers={"If-None-Match": tag})
    assert answer.status_code == 200


def test_encodings_have_entity_tags_of_their_own(page: Any) -> None:
    """Encodings have different entity tags, so that caches keep them apart (RFC 9110 §8.8.3)."""
    tags = {
        page.simulate_get("/assets/a.js", headers={"Accept-Encoding": each}).headers["ETag"]
        for each in ("br", "gzip", "identity")
    }
    assert len(tags) == 3


def test_head_has_no_body(page: Any) -> None:
    """HEAD has the headers of GET and no body."""
    got, asked = page.simulate_get("/"), page.simulate_head("/")
    assert asked.content == b""
    assert asked.headers["ETag"] == got.headers["ETag"]
    assert asked.headers["Content-Length"] == str(len(INDEX))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/log", "/nothing", "/index.html", "/assets/a.js"])
def test_the_page_is_only_read(page: Any, method: str, path: str) -> None:
    """Other methods get 405 with the allowed methods wherever GET has an answer."""
    answer = page.simulate_request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/api/nothing", "/ws/nothing", "/assets/b.js", "/healthz/"])
def test_what_is_not_there_has_no_methods(page: Any, path: str) -> None:
    """A missing address is a 404 for every method."""
    assert page.simulate_request("POST", path).status_code == 404


def test_a_part_is_not_served(page: Any) -> None:
    """A range request gets the whole file, because the files are small (RFC 9110 §14.2)."""
    answer = page.simulate_get("/assets/a.js", headers={"Range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (200, SCRIPT)


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "text/html"])
def test_a_tree_without_a_page_tells_a_person_how_to_build_it(tmp_path: Path, accept: str) -> None:
    """Every address of an unbuilt page explains how to build it, under the same policy."""
    for path in ("/", "/log"):
        answer = _client(tmp_path / "none").simulate_get(path, headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert "<code>make page</code>" in answer.text


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "nonsense", "text/html;q=0"])
def test_a_tree_without_a_page_tells_a_program_how_to_build_it(
    tmp_path: Path, accept: str | None
) -> None:
    """An unbuilt page answers programs in the API's JSON."""
    headers = {} if accept is None else {"Accept": accept}
    answer = _client(tmp_path / "none").simulate_get("/", headers=headers)
    assert (answer.status_code, answer.json["success"]) == (404, False)
    assert "make page" in answer.json["message"]


def test_files_that_cannot_be_read_leave_the_rest_working(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unreadable files are logged and reported as missing; everything else keeps working."""
    (tmp_path / "index.html").write_bytes(INDEX)
    (tmp_path / "broken.js").symlink_to("/proc/self/mem")
    assert _client(tmp_path).simulate_get("/").status_code == 404
    assert "page_not_read" in capsys.readouterr().out
