"""The OpenAPI document tells what the service does: each status that it names can be met, and no
error that a route raises is missing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
import pytest
from pydantic_core import from_json, to_json

from features.business.domain import load_domain
from features.errors import (
    AlreadyDecided,
    CustomerForgotten,
    DecisionConflict,
    DecisionUnknown,
    IdentityUnknown,
    InvalidData,
    InvalidEvent,
    InvalidRequest,
    NbaError,
    NotCounted,
    NotRepeatable,
    NotVisible,
)
from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.keys import KeyNormalizer
from features.journeys.events import parse_event
from features.ledger.columns import packed_json, unpacked_json
from features.ledger.ledger import Ledger
from features.settings import GROCERY
from serving.access.scopes import KeyScope, requires
from serving.contract.customers import LinkAnswer, LinkRequest, UnconfirmedAnswer
from serving.contract.events import EventsAnswer, OutcomeAnswer, OutcomeRequest
from serving.contract.requests import Error, Readiness
from serving.contract.statuses import STATUSES as SERVED
from serving.server.middleware import MAX_BODY_BYTES, REFUSED
from serving.server.openapi import EVERYWHERE, client_schema, describe, refuses, routes, status_of
from serving.service import NextBestAction
from tests.conftest import NOW, Built, copied
from tests.server import Server, running
from tests.serving.test_service import says_that_features_are_missing

OURS = routes(NextBestAction)
DOCUMENT = describe(NextBestAction, SERVED)
PATHS = [route.path for route in OURS]
STATUSES = {DecisionUnknown: HTTPStatus.NOT_FOUND, InvalidData: HTTPStatus.BAD_REQUEST}


def answers(path: str, document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    return document["paths"][path]["post"]["responses"]


def body_of(answer: dict[str, Any]) -> Any:
    return answer["content"]["application/json"]["schema"]


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# A small service of our own ---------------------------------------------------------------------


@bentoml.service(name="small", traffic={"timeout": 3})
class Small:
    """A service with two routes."""

    @bentoml.api(route="/v1/told")
    @requires(KeyScope.WRITE)
    @refuses(DecisionUnknown, InvalidEvent, bodies={HTTPStatus.BAD_REQUEST: EventsAnswer})
    async def told(self, request: OutcomeRequest, /, ctx: bentoml.Context) -> OutcomeAnswer:
        """Take an outcome."""
        raise NotImplementedError

    @bentoml.api(route="/v1/quiet")
    @requires(KeyScope.ADMIN)
    async def quiet(self, request: LinkRequest, /) -> LinkAnswer:
        raise NotImplementedError


SMALL = describe(Small, STATUSES)
TOLD = "Take an outcome.\n\nNeeds a key with the scope `write`."
EVERY_ROUTE = {"200", "400", "401", "403", "408", "413", "415", "429", "504"}


def test_a_route_is_told_with_what_it_takes_and_what_it_answers():
    post = SMALL["paths"]["/v1/told"]["post"]
    assert (post["operationId"], post["description"]) == ("told", TOLD)
    takes = post["requestBody"]
    assert takes["required"] and body_of(takes) == ref("OutcomeRequest")
    assert body_of(post["responses"]["200"]) == ref("OutcomeAnswer")
    assert post["responses"]["200"]["description"] == OutcomeAnswer.__doc__
    assert {"OutcomeRequest", "OutcomeAnswer", "Error"} <= set(SMALL["components"]["schemas"])


def test_a_route_may_answer_what_its_errors_are_answered_with_and_what_every_route_refuses():
    assert set(answers("/v1/told", SMALL)) == {
        "200",
        "400",
        "401",
        "403",
        "404",
        "408",
        "413",
        "415",
        "429",
        "504",
    }
    assert set(answers("/v1/quiet", SMALL)) == EVERY_ROUTE
    assert answers("/v1/told", SMALL)["404"]["description"] == DecisionUnknown.__doc__
    assert answers("/v1/told", SMALL)["504"]["description"].startswith("It took longer than 3 s.")


def test_a_route_says_which_scope_its_key_needs():
    told = SMALL["paths"]["/v1/told"]["post"]
    assert told["security"] == [{"key": ["write"]}]
    assert SMALL["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_bentoml_clients_are_told_all_fields_as_arguments_and_no_schema_of_answers():
    told, quiet = client_schema(Small)["routes"]
    by_name = {route["name"]: route for route in (told, quiet)}
    fields = by_name["told"]["input"]["properties"]
    assert set(fields) == set(OutcomeRequest.model_fields)
    assert by_name["told"]["input"]["required"] == ["decision_id", "outcome"]
    assert by_name["quiet"]["input"]["properties"]["keys"]["items"] == {}
    assert "root_input" not in json.dumps(client_schema(NextBestAction))
    assert all(route["output"] == {} for route in by_name.values())


def test_the_body_of_an_error_is_one_sentence_or_what_the_route_says():
    assert body_of(answers("/v1/told", SMALL)["404"]) == ref("Error")
    both = {"anyOf": [ref("Error"), ref("EventsAnswer")]}
    assert body_of(answers("/v1/told", SMALL)["400"]) == both
    assert "EventsAnswer: Numbers of accepted" in answers("/v1/told", SMALL)["400"]["description"]


def test_what_may_be_null_is_told_so():
    value = SMALL["components"]["schemas"]["OutcomeRequest"]["properties"]["value"]
    assert [one["type"] for one in value["anyOf"]] == ["number", "null"]


def test_an_error_has_the_status_of_its_kind_and_one_that_nobody_thought_of_has_500():
    assert status_of(InvalidEvent, STATUSES) == HTTPStatus.BAD_REQUEST
    assert status_of(NotVisible, STATUSES) == HTTPStatus.INTERNAL_SERVER_ERROR


# The document of the service itself -------------------------------------------------------------


def test_the_document_keeps_the_rules_of_openapi():
    import schemathesis  # takes 2 s, and `make test-fast` needs it in this test only

    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_route_says_what_it_does_and_gives_an_example_that_it_takes():
    for route in OURS:
        assert route.description, f"{route.path} has no docstring"
        takes = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]
        example = takes["application/json"].get("example")
        assert example, f"no field of {route.request.__name__} has examples"
        route.request.model_validate(example)


def test_the_event_of_the_example_is_one_of_the_grocers():
    post = DOCUMENT["paths"]["/v1/events"]["post"]
    domain = load_domain(GROCERY)
    for event in post["requestBody"]["content"]["application/json"]["example"]["events"]:
        parse_event(event, domain, KeyNormalizer(domain), NOW)


def test_no_route_may_raise_an_error_without_a_status():
    named = {error for route in OURS for error in route.refusals.errors}
    assert {error for error in named if status_of(error, SERVED) >= 500} <= {NotVisible, NotCounted}
    assert named | {*EVERYWHERE} == set(SERVED), (
        "an error in SERVED that no route refuses with, or the reverse"
    )


# Every error of every route, provoked -----------------------------------------------------------

KEYS = {"cause": "told an agent"}
SEEN = {"event_id": "e1", "type": "visit", "occurred_at": "2026-11-20T10:00:00Z", "channel": "app"}
PAIR = {"left": "api-left", "right": "api-right", **KEYS}
PROVOKED: list[tuple[str, type[NbaError], dict[str, Any]]] = [
    ("/v1/decide", InvalidRequest, {"customer_id": "h1", "channel": "tv"}),
    ("/v1/decide", InvalidData, {"identifiers": ["fax:1"], "channel": "app"}),
    ("/v1/decide", CustomerForgotten, {"customer_id": "api-gone", "channel": "app"}),
    (
        "/v1/decide",
        DecisionConflict,
        {"customer_id": "h2", "channel": "app", "decision_id": "api-1"},
    ),
    ("/v1/activate", DecisionUnknown, {"decision_id": "none"}),
    ("/v1/activate", DecisionConflict, {"decision_id": "api-1"}),
    ("/v1/explain", DecisionUnknown, {"decision_id": "none"}),
    ("/v1/explain", NotRepeatable, {"decision_id": "api-9"}),
    ("/v1/replay", DecisionUnknown, {"decision_id": "none"}),
    ("/v1/replay", NotRepeatable, {"decision_id": "api-8"}),
    ("/v1/outcomes", InvalidRequest, {"decision_id": "api-1", "outcome": "loved"}),
    ("/v1/outcomes", DecisionUnknown, {"decision_id": "none", "outcome": "accepted"}),
    (
        "/v1/outcomes",
        DecisionConflict,
        {"decision_id": "api-1", "outcome": "clicked", "outcome_id": "api-o1"},
    ),
    ("/v1/link", InvalidData, {"keys": ["card:", "h1"], **KEYS}),
    ("/v1/link", CustomerForgotten, {"keys": ["api-gone", "h1"], **KEYS}),
    ("/v1/unlink", InvalidData, {"keys": ["card:", "h1"], **KEYS}),
    ("/v1/unlink", IdentityUnknown, {"keys": ["h1", "h2"], **KEYS}),
    ("/v1/attributes", InvalidData, {"customer_id": "h1", "attributes": {"age": "old"}}),
    ("/v1/attributes", CustomerForgotten, {"customer_id": "api-gone", "attributes": {"age": None}}),
    ("/v1/merge_candidates", InvalidRequest, {"after": "yesterday"}),
    ("/v1/merge_candidates", InvalidData, {**PAIR, "left": "card:", "decision": "confirm"}),
    ("/v1/merge_candidates", IdentityUnknown, {**PAIR, "left": "h1", "decision": "confirm"}),
    ("/v1/merge_candidates", AlreadyDecided, {**PAIR, "decision": "confirm"}),
    ("/v1/journeys", InvalidRequest, {"known_at": "2199-01-01T00:00:00Z"}),
    ("/v1/journeys", NotCounted, {}),
    (
        "/v1/guardrails/lift",
        InvalidRequest,
        {"guardrail": "complaints", "action_id": "coupons_personal", "cause": "Other words."},
    ),
    ("/v1/clock", InvalidRequest, {"now": "2026-12-01T08:00:00Z"}),
    ("/v1/customer", InvalidRequest, {"customer_id": "h1", "before": "yesterday"}),
    ("/v1/customer", InvalidData, {"identifiers": ["fax:1"]}),
    ("/v1/customer", CustomerForgotten, {"customer_id": "api-gone"}),
    ("/v1/forget", InvalidData, {"identifiers": ["fax:1"]}),
    ("/v1/forget", IdentityUnknown, {"customer_id": "api-never"}),
    ("/v1/forget", CustomerForgotten, {"customer_id": "api-gone"}),
]
# Where the online store is broken: each leaves something behind that cannot be shown.
BLIND: list[tuple[str, type[NbaError], dict[str, Any]]] = [
    ("/v1/events", NotVisible, {"events": [{**SEEN, "customer_id": "h1"}]}),
    ("/v1/link", NotVisible, {"keys": ["h1", "h2"], **KEYS}),
    ("/v1/unlink", NotVisible, {"keys": ["h1", "card:1"], **KEYS}),
    ("/v1/attributes", NotVisible, {"customer_id": "h3", "attributes": {"age": "19-24"}}),
    (
        "/v1/merge_candidates",
        NotVisible,
        {**PAIR, "left": "h3", "right": "h4", "decision": "confirm"},
    ),
]


def test_what_is_provoked_below_is_all_that_the_routes_say_they_refuse():
    """A new route, or a new error of a route, needs a request here that causes it."""
    said = {(route.path, error) for route in OURS for error in route.refusals.errors}
    assert {(path, error) for path, error, _ in PROVOKED + BLIND} == said


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    """A server that has decided, forgotten somebody, and lost a catalogue and a record."""
    for path, body in (
        ("/v1/decide", {"customer_id": "h1", "channel": "app", "decision_id": "api-1"}),
        ("/v1/outcomes", {"decision_id": "api-1", "outcome": "shown", "outcome_id": "api-o1"}),
        ("/v1/decide", {"customer_id": "h9", "channel": "app", "decision_id": "api-9"}),
        ("/v1/decide", {"customer_id": "h8", "channel": "app", "decision_id": "api-8"}),
        ("/v1/decide", {"customer_id": "api-gone", "channel": "app"}),
        ("/v1/forget", {"customer_id": "api-gone"}),
    ):
        assert first_day_server.post(path, body)[0] == 200
    file = first_day_server.log.parent / "ledger.db"
    _note_candidates(file)
    assert first_day_server.post("/v1/merge_candidates", {**PAIR, "decision": "refuse"})[0] == 200
    with closing(sqlite3.connect(file, isolation_level=None)) as ledger:
        [kept] = ledger.execute(
            "SELECT record FROM decisions WHERE decision_id = 'api-9'"
        ).fetchone()
        lost = packed_json(to_json(from_json(unpacked_json(kept)) | {"catalog": "lost"}))
        ledger.execute("UPDATE decisions SET record = ? WHERE decision_id = 'api-9'", (lost,))
        removed = "UPDATE decisions SET answer = NULL, features = NULL"  # as retention does
        ledger.execute(f"{removed} WHERE decision_id = 'api-8'")
    return first_day_server


def _note_candidates(file: Path) -> None:
    ledger = Ledger(f"sqlite:///{file}")
    pairs = ((PAIR["left"], PAIR["right"]), ("h3", "h4"))
    found = [MergeCandidate.of(*pair, "cookie:api", "device") for pair in pairs]
    ledger.write_now(lambda connection: note_candidates(connection, found, NOW))
    ledger.close()


@pytest.mark.server
def test_the_server_answers_this_document(server):
    assert server.get("/docs.json") == (200, json.loads(json.dumps(DOCUMENT)))


@pytest.mark.server
@pytest.mark.parametrize(("path", "error", "body"), PROVOKED)
def test_an_error_comes_with_the_status_that_is_documented(server, path, error, body):
    status, answer = server.post(path, body)
    assert status == status_of(error, SERVED), answer
    assert Error.model_validate(answer, extra="forbid").error
    assert error.__doc__.splitlines()[0] in answers(path)[str(status)]["description"]


@pytest.mark.server
@pytest.mark.parametrize("path", PATHS)
def test_every_route_refuses_what_every_route_refuses(server, path):
    # 401 and 403 need keys: `tests.serving.access.test_access_http` asks with and without.
    assert {str(int(status)) for status in REFUSED} <= set(answers(path))
    json_type = {"content-type": "application/json"}
    large = {**json_type, "content-length": str(MAX_BODY_BYTES + 1)}
    for status, body, headers in (
        (400, b"{nope", json_type),
        (413, b"", large),
        (415, b"{}", {"content-type": "text/plain"}),
    ):
        connection = server.connect()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert Error.model_validate_json(answer.read(), extra="forbid").error
        connection.close()


@pytest.mark.server
def test_of_events_that_none_could_be_taken_of_each_is_told_why(server):
    status, answer = server.post("/v1/events", {"events": [{}, 7]})
    assert status == 400
    told = EventsAnswer.model_validate(answer)
    assert [one.index for one in told.rejected] == [0, 1] and told.error == told.rejected[0].error


@pytest.mark.server
def test_an_erasure_of_several_customers_answers_with_whom_it_would_erase(server):
    for key in ("api-two", "api-one"):
        event = {**SEEN, "event_id": f"e-{key}", "customer_id": key}
        assert server.post("/v1/events", {"events": [event]})[0] == 200
    assert server.post("/v1/link", {"keys": ["api-one", "api-two"], **KEYS})[0] == 200
    status, answer = server.post("/v1/forget", {"customer_id": "api-one"})
    assert status == 409
    told = UnconfirmedAnswer.model_validate(answer, extra="forbid")
    assert told.would_erase == ["api-one", "api-two"]
    assert "UnconfirmedAnswer" in json.dumps(body_of(answers("/v1/forget")["409"]))


@pytest.mark.server
def test_readiness_is_what_the_document_says(server):
    status, answer = server.get("/readyz")
    assert status == 200
    assert Readiness.model_validate(answer, extra="forbid").status == "degraded"


@pytest.fixture(scope="module")
def without_store(grocer: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the grocer whose online store was deleted."""
    home, env = copied(grocer, tmp_path_factory.mktemp("without-store"))
    (home / "feast" / "online.db").unlink()
    _note_candidates(home / "ledger.db")
    with running(home, {**env, "NBA_LEARNER": "false"}) as started:
        yield started


@pytest.mark.server
def test_without_an_online_store_the_server_starts_and_says_so(without_store):
    says_that_features_are_missing(without_store)


@pytest.mark.server
def test_what_cannot_be_shown_comes_with_the_status_that_is_documented(without_store):
    for path, error, body in BLIND:
        status, answer = without_store.post(path, body)
        assert status == status_of(error, SERVED), (path, answer)
        assert Error.model_validate(answer, extra="forbid").error
        assert error.__doc__.splitlines()[0] in answers(path)[str(status)]["description"]
