"""The rules for a request's head."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.server.request_head import HeadReader, HeadTooLarge, check_request_line

HOST = b"Host: mist.example.com\r\n"


def read(head: bytes, version: str = "HTTP/1.1", limit: int = 32_768) -> int:
    """Read a whole head as the parser does; return the number of lines."""
    reader, count = HeadReader(io.BytesIO(head + b"\r\n" + b"body"), limit, version), 0
    while reader.readline(65_537) not in (b"\r\n", b"\n"):
        count += 1
    return count


@pytest.mark.parametrize(
    "head",
    [
        HOST,
        b"Host: [::1]:8420\r\n",
        b"Host: 127.0.0.1:80\r\n",
        b"Host:\r\n",  # RFC 9112 §3.2: empty if the target has no authority
        HOST + b"Content-Length: 10\r\n",
        HOST + b"Content-Length:10 \t\r\n",
        HOST + b"Transfer-Encoding: CHUNKED\r\n",
        HOST + b"Cookie: a=\xc3\xa9\r\n",
        HOST + b"X-Empty:\r\n",
        HOST.replace(b"\r", b""),  # RFC 9112 §2.2: a recipient may accept a bare LF
    ],
)
def test_what_the_rfc_allows_is_read(head: bytes) -> None:
    """Every line reaches the parser."""
    assert read(head) == head.count(b"\n")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "exactly one Host"),
        (HOST + HOST, "exactly one Host"),
        (b"Host: a b\r\n", "Host"),
        (b"Host: a/b\r\n", "Host"),
        (b"Host: a, b\r\n", "Host"),
        (b"Host: user@example.com\r\n", "Host"),
        (b"Host: a:123456\r\n", "Host"),
        (b"Host: a:b\r\n", "Host"),
        (HOST + b"Content-Length: +10\r\n", "not a number"),
        (HOST + b"Content-Length: 1_0\r\n", "not a number"),
        (HOST + b"Content-Length: -1\r\n", "not a number"),
        (HOST + b"Content-Length: 0x10\r\n", "not a number"),
        (HOST + b"Content-Length: 10, 10\r\n", "not a number"),
        (HOST + b"Content-Length: \xb2\r\n", "not a number"),
        (HOST + b"Content-Length:\r\n", "not a number"),
        (HOST + b"Content-Length: 9" + b"9" * 18 + b"\r\n", "not a number"),
        (HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n", "more than one"),
        (HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "more than one"),
        (HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "more than one"),
        (HOST + b"Transfer-Encoding: gzip, chunked\r\n", "chunked"),
        (HOST + b"Transfer-Encoding: identity\r\n", "chunked"),
        (HOST + b"Transfer-Encoding: \x0bchunked\r\n", "control character"),
        (HOST + b"Content-Length : 3\r\n", "without a valid name"),
        (HOST + b" Content-Length: 3\r\n", "continued"),
        (HOST + b"\tfolded\r\n", "continued"),
        (HOST + b"no colon\r\n", "without a valid name"),
        (HOST + b": nameless\r\n", "without a valid name"),
        (HOST + b"X\xe9: y\r\n", "without a valid name"),
        (HOST + b"X: a\rTransfer-Encoding: chunked\r\n", "carriage return"),
        (HOST + b"X: a\r\r\n", "carriage return"),
        (HOST + b"X: a\0b\r\n", "control character"),
        (HOST + b"X: \x1b[2J\r\n", "control character"),
    ],
)
def test_what_the_rfc_forbids_is_refused(head: bytes, says: str) -> None:
    """The reason names what is wrong."""
    with pytest.raises(ValueError, match=says):
        read(head)


def test_http_1_0_needs_no_host_and_knows_no_codings() -> None:
    """Both came with HTTP/1.1."""
    assert read(b"", "HTTP/1.0") == 0
    with pytest.raises(ValueError, match="chunked"):
        read(b"Transfer-Encoding: chunked\r\n", "HTTP/1.0")


def test_all_headers_together_have_a_limit() -> None:
    """Neither one long line nor many short ones get through, and the rest is not read."""
    for head in (b"X: " + b"x" * 33_000, b"X: y\r\n" * 6_000):
        rest = io.BytesIO(HOST + head)
        lines = iter(HeadReader(rest, 32_768, "HTTP/1.1").readline, b"")
        with pytest.raises(HeadTooLarge, match="32768 bytes"):
            list(lines)
        assert rest.tell() == 32_769


def test_a_head_that_ends_early_is_refused() -> None:
    """A connection that ends in the middle has sent no request."""
    with pytest.raises(ValueError, match="middle of a line"):
        HeadReader(io.BytesIO(b"Host: a"), 100, "HTTP/1.1").readline()


@given(st.binary(max_size=60))
def test_no_head_has_two_lengths(noise: bytes) -> None:
    """Whatever is accepted has one Host and at most one plain length."""
    head = HOST + b"Content-Length: 3\r\n" + noise + b"\r\n"
    try:
        read(head)
    except ValueError:
        return
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n\r\n")[0].split(b"\n")]
    assert names.count(b"content-length") == 1
    assert b"transfer-encoding" not in names
    assert b"\r" not in noise.replace(b"\r\n", b"").rstrip(b"\r")


@pytest.mark.parametrize(
    "line",
    ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.0\n", "GET http://a/b?c HTTP/1.1\r\n"],
)
def test_a_request_line_is_accepted(line: str) -> None:
    """All forms of a target are."""
    check_request_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "GET /\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /\x00 HTTP/1.1\r\n",
        "GET / HTTP/1.1\rX: y\r\n",
        "G(T / HTTP/1.1\r\n",
        "\x16\x03\x01\r\n",
    ],
)
def test_anything_else_is_not_a_request_line(line: str) -> None:
    """A proxy might read it differently."""
    with pytest.raises(ValueError, match=r"request line|carriage return"):
        check_request_line(line)
