"""Requests that schemathesis makes from the API's own description, to a running service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.http.openapi.document import document
from tests.support.service.service import Service

#: Each of them says something about the answer; what a request must not be is the service's
#: own rule, and tested elsewhere.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Signing out would end the session of the other requests. Without an engine logs and containers
#: cannot be read, which is a server error by its nature; and /readyz says so.
API: Any = schemathesis.openapi.from_dict(document()).exclude(
    path_regex=r"/(logs|adoption)$|^/api/containers$|^/readyz$|^/api/auth/logout$"
)

NO_ENGINE = "unix:///nonexistent/docker.sock"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service without an engine, with something of each kind."""
    made = Service(NO_ENGINE, {"supervisor.poll_seconds": 3_600})
    try:
        made.start()
        made.add_app("web", "web")
        made.add_user("ada@example.com", "correct horse battery staple")
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def admin(service: Service) -> str:
    """The administrator's cookie."""
    return service.login()


@pytest.mark.timeout(300)
@API.parametrize()  # type: ignore[untyped-decorator]
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(service: Service, admin: str, case: Any) -> None:
    """No request makes the service fail, and every answer has a described status and shape."""
    # Now and then something that exists: ids are counted from 1.
    for name, value in case.path_parameters.items():
        if isinstance(value, int):
            case.path_parameters[name] = 1 + value % 3
    answer = case.call(base_url=service.url, headers={"Cookie": admin})
    case.validate_response(answer, checks=CHECKS)
    if answer.headers["content-type"] == "application/json":
        _only_what_is_described(case, answer)


def _only_what_is_described(case: Any, answer: Any) -> None:
    """Check that the data of an answer has no field that the description lacks."""
    found = answer.json()
    data = found.get("data") if found.get("success") else None
    rows = data if isinstance(data, list) else [data] if isinstance(data, dict) else []
    responses = document()["paths"][case.path][case.method.lower()]["responses"]
    schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    for row in rows:
        assert row.keys() <= _fields(schema["properties"]["data"])


def _fields(schema: dict[str, Any]) -> set[str]:
    """Return the names of an object's properties, or of those of its items."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _fields(document()["components"]["schemas"][name])
    inner = [schema.get("items", {}), *schema.get("anyOf", ())]
    return set(schema.get("properties", ())).union(*map(_fields, filter(None, inner)))
