"""The document at ``/api/openapi.json``, made from the table of operations."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import falcon
import msgspec

import mist
from api.http.access import COOKIE
from api.http.openapi.operations import OPERATIONS, Operation
from mist.ids import MAX_ID

_ENVELOPE: Final = "#/components/schemas/Problem"
_DESCRIPTION: Final = """Live logs, deployments and metrics of a Docker host.

The WebSocket routes are `/ws/container/logs`, `/ws/deployment/logs`, `/ws/metrics`,
`/ws/containers` and `/ws/container/stats`."""

_PHRASES: Final = {
    200: "Done",
    201: "Made",
    202: "Accepted",
    400: "The request is not valid",
    401: "Not signed in",
    403: "Not permitted, or sent by a page of another origin",
    404: "Not found",
    408: "The body did not arrive in time",
    409: "Not possible in the present state",
    413: "The body is too large",
    429: "Too many; `Retry-After` has the seconds",
    503: "The store, the bus or the engine is not available",
    507: "The disk of the store is full",
}


class OpenApiResource:
    """``/api/openapi.json``."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the document."""
        resp.data = _encoded()
        resp.content_type = falcon.MEDIA_JSON


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the description of the API (OpenAPI 3.1.0)."""
    kinds = [kind for each in OPERATIONS for kind in _kinds(each)]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mist", "version": mist.__version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _envelope({"type": "null"}, success=False)},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _kinds(operation: Operation) -> list[Any]:
    """Return the types that the operation needs schemas of."""
    kinds = [operation.data, operation.body, *(each.type for each in operation.query)]
    return [kind for kind in kinds if kind is not None]


def _operation(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(operation),
        "summary": operation.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
            for name in re.findall(r"\{(\w+)\}", operation.path)
        ]
        + [
            {
                "name": each.name,
                "in": "query",
                "description": each.meaning,
                "schema": schema_of[repr(each.type)],
            }
            for each in operation.query
        ],
        "responses": _responses(operation, schema_of),
    }
    if operation.body is not None:
        schema = schema_of[repr(operation.body)]
        found["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    if operation.who not in {"anybody", "sender"}:
        found["security"] = [{"session": []}, {"token": []}]
        found["description"] = f"For {operation.who}s."
    return found


def _path_schema(name: str) -> dict[str, Any]:
    """Return the schema of a path's parameter; users may be named by id or email address."""
    if name.endswith("_id"):
        return {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    return {"type": "string", "minLength": 1}


def _responses(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    data = {"type": "null"} if operation.data is None else schema_of[repr(operation.data)]
    content: dict[str, Any] = {media: {} for media in operation.media}
    content = content or _json(_envelope(data, success=True))
    statuses: dict[int, dict[str, Any]] = {}
    for status in (operation.status, *operation.also):
        statuses[status] = content
    errors = {503, 507, *operation.errors}
    if operation.who not in {"anybody", "sender"}:
        errors |= {401, 403}
    if operation.who == "sender":
        errors.add(403)
    if operation.body is not None:
        errors |= {400, 408, 413}
    problem = _json({"$ref": _ENVELOPE})
    for status in sorted(errors):
        # What is not ready says which parts are not.
        ready = operation.path == "/readyz" and status == falcon.http_status_to_code(503)
        statuses[status] = _json(_envelope(data, success=False)) if ready else problem
    return {
        str(status): {"description": _PHRASES[status], "content": content}
        for status, content in statuses.items()
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _envelope(data: dict[str, Any], *, success: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "success": {"const": success},
            "message": {"type": "string", "description": "For people."},
            "data": data,
        },
        "required": ["success", "message", "data"],
    }


def _name(operation: Operation) -> str:
    """Return a name such as ``patch_apps_app_id``."""
    path = operation.path.removeprefix("/api/").strip("/")
    return f"{operation.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', path).strip('_')}"
