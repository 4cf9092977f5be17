"""Tests of the description of the HTTP API."""

from __future__ import annotations

from collections import Counter
from typing import Any

import falcon.inspect

from api.http.openapi.document import document
from api.http.openapi.operations import OPERATIONS
from api.live.routes import Live, add_routes
from tests.support.http_api import Api


def test_every_route_and_method_is_described(api: Api) -> None:
    """The table has every route of the application, and no other."""
    nothing: Any = None
    add_routes(api.app, Live(nothing, nothing, nothing, nothing, nothing))
    routes = {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(api.app)
        for method in route.methods
        if not method.internal and method.method not in {"HEAD", "OPTIONS"}
        if not route.path.startswith("/ws/")
    }
    assert routes == {(each.method, each.path) for each in OPERATIONS}


def test_everybody_may_read_it(api: Api) -> None:
    """It is served as it is made."""
    answer = api.ask("GET", "/api/openapi.json")
    assert answer.json == document()
    assert answer.headers["Content-Type"] == "application/json"


def test_bodies_can_fail() -> None:
    """A body may be invalid, too late or too large, whatever it is for."""
    for path in document()["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                assert {"400", "408", "413"} <= operation["responses"].keys()


def test_operations_have_names_of_their_own() -> None:
    """Generators of clients name functions after them."""
    names = Counter(
        operation["operationId"]
        for path in document()["paths"].values()
        for operation in path.values()
    )
    assert max(names.values()) == 1
