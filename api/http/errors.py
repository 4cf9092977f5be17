"""Turn every error into the API's JSON, with a status that tells whose fault it is."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import falcon
import structlog

from api.http.envelope import Envelope, write
from mist import errors
from mist.paths import PathHider

log = structlog.get_logger(__name__)

App: TypeAlias = "falcon.App[falcon.Request, falcon.Response]"

# The status for each class of error; the most derived class counts.
STATUS: Final[dict[type[errors.MistError], str]] = {
    errors.UsageError: falcon.HTTP_400,
    errors.LoginRefused: falcon.HTTP_401,
    errors.NotLoggedIn: falcon.HTTP_401,
    errors.NotFound: falcon.HTTP_404,
    errors.Conflict: falcon.HTTP_409,
    errors.TooManyAttempts: falcon.HTTP_429,
    errors.BusError: falcon.HTTP_503,
    errors.StoreError: falcon.HTTP_503,
    errors.StoreFull: falcon.HTTP_507,
}


def add_error_handlers(app: App) -> None:
    """Make the application answer errors with the envelope, whatever the client accepts."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(errors.MistError, _named)
    # Falcon looks handlers up along the MRO, so this one wins over the one for Exception.
    app.add_error_handler(falcon.HTTPError, _http)


def _serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    # Falcon's titles begin with the status code.
    message = error.description or error.title.partition(" ")[2] or error.title
    if isinstance(error, falcon.HTTPRouteNotFound):
        message = f"There is nothing at {req.path[:200]}"
    elif isinstance(error, falcon.HTTPMethodNotAllowed):
        message = f"{req.method} is not supported at {req.path[:200]}"
    write(resp, Envelope(False, message))


def _http(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    resp.status = error.status
    if error.headers is not None:
        resp.set_headers(error.headers)
    _serialize(req, resp, error)


def _named(
    req: falcon.Request, resp: falcon.Response, error: errors.MistError, _params: dict[str, Any]
) -> None:
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), falcon.HTTP_500)
    if status >= falcon.HTTP_500:  # ours to fix; the others are the client's mistakes
        log.error("request_failed", reason=str(error))
    if isinstance(error, errors.TooManyAttempts):  # RFC 6585 §4
        resp.set_header("Retry-After", str(error.retry_after))
    resp.status = status
    paths = req.context.services.paths
    # Where the service keeps its files is in the log, and for nobody else to know.
    hide = PathHider({paths.home: "MIST_HOME", paths.runtime: "MIST_RUNTIME"})
    write(resp, Envelope(False, hide(str(error))))


def _unexpected(
    req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]
) -> None:
    # The client gets no details, which may be confidential.
    log.error("request_crashed", method=req.method, path=req.path, exc_info=error)
    resp.status = falcon.HTTP_500
    write(resp, Envelope(False, "Internal error; see the service's log for details"))
