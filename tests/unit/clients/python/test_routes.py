"""The client's routes and types are those of the service's own description."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Final, get_type_hints

import msgspec
import pytest
from mist_client import AsyncClient, Client, MistError, OlderRange, records, routes
from mist_client.routes import Route

from api.http.openapi.document import document

DOCUMENT: Final[dict[str, Any]] = document()
ROUTES: Final = {
    (route.method, route.path): route for route in vars(routes).values() if isinstance(route, Route)
}
#: Only the Git server knows the secret with which a delivery is signed.
NOT_FOR_CLIENTS: Final = {("POST", "/api/hooks/{app_id}")}
#: Plain text, a file, or marks between the lines.
NOT_LINES: Final = {"format", "timestamps", "download", "status", "seam"}
OPERATIONS: Final = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
METHODS: Final = [name for name in vars(Client) if not name.startswith("_")]


def plain(schema: Any, components: dict[str, Any]) -> Any:
    """Return a schema with its references resolved and without its texts and defaults."""
    if isinstance(schema, list):
        return [plain(each, components) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return plain(components[schema["$ref"].rpartition("/")[2]], components)
    kept = {
        key: plain(value, components)
        for key, value in schema.items()
        if key not in {"title", "description", "default", "minimum", "maximum"}
        # The service refuses unknown fields; for a client, it does not matter.
        and (key, value) != ("additionalProperties", False)
    }
    for name, value in kept.items():
        # "required" and the alternatives have no order; other lists are not in schemas.
        kept[name] = sorted(value, key=repr) if isinstance(value, list) else value
    return kept


def ours(kind: Any) -> Any:
    """Return the schema of one of the client's types."""
    schema, components = msgspec.json.schema_components([kind], ref_template="#/{name}")
    return plain(schema[0], components)


def theirs(schema: Any) -> Any:
    """Return a schema of the service's description."""
    return plain(schema, DOCUMENT["components"]["schemas"])


def test_every_route_is_there() -> None:
    """No route is missing, and none is made up."""
    assert set(ROUTES) == set(OPERATIONS) - NOT_FOR_CLIENTS


@pytest.mark.parametrize("key", sorted(ROUTES), ids=" ".join)
def test_answers_have_the_described_types(key: tuple[str, str]) -> None:
    """Field by field."""
    operation = OPERATIONS[key]
    success = next(answer for code, answer in operation["responses"].items() if code < "300")
    described = success["content"].get("application/json", {}).get("schema")
    if described is None:
        assert ROUTES[key].data is Any
        return
    assert ours(ROUTES[key].data) == theirs(described["properties"]["data"])


@pytest.mark.parametrize("key", [key for key in sorted(ROUTES) if ROUTES[key].body], ids=" ".join)
def test_bodies_have_the_described_types(key: tuple[str, str]) -> None:
    """Those with a type of their own, field by field."""
    described = OPERATIONS[key]["requestBody"]["content"]["application/json"]["schema"]
    assert ours(ROUTES[key].body) == theirs(described)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("login", ("POST", "/api/auth/login")),
        ("change_password", ("POST", "/api/auth/password")),
        ("add_user", ("POST", "/api/users")),
        ("change_user", ("PATCH", "/api/users/{user_id}")),
        ("add_token", ("POST", "/api/tokens")),
        ("adopt", ("POST", "/api/apps/{app_id}/adoption")),
        ("grant", ("PUT", "/api/apps/{app_id}/grants/{user}")),
    ],
)
def test_arguments_are_the_described_fields(method: str, key: tuple[str, str]) -> None:
    """With the values that the service takes."""
    described = theirs(OPERATIONS[key]["requestBody"]["content"]["application/json"]["schema"])
    in_path = {"self", "return", "app_id", "user_id", *(["user"] if "{user}" in key[1] else [])}
    hints = get_type_hints(getattr(Client, method))
    arguments = {name: ours(kind) for name, kind in hints.items() if name not in in_path}
    assert arguments == described["properties"]


def test_ranges_of_older_lines_have_the_described_parameters() -> None:
    """Except those that ask for something else than lines."""
    operation = OPERATIONS["GET", "/api/apps/{app_id}/logs"]
    described = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    assert set(OlderRange.__annotations__) == described - NOT_LINES


def test_other_parameters_are_arguments() -> None:
    """Of the lists that are long."""
    for method, key in (
        (Client.list_audit, ("GET", "/api/audit")),
        (Client.list_deployments, ("GET", "/api/apps/{app_id}/deployments")),
    ):
        described = {each["name"] for each in OPERATIONS[key]["parameters"]}
        assert set(inspect.signature(method).parameters) - {"self"} == described


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_are_alike(name: str) -> None:
    """They have the same methods with the same parameters and words."""
    one, other = getattr(Client, name), getattr(AsyncClient, name)
    assert inspect.getdoc(one) == inspect.getdoc(other)
    if not callable(one):
        return
    assert inspect.signature(one).parameters == inspect.signature(other).parameters
    if inspect.iscoroutinefunction(other):
        assert inspect.signature(one) == inspect.signature(other)


def test_neither_client_has_more() -> None:
    """A method of one is a method of the other."""
    assert [name for name in vars(AsyncClient) if not name.startswith("_")] == METHODS


def test_every_record_is_public() -> None:
    """What a method takes or returns can be named."""
    import mist_client  # noqa: PLC0415 - its list of names

    made = {
        name
        for name, kind in vars(records).items()
        if getattr(kind, "__module__", "") == records.__name__
    }
    assert made <= set(mist_client.__all__)


def test_an_answer_of_another_version_says_so() -> None:
    """The error names the route and the field."""
    with pytest.raises(MistError, match=r"GET /api/auth/me is not what .* expects: .*email"):
        routes.ME.read(b'{"data": {"user_id": 1}}')
    with pytest.raises(MistError, match="is not what"):
        routes.ME.read(b"<html>")


def test_names_in_a_path_are_quoted() -> None:
    """An address of a user is one part of the path."""
    path = routes.GRANT.fill({"app_id": 3, "user": "a?b%2F#c@example.com"})
    assert path == "/api/apps/3/grants/a%3Fb%252F%23c%40example.com"


@pytest.mark.parametrize("verb", ["get_grant", "grant", "withdraw_grant"])
def test_a_user_with_a_slash_is_named_by_the_id(verb: str) -> None:
    """Servers decode ``%2F`` before they divide a path, so nothing is sent."""
    words = r"'a/b@example\.com' has a slash, .*; give the user's id"
    with Client("http://127.0.0.1:1") as client, pytest.raises(ValueError, match=words):
        getattr(client, verb)(3, "a/b@example.com")

    async def run() -> None:
        async with AsyncClient("http://127.0.0.1:1") as client:
            with pytest.raises(ValueError, match=words):
                await getattr(client, verb)(3, "a/b@example.com")

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data":"\xff"}', b'{"data":' + b"[" * 50_000])
def test_an_answer_of_another_service(body: bytes) -> None:
    """It is an error with a reason, also where there is no envelope."""
    with pytest.raises(MistError, match="not what this version of mist-client expects"):
        routes.ME.read(body)
    with pytest.raises(MistError, match=r"GET /api/openapi\.json"):
        routes.OPENAPI.read_object(body)
    with pytest.raises(MistError, match="GET /metrics"):
        routes.FIGURES.read_text(body + b"\xe9")
