"""Tests of the resources for older lines, with a reader that a test plays."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.http.readers import ReaderAnswer
from mist.read_request import frame, refusal
from mist.settings import AuthSettings
from mist.store import Store, User
from tests.support.http_api import Api
from tests.support.reader_socket import END, HEAD, ReaderSocket, reader_socket

LINES = b'{"type":"log"}\n{"type":"end"}\n'


@pytest.fixture
def readers(api: Api) -> Iterator[ReaderSocket]:
    """The supervisor's socket, whose readers answer with LINES."""
    with reader_socket(api.services.paths.readers) as readers:
        readers.answer = HEAD + frame(LINES[:15]) + frame(LINES[15:]) + END
        yield readers


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """The server's end of a client's connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


@pytest.fixture
def web(store: Store) -> str:
    """The path of an application's older lines."""
    return f"/api/apps/{store.apps.add('web').id}/logs"


def ask(api: Api, path: str, user: User | None, client: socket.socket, **options: Any) -> Any:
    """Return the answer to a request as the server passes it to the application."""
    extras = {"mist.client": client, "mist.send_head": lambda: None}
    return api.ask("GET", path, user, extras=extras, **options)


def test_frames_become_the_body(
    api: Api, ada: User, web: str, readers: ReaderSocket, client: socket.socket
) -> None:
    """The frames of the reader are the body, which proxies must not collect."""
    answer = ask(api, web, ada, client)
    assert (answer.status_code, answer.content) == (200, LINES)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Disposition" not in answer.headers
    assert readers.request.user == "ada@example.com"
    assert readers.request.app_id == int(web.split("/")[3])


def test_parameters_reach_the_reader(
    api: Api, ada: User, web: str, readers: ReaderSocket, client: socket.socket
) -> None:
    """Each parameter is a field of the request."""
    query = (
        "since=2025-01-15T10:30:00Z&until=2025-01-15T12:00:00+01:00&q=a%20b&regex=1&case=1"
        "&invert=0&stream=stderr&order=desc&limit=7&format=text&timestamps=1"
    )
    assert ask(api, web, ada, client, query_string=query.replace("12:00", "12:30")).text
    request = readers.request
    assert request.since == "2025-01-15T10:30:00.000000000Z"
    assert request.until == "2025-01-15T11:30:00.000000000Z"
    assert (request.q, request.regex, request.case, request.invert) == ("a b", True, True, False)
    assert (request.stream, request.order, request.limit) == ("stderr", "desc", 7)
    assert (request.format, request.timestamps, request.tail) == ("text", True, None)


def test_a_piece_of_the_log_may_end_before_the_time_at_which_it_begins(
    api: Api, ada: User, web: str, readers: ReaderSocket, client: socket.socket
) -> None:
    """The newer of two containers may have written its line first."""
    assert ask(api, web, ada, client, query_string="since=1h&until=2h&seam=1").text
    request = readers.request
    assert request.seam
    assert (request.since or "") > (request.until or "~")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("colour=red", "there is no parameter 'colour'; use case, download"),
        ("since=yesterday", "since must be an RFC 3339 time"),
        ("since=1h&until=2h", "must be before until"),
        ("tail=3&order=desc", "use limit=N with order=desc"),
        ("tail=-1", "tail must be an integer of 0 or more, not '-1'"),
        ("limit=0", "limit must be from 1 to"),
        ("limit=1&limit=2", "limit is given 2 times"),
        ("order=random", "order must be asc or desc, not 'random'"),
        ("stream=stdin", "stream must be stdout or stderr, not 'stdin'"),
        ("format=xml", "format must be ndjson or text, not 'xml'"),
        ("since=1h&until=2h&seam=0", "must be before until"),
        ("seam=yes", "seam must be 0 or 1, not 'yes'"),
        ("regex=yes", "regex must be 0 or 1, not 'yes'"),
        ("q=" + "x" * 4_097, "q has 4097 bytes, and at most 4096"),
    ],
)
def test_a_wrong_parameter_is_named(
    api: Api, ada: User, web: str, readers: ReaderSocket, query: str, words: str
) -> None:
    """A wrong parameter is answered with 400 and a reason, and starts no reader."""
    answer = api.ask("GET", web, ada, query_string=query)
    assert (answer.status_code, answer.json["success"]) == (400, False)
    assert words in answer.json["message"]
    assert not readers.requests


def test_a_wrong_download_is_named(api: Api, ada: User, web: str, readers: ReaderSocket) -> None:
    """``download`` has the same values as the other switches."""
    answer = api.ask("GET", web, ada, query_string="download=yes")
    assert answer.status_code == 400
    assert answer.json["message"] == "download must be 0 or 1, not 'yes'"
    assert not readers.requests
    assert "Content-Encoding" not in answer.headers


def test_only_users_of_an_application_may_read(
    api: Api, bob: User, web: str, store: Store, readers: ReaderSocket, client: socket.socket
) -> None:
    """A user needs a grant, and a session."""
    assert api.ask("GET", web).status_code == 401
    assert api.ask("GET", web, bob).status_code == 403
    assert not readers.requests
    store.apps.grant(int(web.split("/")[3]), bob.id)
    assert ask(api, web, bob, client).content == LINES


def test_only_an_admin_may_read_any_container(
    api: Api, ada: User, bob: User, readers: ReaderSocket, client: socket.socket
) -> None:
    """A container is read by its name, and only by admins."""
    path = "/api/containers/box/logs"
    assert api.ask("GET", path, bob).status_code == 403
    assert api.ask("GET", "/api/containers/-f/logs", ada).status_code == 400
    assert not readers.requests
    assert ask(api, path, ada, client).content == LINES
    assert (readers.request.container, readers.request.app_id) == ("box", None)


def test_a_refusal_keeps_its_status_and_time(
    api: Api, ada: User, web: str, readers: ReaderSocket
) -> None:
    """A client that has too many readers is told when to try again."""
    readers.answer = refusal(429, "You have 4 readers", 2)
    answer = api.ask("GET", web, ada)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert answer.json["message"] == "You have 4 readers"


def test_a_refusal_without_a_time_has_no_header(
    api: Api, ada: User, web: str, readers: ReaderSocket
) -> None:
    """A container that does not exist will not exist in two seconds."""
    readers.answer = refusal(404, "There is no container")
    answer = api.ask("GET", web, ada)
    assert (answer.status_code, answer.json["message"]) == (404, "There is no container")
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("tail=5", r"web-last-5\.ndjson"),
        ("tail=5&format=text", r"web-last-5\.log"),
        ("since=2025-01-15T10:30:00Z", r"web-20250115T103000Z-to-now\.ndjson"),
        ("until=2025-01-15T10:30:00Z", r"web-beginning-to-20250115T103000Z\.ndjson"),
        ("", r"web-to-\d{8}T\d{6}Z\.ndjson"),
    ],
)
def test_a_download_is_named_after_its_range(
    api: Api,
    ada: User,
    web: str,
    readers: ReaderSocket,
    client: socket.socket,
    query: str,
    name: str,
) -> None:
    """The file's name has the application and the range, without colons."""
    answer = ask(api, web, ada, client, query_string=f"download=1&{query}")
    header = answer.headers["Content-Disposition"]
    assert re.fullmatch(f'attachment; filename="{name}"', header), header


def test_text_is_plain_text(
    api: Api, ada: User, web: str, readers: ReaderSocket, client: socket.socket
) -> None:
    """Lines as text have a type that browsers show."""
    answer = ask(api, web, ada, client, query_string="format=text")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("accepts", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip_if_the_client_accepts_it(
    api: Api,
    ada: User,
    web: str,
    readers: ReaderSocket,
    client: socket.socket,
    accepts: str,
    compressed: bool,
) -> None:
    """The reader compresses the body only for a client that accepts gzip."""
    readers.answer = HEAD + frame(gzip.compress(LINES)) + END
    answer = ask(api, web, ada, client, headers={"Accept-Encoding": accepts})
    assert readers.request.gzip is compressed
    assert answer.headers.get("Content-Encoding") == ("gzip" if compressed else None)
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\0\0\0\x05abc"])
def test_an_answer_without_its_end_is_broken_off(
    api: Api, ada: User, web: str, readers: ReaderSocket, client: socket.socket, rest: bytes
) -> None:
    """A reader that dies does not look like the end of the log."""
    readers.answer = HEAD + frame(LINES) + rest
    with pytest.raises(BrokenPipeError, match="broken off"):
        ask(api, web, ada, client)


@pytest.mark.parametrize("answer", [b"", b"\0\0", END])
def test_a_reader_that_says_nothing_is_503(
    api: Api, ada: User, web: str, readers: ReaderSocket, answer: bytes
) -> None:
    """Without a head there is no answer."""
    readers.answer = answer
    got = api.ask("GET", web, ada)
    assert got.status_code == 503
    assert got.json["message"] == "No reader answers; run `mist status` to see why"


def test_without_a_supervisor_there_is_no_reader(api: Api, ada: User, web: str) -> None:
    """A missing socket is a problem of the service."""
    answer = api.ask("GET", web, ada)
    assert answer.status_code == 503
    assert "the supervisor does not take requests" in answer.json["message"]


def test_a_user_who_loses_the_right_gets_no_more(
    api: Api,
    bob: User,
    web: str,
    store: Store,
    readers: ReaderSocket,
    client: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The right is looked up in the store while lines are sent, and so is the session."""
    checks: list[Callable[[], bool]] = []

    def body(_answer: ReaderAnswer, _environ: Any, allowed: Any, seconds: float) -> list[bytes]:
        assert seconds == AuthSettings().check_seconds
        checks.append(allowed)
        return []

    monkeypatch.setattr(ReaderAnswer, "body", body)
    app_id = int(web.split("/")[3])
    store.apps.grant(app_id, bob.id)
    ask(api, web, bob, client)
    (allowed,) = checks
    assert allowed()
    store.apps.revoke(app_id, bob.id)
    assert not allowed()
