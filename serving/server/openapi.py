"""The OpenAPI document: made from the routes' types, and from what each route says it refuses.

BentoML makes one too, but it forgets what may be null and names statuses that never come; and a
document that is wrong is worse than none, because clients are generated from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, get_type_hints

from pydantic import BaseModel, TypeAdapter

from features.errors import LedgerDown, NbaError
from serving.contract.requests import Error, Readiness
from serving.server.middleware import REFUSED

Function = TypeVar("Function", bound=Callable[..., Any])
Statuses = Mapping[type[NbaError], HTTPStatus]

EVERYWHERE = (LedgerDown,)  # what any route may raise
JSON = "application/json"
SCHEMAS = "#/components/schemas/{model}"
_NOTE = "_refusals"


class Refusals(NamedTuple):
    """What a route may answer instead of its answer."""

    errors: tuple[type[NbaError], ...] = ()
    bodies: Mapping[HTTPStatus, Any] = {}


def refuses(
    *errors: type[NbaError], bodies: Mapping[HTTPStatus, type[BaseModel]] | None = None
) -> Callable[[Function], Function]:
    """Note on a route, below ``@bentoml.api``, what it may answer instead of its answer.

    Parameters
    ----------
    errors
        Errors of ours that it raises. What every route refuses (`middleware.REFUSED`) need
        not be named.
    bodies
        Bodies that go with a status, where it is not ``{"error": "..."}`` alone.
    """

    def note(function: Function) -> Function:
        setattr(function, _NOTE, Refusals(errors, bodies or {}))
        return function

    return note


class Route(NamedTuple):
    """A route as its function describes it."""

    name: str
    path: str
    says: str
    request: Any
    answer: Any
    refusals: Refusals


def routes(service: Any) -> list[Route]:
    """Our routes of a BentoML service, in the order in which they stand there."""
    return [_route(name, api) for name, api in service.apis.items()]


def _route(name: str, api: Any) -> Route:
    hints = get_type_hints(api.func)
    taken = next(iter(list(inspect.signature(api.func).parameters)[1:]))
    refusals = getattr(api.func, _NOTE, Refusals())
    says = inspect.getdoc(api.func) or ""
    return Route(name, api.route, says, hints[taken], hints["return"], refusals)


def describe(service: Any, statuses: Statuses) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a BentoML service.

    Parameters
    ----------
    statuses
        The status that each kind of error is answered with.
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
            "/livez": {"get": _get("Whether the process lives.", "It does.")},
            "/metrics": {"get": _get("Counters for Prometheus.", "In Prometheus' text format.")},
        },
        "components": {"schemas": components},
    }


def _schemas(ours: list[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Of each type its schema, and the parts to which these refer."""
    taken = [(route.request, "validation") for route in ours]
    given = [(route.answer, "serialization") for route in ours]
    others = [body for route in ours for body in route.refusals.bodies.values()]
    given += [(body, "serialization") for body in (*others, Error, Readiness)]
    named = [(one, mode, TypeAdapter(one)) for one, mode in [*taken, *given]]
    found, rest = TypeAdapter.json_schemas(named, ref_template=SCHEMAS)  # type: ignore[arg-type]
    return {one: schema for (one, _), schema in found.items()}, rest.get("$defs", {})


def _post(
    route: Route, schemas: Mapping[Any, Any], statuses: Statuses, timeout_s: float | None
) -> dict[str, Any]:
    reasons = dict(_reasons(route.refusals, statuses, timeout_s))
    takes: dict[str, Any] = {"schema": schemas[route.request]}
    if example := _example(route.request):
        takes["example"] = example
    answers = {"200": _answer(_first_line(route.answer), schemas[route.answer])}
    for status in sorted(reasons):
        body = schemas[Error]
        if other := route.refusals.bodies.get(status):
            body = {"anyOf": [body, schemas[other]]}
        answers[str(int(status))] = _answer(" ".join(reasons[status]), body)
    return {
        "operationId": route.name,
        "description": route.says,
        "tags": ["API"],
        "requestBody": {"required": True, "content": {JSON: takes}},
        "responses": answers,
    }


def _reasons(
    refusals: Refusals, statuses: Statuses, timeout_s: float | None
) -> Iterator[tuple[HTTPStatus, list[str]]]:
    """Each status other than 200 that may come, and why it does."""
    found: dict[HTTPStatus, list[str]] = {status: [why] for status, why in REFUSED.items()}
    for error in (*refusals.errors, *(kind for kind in EVERYWHERE if kind in statuses)):
        status = status_of(error, statuses)
        found.setdefault(status, []).append(_first_line(error))
    for status, body in refusals.bodies.items():
        found.setdefault(status, []).append(f"Or, as {body.__name__}: {_first_line(body)}")
    if timeout_s:
        why = f"It took longer than {timeout_s:g} s. Send it again."
        found.setdefault(HTTPStatus.GATEWAY_TIMEOUT, []).append(why)
    yield from found.items()


def status_of(kind: type[NbaError], statuses: Statuses) -> HTTPStatus:
    """The status that errors of this kind are answered with; 500 if nobody thought of them."""
    fitting = (status for other, status in statuses.items() if issubclass(kind, other))
    return next(fitting, HTTPStatus.INTERNAL_SERVER_ERROR)


def _example(request: Any) -> dict[str, Any]:
    """A request put together from the examples that its fields give."""
    fields = getattr(request, "model_fields", {})
    return {name: field.examples[0] for name, field in fields.items() if field.examples}


def _readyz(schemas: Mapping[Any, Any]) -> dict[str, Any]:
    body = schemas[Readiness]
    answers = {
        "200": _answer("Send requests. What is degraded, is named.", body),
        "503": _answer("Not yet, or not now.", body),
    }
    says = "Whether decisions can be made and logged, with which models, and what is missing."
    return {"description": says, "tags": ["Operators"], "responses": answers}


def _get(says: str, answer: str) -> dict[str, Any]:
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    answers = {"200": {"description": answer, "content": content}}
    return {"description": says, "tags": ["Operators"], "responses": answers}


def _answer(says: str, schema: Any) -> dict[str, Any]:
    return {"description": says, "content": {JSON: {"schema": schema}}}


def _first_line(of: Any) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0]
