"""The record of changes: the middleware that writes it, and ``/api/audit``."""

from __future__ import annotations

from typing import Final

import falcon
import structlog

from api.http.access import require_admin, services
from api.http.envelope import reply
from api.http.ids import limit
from api.http.peer import peer
from mist.errors import StoreError
from mist.ids import parse_id

log = structlog.get_logger(__name__)

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 1_000


class AuditMiddleware:
    """Records every request that has changed something.

    Refused sign-ins are in the service's log and not here, where a stranger could
    displace with them what users have done.
    """

    def process_response(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        _resource: object,
        succeeded: bool,
    ) -> None:
        """Record a successful request of another method than GET."""
        route = req.uri_template
        if req.method in _READING or not succeeded or not route or resp.status_code >= 400:
            return
        by = getattr(req.context, "by", "")
        if not by:  # a sign-out without a session
            return
        with_ = services(req)
        said = getattr(resp.context, "message", "")
        action = f"{req.method} {req.path}"
        try:
            keep = with_.settings.audit.records
            with_.store.audit.add(by, peer(req).address, action, said, keep=keep)
        except StoreError as error:
            # The change itself has been made.
            log.error("change_not_recorded", by=by, action=action, reason=str(error))


class AuditResource:
    """``/api/audit``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the newest changes, newest first: ``?limit=N``, and ``?before=ID`` to go on."""
        require_admin(req)
        text = req.get_param("before")
        before = parse_id(text) if text is not None else None
        if text is not None and before is None:
            raise falcon.HTTPBadRequest(description="before must be the id of a record")
        most = limit(req, _DEFAULT_LIMIT, _MAX_LIMIT)
        reply(resp, services(req).store.audit.newest(most, before))
