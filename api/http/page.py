"""The page: the files that Vite built into ``api/page/``, and the addresses that show them.

The files are small and held in memory, each as it is and compressed, so that no request
reads a disk in a worker that carries streams. No library fits: those for WSGI validate
by time and size, which two builds can share, and do not weigh what a client accepts.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Final, NamedTuple

import falcon

ROOT: Final = Path(__file__).parents[1] / "page"

_INDEX: Final = "/index.html"
_ASSETS: Final = "/assets/"
#: Where an unknown address is an error of a program and not of a person.
_NOT_PAGES: Final = ("/api/", "/ws/", _ASSETS)

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
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
}
#: The name of an asset is the hash of its content, so a browser never has to ask again.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
#: A browser asks each time whether what it has is still the newest.
_REVALIDATE: Final = "no-cache"

#: File names of what the build compressed, in the order of preference.
_SUFFIXES: Final = {"br": ".br", "gzip": ".gz"}
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

_NOT_BUILT: Final = (
    "The page is not built. `make page` builds it, and `make up` does so by itself.\n"
    "The API, the WebSockets and the `mist` command work without it.\n"
)


class Body(NamedTuple):
    """The bytes of a file in one encoding; "" is the file as it is."""

    encoding: str
    data: bytes
    etag: falcon.ETag


class File(NamedTuple):
    """A file of the page, its best encoding first and the plain one last."""

    content_type: str
    bodies: list[Body]


class Page:
    """The sink of the application: it answers what no route does.

    ``GET`` of an unknown address shows the page, which says that there is nothing, as it
    shows its own addresses. What lies below ``/api``, ``/ws`` and ``/assets`` is 404.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._files = _read(root)

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: object) -> None:
        """Answer with a file, with the page, or with 404."""
        file = self._files.get(req.path)
        if file is None and (req.method not in {"GET", "HEAD"} or _is_not_a_page(req.path)):
            raise falcon.HTTPRouteNotFound
        if req.method not in {"GET", "HEAD"}:
            raise falcon.HTTPMethodNotAllowed(["GET", "HEAD"])
        index = self._files.get(_INDEX)
        if index is None:
            _say_how_to_build(req, resp)
        elif file is None:
            _send(req, resp, _at_depth(index, req.path.count("/") - 1), _REVALIDATE)
        else:
            _send(req, resp, file, _FOR_EVER if req.path.startswith(_ASSETS) else _REVALIDATE)


def _read(root: Path) -> dict[str, File]:
    """Return the files below ``root`` by their paths; none before the page was built."""
    names = [path for path in root.rglob("*") if path.is_file()]
    return {
        f"/{path.relative_to(root)}": _file(path)
        for path in names
        if path.suffix not in _SUFFIXES.values()
    }


def _file(path: Path) -> File:
    bodies = [
        _body(packed.read_bytes(), encoding)
        for encoding, suffix in _SUFFIXES.items()
        if (packed := path.with_name(path.name + suffix)).is_file()
    ]
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return File(content_type or "application/octet-stream", [*bodies, _body(path.read_bytes(), "")])


def _body(data: bytes, encoding: str) -> Body:
    return Body(encoding, data, falcon.ETag(hashlib.sha256(data).hexdigest()[:32]))


def _is_not_a_page(path: str) -> bool:
    return f"{path}/".startswith(_NOT_PAGES)


def _at_depth(index: File, depth: int) -> File:
    """Return the page for an address that lies ``depth`` folders below its files.

    Its links to them are relative, because only the proxy knows the path in front of
    them, and its policy forbids a ``<base>``.
    """
    if depth == 0:
        return index
    plain = index.bodies[-1].data
    return File(index.content_type, [_body(plain.replace(b'"./', b'"' + b"../" * depth), "")])


def _send(req: falcon.Request, resp: falcon.Response, file: File, caching: str) -> None:
    body = _preferred(file.bodies, req.get_header("Accept-Encoding") or "")
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
    """Compare weakly, as RFC 9110 §13.1.2 says: a proxy that compresses weakens the tag."""
    return any(each == "*" or str(each) == str(etag) for each in req.if_none_match or ())


def _preferred(bodies: list[Body], accepted: str) -> Body:
    """Return the first body whose encoding the client accepts (RFC 9110 §12.5.3)."""
    weights = dict(_weight(part) for part in accepted.split(","))
    for body in bodies[:-1]:
        if weights.get(body.encoding, weights.get("*", 0.0)) > 0:
            return body
    return bodies[-1]


def _weight(part: str) -> tuple[str, float]:
    name, _, parameter = part.partition(";")
    key, _, value = parameter.partition("=")
    try:
        weight = float(value) if key.strip().lower() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return name.strip().lower(), weight


def _say_how_to_build(req: falcon.Request, resp: falcon.Response) -> None:
    if req.path != "/":
        raise falcon.HTTPRouteNotFound
    resp.status = falcon.HTTP_404
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = _NOT_BUILT
