"""Older lines of a log: ``/api/apps/{id}/logs`` and ``/api/containers/{name}/logs``."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import falcon

from api.http.access import (
    Identity,
    authenticate,
    require_admin,
    require_app,
    services,
    still_permitted,
)
from api.http.readers import ReaderAnswer
from mist import validation
from mist.errors import UsageError
from mist.ids import MAX_ID, parse_id
from mist.log_times import moment
from mist.read_request import ReadRequest

_PARAMETERS: Final = frozenset(
    (
        *("since", "until", "tail", "q", "regex", "case", "invert", "stream", "order", "limit"),
        *("format", "timestamps", "status", "seam", "download"),
    )
)
_TYPES: Final = {"ndjson": "application/x-ndjson", "text": "text/plain; charset=utf-8"}


class AppLogResource:
    """``/api/apps/{id}/logs``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, app_id: str) -> None:
        """Stream a range of the log of the application's container."""
        identity = authenticate(req)
        app = require_app(req, identity, parse_id(app_id))
        answer(req, resp, identity, app.name, app_id=app.id)


class ContainerLogResource:
    """``/api/containers/{name}/logs``, only for admins."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Stream a range of the log of any container of the host."""
        identity = require_admin(req)
        validation.container(name)
        answer(req, resp, identity, name, container=name)


def answer(
    req: falcon.Request,
    resp: falcon.Response,
    identity: Identity,
    name: str,
    **target: Any,
) -> None:
    """Stream the answer of a reader; ``name`` is the first part of a download's file name."""
    with_ = services(req)
    wanted, download = _request(req, identity, target), _switch(req, "download")
    reading = ReaderAnswer(with_, wanted)
    reading.require_success()
    resp.content_type = _TYPES[wanted.format]
    resp.set_header("Vary", "Accept-Encoding")
    resp.set_header("X-Accel-Buffering", "no")  # nginx passes lines on as they come
    if wanted.gzip:
        resp.set_header("Content-Encoding", "gzip")
    if download:
        resp.set_header("Content-Disposition", f'attachment; filename="{_file_name(name, wanted)}"')
    resp.stream = reading.body(
        req.env,
        lambda: still_permitted(with_.store, identity, target.get("app_id")),
        with_.settings.auth.check_seconds,
    )


def _request(req: falcon.Request, identity: Identity, target: dict[str, Any]) -> ReadRequest:
    """Return the request of the query string, or raise UsageError with the reason."""
    for name in req.params:
        if name not in _PARAMETERS:
            known = ", ".join(sorted(_PARAMETERS))
            raise UsageError(f"there is no parameter {name[:64]!r}; use {known}")
    now = time.time_ns()
    since, until = _moment(req, "since", now), _moment(req, "until", now)
    # One piece of a log may begin after the time at which it ends, in an older container.
    seam = _switch(req, "seam")
    if since and until and since >= until and not seam:
        raise UsageError(f"since ({since}) must be before until ({until}); exchange them")
    tail, order = _count(req, "tail", 0), _choice(req, "order", ("asc", "desc"), "asc")
    if tail is not None and order == "desc":
        raise UsageError(
            "tail cannot be combined with order=desc; use limit=N with order=desc for the "
            "newest N lines, the newest first"
        )
    form = _choice(req, "format", ("ndjson", "text"), "ndjson")
    return ReadRequest(
        user=identity.email or identity.session,
        **target,
        since=since,
        until=until,
        tail=tail,
        **_search(req),
        stream=_choice(req, "stream", ("stdout", "stderr")),
        order=order,
        limit=_count(req, "limit", 1),
        format=form,
        timestamps=_switch(req, "timestamps"),
        seam=seam,
        status=_status(req, form),
        gzip=_accepts_gzip(req.get_header("Accept-Encoding") or ""),
    )


def _status(req: falcon.Request, form: str) -> bool:
    status = _switch(req, "status")
    if status and form == "text":
        raise UsageError("status=1 cannot be combined with format=text; leave out one of them")
    return status


def _search(req: falcon.Request) -> dict[str, Any]:
    q = _one(req, "q") or ""
    most = services(req).settings.reader.query_bytes
    size = len(q.encode("utf-8", "replace"))
    if size > most:
        raise UsageError(
            f"q has {size} bytes, and at most {most} are allowed (reader.query_bytes); shorten it"
        )
    return {"q": q} | {name: _switch(req, name) for name in ("regex", "case", "invert")}


def _one(req: falcon.Request, name: str) -> str | None:
    value = req.params.get(name)
    if isinstance(value, list):
        raise UsageError(f"{name} is given {len(value)} times; give it once")
    return value


def _moment(req: falcon.Request, name: str, now: int) -> str | None:
    text = _one(req, name)
    # In a query, "+" encodes a space.  An unescaped "+01:00" therefore arrives as " 01:00".
    return None if text is None else moment(name, text.replace(" ", "+"), now)


def _count(req: falcon.Request, name: str, least: int) -> int | None:
    text = _one(req, name)
    return None if text is None else validation.integer(name, text, least, MAX_ID)


def _choice(
    req: falcon.Request, name: str, values: tuple[str, ...], default: str | None = None
) -> Any:
    text = _one(req, name)
    if text is None:
        return default
    if text not in values:
        raise UsageError(f"{name} must be {' or '.join(values)}, not {text[:64]!r}")
    return text


def _switch(req: falcon.Request, name: str) -> bool:
    text = _one(req, name)
    if text not in (None, "0", "1"):
        raise UsageError(f"{name} must be 0 or 1, not {text[:64]!r}")
    return text == "1"


def _accepts_gzip(header: str) -> bool:
    """Return True if the client accepts gzip (RFC 9110 §12.5.3)."""
    qualities = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        qualities[coding.strip()] = float(quality[1]) if quality else 1.0
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _file_name(name: str, wanted: ReadRequest) -> str:
    """Return the name of a download: application and range, in characters of any file system."""
    parts = [name]
    if wanted.since or wanted.until:
        parts += [_compact(wanted.since) or "beginning", "to", _compact(wanted.until) or "now"]
    elif wanted.tail is not None:
        parts += ["last", str(wanted.tail)]
    else:
        parts += ["to", _compact(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()))]
    return "-".join(parts) + (".ndjson" if wanted.format == "ndjson" else ".log")


def _compact(timestamp: str | None) -> str:
    return re.sub(r"[-:]", "", timestamp[:19]) + "Z" if timestamp else ""
