"""Makes the OpenAPI document from the routes' types and the errors that each route declares.

`errors_as_http` answers with these errors.

BentoML's own document leaves out that a field may be null, and names statuses that never come.
Clients are generated from the document, so it has to be exact.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, get_type_hints

from bentoml.exceptions import BentoMLException
from pydantic import BaseModel, TypeAdapter, ValidationError

from features.errors import LedgerDown, NbaError, Overloaded
from serving.access.scopes import KeyScope, scope_of
from serving.contract.requests import Error, Readiness
from serving.server.middleware import REFUSED, send_sentence

Function = TypeVar("Function", bound=Callable[..., Any])
Statuses = Mapping[type[NbaError], HTTPStatus]

EVERYWHERE = (LedgerDown, Overloaded)  # errors that every route may raise
JSON = "application/json"
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of `nba keys add`. Without any key, a server answers on loopback only.",
}
SCHEMAS = "#/components/schemas/{model}"
_NOTE = "_refusals"


class Refusals(NamedTuple):
    """Errors that a route may answer with.

    Attributes
    ----------
    bodies
        Types of the bodies that go with a status, where it is not ``{"error": "..."}`` alone.
    """

    errors: tuple[type[NbaError], ...] = ()
    bodies: Mapping[HTTPStatus, Any] = {}


def refuses(
    *errors: type[NbaError], bodies: Mapping[HTTPStatus, type[BaseModel]] | None = None
) -> Callable[[Function], Function]:
    """Declare the errors of a route; stands below ``@bentoml.api``.

    Parameters
    ----------
    errors
        Errors of ours that the route raises. Those of every route (`middleware.REFUSED`) need
        not be declared.
    bodies
        Bodies that go with a status, where it is not ``{"error": "..."}`` alone.
    """

    def note(function: Function) -> Function:
        setattr(function, _NOTE, Refusals(errors, bodies or {}))
        return function

    return note


class Route(NamedTuple):
    """A route, read from its function."""

    name: str
    path: str
    description: str
    request: Any
    answer: Any
    refusals: Refusals
    scope: KeyScope


def routes(service: Any) -> list[Route]:
    """The routes of a BentoML service, in the order of their definition."""
    return [_route(name, api) for name, api in service.apis.items()]


def _route(name: str, api: Any) -> Route:
    hints = get_type_hints(api.func)
    request = next(iter(list(inspect.signature(api.func).parameters)[1:]))
    refusals = getattr(api.func, _NOTE, Refusals())
    description = inspect.getdoc(api.func) or ""
    types = hints[request], hints["return"]
    return Route(name, api.route, description, *types, refusals, scope_of(api))


def describe(service: Any, statuses: Statuses) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document of a BentoML service.

    Parameters
    ----------
    statuses
        The status of each kind of error.
    """
    ours = routes(service)
    schemas, components = _schemas(ours)
    timeout = service.config.get("traffic", {}).get("timeout")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": service.name,
            "version": "1",
            "description": inspect.getdoc(service.inner) or "",
        },
        "servers": [{"url": "."}],
        "paths": {
            **{route.path: {"post": _post(route, schemas, statuses, timeout)} for route in ours},
            "/readyz": {"get": _readyz(schemas)},
            "/livez": {"get": _get("Liveness: the process runs.", "The process runs.")},
            "/metrics": {"get": _metrics(schemas)},
        },
        "components": {"schemas": components, "securitySchemes": {"key": KEY}},
    }


def client_schema(service: Any) -> dict[str, Any]:
    """Make the document that BentoML's Python clients read at `/schema.json`.

    BentoML's own document shows a request that is a union of two shapes as one nameless argument,
    and a list that may be null in an answer breaks the clients' decoder. Here each field of a
    request is an argument, and answers have no schema, so clients return them as they came.
    """
    ours = [
        {
            "name": route.name,
            "route": route.path,
            "doc": route.description,
            "input": _arguments(route.request),
            "output": {},
        }
        for route in routes(service)
    ]
    return {"name": service.name, "type": "service", "routes": ours}


def _arguments(request: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of the fields of a request, whichever shapes it may have."""
    schema = request.model_json_schema()
    for field in schema["properties"].values():
        if field.get("type") == "array":
            field.setdefault("items", {})  # the clients look for it in a pair, too
    kept = ("properties", "required", "$defs")
    return {"type": "object", **{key: schema[key] for key in kept if key in schema}}


def _schemas(ours: list[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return the schema of each type, and the components that the schemas refer to."""
    requests = [(route.request, "validation") for route in ours]
    answers = [(route.answer, "serialization") for route in ours]
    others = [body for route in ours for body in route.refusals.bodies.values()]
    answers += [(body, "serialization") for body in (*others, Error, Readiness)]
    types = [(one, mode, TypeAdapter(one)) for one, mode in [*requests, *answers]]
    found, rest = TypeAdapter.json_schemas(types, ref_template=SCHEMAS)  # type: ignore[arg-type]
    return {one: schema for (one, _), schema in found.items()}, rest.get("$defs", {})


def _post(
    route: Route, schemas: Mapping[Any, Any], statuses: Statuses, timeout_s: float | None
) -> dict[str, Any]:
    reasons = dict(_reasons(route.refusals, statuses, timeout_s))
    content: dict[str, Any] = {"schema": schemas[route.request]}
    if example := _example(route.request):
        content["example"] = example
    answers = {"200": _answer(_first_line(route.answer), schemas[route.answer])}
    for status in sorted(reasons):
        body = schemas[Error]
        if other := route.refusals.bodies.get(status):
            body = {"anyOf": [body, schemas[other]]}
        answers[str(int(status))] = _answer(" ".join(reasons[status]), body)
    return {
        "operationId": route.name,
        "description": f"{route.description}\n\nNeeds a key with the scope `{route.scope}`.",
        "security": [{"key": [route.scope.value]}],
        "tags": ["API"],
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": answers,
    }


def _reasons(
    refusals: Refusals, statuses: Statuses, timeout_s: float | None
) -> Iterator[tuple[HTTPStatus, list[str]]]:
    """Each status other than 200, with the reasons for it."""
    found: dict[HTTPStatus, list[str]] = {status: [reason] for status, reason in REFUSED.items()}
    for error in (*refusals.errors, *(kind for kind in EVERYWHERE if kind in statuses)):
        status = status_of(error, statuses)
        found.setdefault(status, []).append(_first_line(error))
    for status, body in refusals.bodies.items():
        found.setdefault(status, []).append(f"Or, as {body.__name__}: {_first_line(body)}")
    if timeout_s:
        reason = f"It took longer than {timeout_s:g} s. Send it again."
        found.setdefault(HTTPStatus.GATEWAY_TIMEOUT, []).append(reason)
    yield from found.items()


def status_of(kind: type[NbaError], statuses: Statuses) -> HTTPStatus:
    """The status of this kind of error; 500 if ``statuses`` does not name it."""
    fitting = (status for other, status in statuses.items() if issubclass(kind, other))
    return next(fitting, HTTPStatus.INTERNAL_SERVER_ERROR)


@contextmanager
def errors_as_http(statuses: Statuses) -> Iterator[None]:
    """Raise our errors as BentoML's, which sends the text of a 4xx and hides that of a 5xx."""
    try:
        yield
    except NbaError as error:
        status = status_of(type(error), statuses)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            send_sentence(str(error))
        raise BentoMLException(str(error), error_code=status) from error
    except ValidationError as error:  # our fault, not the caller's: BentoML would answer 400
        raise RuntimeError("the service made an answer that breaks its own type") from error


def _example(request: Any) -> dict[str, Any]:
    """Make a request from the examples of its fields."""
    fields = getattr(request, "model_fields", {})
    return {name: field.examples[0] for name, field in fields.items() if field.examples}


def _readyz(schemas: Mapping[Any, Any]) -> dict[str, Any]:
    body = schemas[Readiness]
    answers = {
        "200": _answer("Ready for requests; `degraded` names what is missing or broken.", body),
        "503": _answer("Not ready: still starting, or decisions cannot be written.", body),
    }
    text = "Readiness: decisions can be made and logged; names the models, and what is missing."
    return {"description": text, "tags": ["Operators"], "responses": answers}


def _get(text: str, answer: str) -> dict[str, Any]:
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    answers = {"200": {"description": answer, "content": content}}
    return {"description": text, "tags": ["Operators"], "responses": answers}


def _metrics(schemas: Mapping[Any, Any]) -> dict[str, Any]:
    found = _get("Metrics for Prometheus.", "In Prometheus' text format.")
    for status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        found["responses"][str(int(status))] = _answer(REFUSED[status], schemas[Error])
    return {**found, "security": [{"key": [KeyScope.READ.value]}]}


def _answer(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _first_line(of: Any) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0]
