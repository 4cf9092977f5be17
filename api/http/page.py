"""Serve the page: the files that Vite built into ``api/page/``.

The files are small and kept in memory, both plain and compressed, so that a worker that
carries streams never reads a disk for them.  No library fits: those for WSGI validate by
time and size, which two builds can share, and ignore the weights in Accept-Encoding.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Final, NamedTuple

import falcon
import structlog

log = structlog.get_logger(__name__)

ROOT: Final = Path(__file__).parents[1] / "page"

_INDEX: Final = "/index.html"
_ASSETS: Final = "/assets/"
# Below these an unknown path is a program's mistake, and gets 404 instead of the page.
_NOT_PAGES: Final = ("/api/", "/ws/", "/healthz/", "/readyz/", "/metrics/", _ASSETS)

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    # For browsers without support for frame-ancestors.
    "X-Frame-Options": "DENY",
}
# The name of an asset contains a hash of its content, so it never changes.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
# Browsers keep a copy but ask each time whether it is still current.
_REVALIDATE: Final = "no-cache"

# File suffixes of the compressed variants, in the order of preference.
_SUFFIXES: Final = {"br": ".br", "gzip": ".gz"}
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

# A coding in an Accept-Encoding header with its weight (RFC 9110 §12.4.2 and §12.5.3).
_CODING: Final = re.compile(
    r"\s*([^\s;=]+)\s*(?:;\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?", re.IGNORECASE
)
# Below every weight that a client can state: the plain file is always acceptable.
_LAST_RESORT: Final = 0.0001

_NOT_BUILT: Final = (
    "The page has not been built. Run `make page` to build it; `make up` does so by itself. "
    "The API, the WebSockets and the `mist` command work without it."
)
_NOT_BUILT_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Mist</title>'
    "<p>" + re.sub("`(.+?)`", r"<code>\1</code>", _NOT_BUILT) + "</p></html>\n"
)


class Body(NamedTuple):
    """The content of a file in one encoding; ``""`` means uncompressed."""

    encoding: str
    data: bytes
    etag: falcon.ETag


class File(NamedTuple):
    """A file of the page; its best encoding comes first, the plain one last."""

    content_type: str
    bodies: list[Body]


class Page:
    """The sink of the application, which answers requests that no route matches.

    ``GET`` of an unknown path returns the page, which shows its own routes and reports
    paths that do not exist.  Unknown paths below ``/api``, ``/ws`` and ``/assets`` are 404.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._files = _read(root)

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: object) -> None:
        """Respond with a file, with the page, or with 404."""
        file = self._files.get(req.path)
        # The slash makes "/api" match as well as "/api/".
        if file is None and f"{req.path}/".startswith(_NOT_PAGES):
            raise falcon.HTTPRouteNotFound
        if req.method not in {"GET", "HEAD"}:
            raise falcon.HTTPMethodNotAllowed(["GET", "HEAD"])
        index = self._files.get(_INDEX)
        if index is None:
            _say_how_to_build(req, resp)
        elif file is None:
            _send(req, resp, _at_depth(index, _depth(req)), _REVALIDATE)
        else:
            _send(req, resp, file, _FOR_EVER if req.path.startswith(_ASSETS) else _REVALIDATE)


def _read(root: Path) -> dict[str, File]:
    """Return the files below ``root`` by URL path; empty if the page has not been built."""
    try:
        return {
            f"/{path.relative_to(root)}": _file(path)
            for path in root.rglob("*")
            # Compressed variants belong to the plain file's entry.
            if path.suffix not in _SUFFIXES.values() and path.is_file()
        }
    except OSError as error:
        # Streams work without the page, and a build may be replacing the files right now.
        log.error("page_not_read", path=error.filename or str(root), reason=error.strerror)
        return {}


def _file(path: Path) -> File:
    bodies = [
        _body(packed.read_bytes(), encoding)
        for encoding, suffix in _SUFFIXES.items()
        if (packed := path.with_name(path.name + suffix)).is_file()
    ]
    # mimetypes depends on the system's files, so the important types are ours.
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return File(content_type or "application/octet-stream", [*bodies, _body(path.read_bytes(), "")])


def _body(data: bytes, encoding: str) -> Body:
    # A hash of the content: workers and builds agree on it.
    return Body(encoding, data, falcon.ETag(hashlib.sha256(data).hexdigest()[:32]))


def _depth(req: falcon.Request) -> int:
    """Return the depth of the path as a browser sees it, where ``%2F`` is not a slash."""
    # The decoded path would turn %2F into a slash.
    path, _, _ = str(req.env.get("RAW_URI", req.path)).partition("?")
    return path.count("/") - 1


def _at_depth(index: File, depth: int) -> File:
    """Return the page for a path that lies ``depth`` directories below its files.

    The links are relative, because only the proxy knows the prefix in front of them, and
    the policy forbids a ``<base>`` element.
    """
    if depth == 0:
        return index
    plain = index.bodies[-1].data  # compressed variants cannot be edited
    return File(index.content_type, [_body(plain.replace(b'"./', b'"' + b"../" * depth), "")])


def _send(req: falcon.Request, resp: falcon.Response, file: File, caching: str) -> None:
    body = _preferred(file.bodies, req.get_header("Accept-Encoding") or "")
    # Sent with a 304, too (RFC 9110 §15.4.5).
    resp.set_headers({**_HEADERS, "Cache-Control": caching, "Vary": "Accept-Encoding"})
    resp.etag = body.etag
    if _has_already(req, body.etag):
        resp.status = falcon.HTTP_304
        return
    resp.content_type = file.content_type
    if body.encoding:
        resp.set_header("Content-Encoding", body.encoding)
    resp.data = body.data


def _has_already(req: falcon.Request, etag: falcon.ETag) -> bool:
    """Compare weakly (RFC 9110 §13.1.2), because a compressing proxy weakens the tag."""
    return any(each == "*" or str(each) == str(etag) for each in req.if_none_match or ())


def _preferred(bodies: list[Body], accepted: str) -> Body:
    """Return the body with the highest weight, the first of equals."""
    codings = (_CODING.fullmatch(part) for part in accepted.split(","))
    weights = {each[1].lower(): float(each[2] or 1) for each in codings if each}

    def weight(body: Body) -> float:
        if not body.encoding:
            return max(weights.get("identity", 0.0), _LAST_RESORT)
        return weights.get(body.encoding, weights.get("*", 0.0))

    return max(bodies, key=weight)


def _say_how_to_build(req: falcon.Request, resp: falcon.Response) -> None:
    if req.client_prefers([falcon.MEDIA_JSON, "text/html"]) != "text/html":
        raise falcon.HTTPNotFound(description=_NOT_BUILT)
    resp.status = falcon.HTTP_404
    resp.set_headers(_HEADERS)
    resp.content_type = falcon.MEDIA_HTML
    resp.text = _NOT_BUILT_PAGE
