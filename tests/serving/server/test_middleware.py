"""The border as an ASGI application, with tiny applications behind it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from features.errors import LedgerDown, NbaError, NotCounted, Overloaded
from serving.access.load_shedding import LoadShedding
from serving.access.scopes import KeyScope
from serving.contract.decisions import DecideRequest
from serving.contract.events import OutcomeRequest
from serving.server import middleware
from serving.server.middleware import (
    MAX_BODY_BYTES,
    ErrorMiddleware,
    QuietRefusals,
    error_form,
    send_sentence,
)

JSON = (b"content-type", b"application/json")


@dataclass
class App:
    """Answers with parts of a body, and keeps what it was sent."""

    status: int = 200
    parts: Sequence[bytes] = (b'{"ok": true}',)
    headers: Sequence[tuple[bytes, bytes]] = (JSON, (b"x-trace", b"17"))
    bodies: list[bytes] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] == "http":
            self.bodies.append((await receive())["body"])
            await send(
                {"type": "http.response.start", "status": self.status, "headers": self.headers}
            )
            for number, part in enumerate(self.parts, start=1):
                more = number < len(self.parts)
                await send({"type": "http.response.body", "body": part, "more_body": more})


@dataclass
class Answer:
    """The messages that the middleware sent."""

    messages: list[dict[str, Any]]

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        assert int(self.headers[b"content-length"]) == len(self.body)
        return json.loads(self.body)


def ready() -> tuple[int, dict[str, Any]]:
    return 200, {"status": "ready"}


def call(
    app: App,
    *parts: bytes,
    path: str = "/v1/decide",
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (JSON,),
    readiness: Callable[[], tuple[int, dict[str, Any]]] = ready,
    documents: dict[str, Callable[[], dict[str, Any]]] | None = None,
    scopes: frozenset[KeyScope] = frozenset(KeyScope),
) -> Answer:
    """Send a request whose body comes in these parts."""
    waiting = list(parts or (b"{}",))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "nba.scopes": scopes,
    }
    asyncio.run(ErrorMiddleware(app, readiness, documents)(scope, receive, send))
    return Answer(sent)


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", str(number).encode()


# Good answers ----------------------------------------------------------------------------------


def test_a_good_answer_passes_through_unchanged_and_as_it_comes():
    app = App(parts=(b'{"a', b'": 1', b"}"))
    answer = call(app)
    assert answer.status == 200
    assert answer.headers[b"x-trace"] == b"17"
    assert [message["body"] for message in answer.messages[1:]] == [b'{"a', b'": 1', b"}"]
    assert [message["more_body"] for message in answer.messages[1:]] == [True, True, False]


def test_each_part_of_a_good_answer_is_sent_before_the_next_is_made():
    sent: list[str] = []

    async def app(scope: Any, receive: Callable, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sent.append("made a part")
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        sent.append("made another")
        await send({"type": "http.response.body", "body": b"b"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"].removeprefix("http.response."))

    scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": [JSON]}
    asyncio.run(ErrorMiddleware(app, ready)(scope, receive, send))
    assert sent == ["start", "made a part", "body", "made another", "body"]


def test_the_application_gets_the_whole_body_whatever_parts_it_came_in():
    app = App()
    call(app, b'{"customer', b'_id": ', b'"c1"}')
    assert app.bodies == [b'{"customer_id": "c1"}']


def test_after_the_body_the_application_still_hears_the_caller_leave():
    heard: list[str] = []
    waiting = [
        {"type": "http.request", "body": b"{}", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def app(scope: Any, receive: Callable, send: Callable) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": [JSON]}
    asyncio.run(ErrorMiddleware(app, ready)(scope, receive, send))
    assert heard == ["http.request", "http.disconnect"]


# Sizes and types -------------------------------------------------------------------------------


def test_a_body_announced_too_large_is_refused_unread():
    app = App()
    answer = call(app, headers=(JSON, length(MAX_BODY_BYTES + 1)))
    assert answer.status == 413
    assert answer.json == {"error": "The body is larger than 4,194,304 bytes. Send less at a time."}
    assert app.bodies == []


@pytest.mark.parametrize(
    "announced",
    [
        (),
        (length(2),),
        ((b"content-length", b"much"),),
        ((b"content-length", b"\xb2"),),  # str.isdigit is true for it, int refuses it
        ((b"content-length", b"0" * 5000),),
    ],
)
def test_a_body_that_turns_out_too_large_is_refused_whatever_it_announced(announced):
    app = App()
    half = b" " * (MAX_BODY_BYTES // 2)
    answer = call(app, half, half, b" ", b"never read", headers=(JSON, *announced))
    assert answer.status == 413
    assert "larger than 4,194,304 bytes" in answer.json["error"]
    assert app.bodies == []


def test_a_body_of_exactly_the_limit_is_let_in():
    app = App()
    body = b" " * MAX_BODY_BYTES
    assert call(app, body, headers=(JSON, length(len(body)))).status == 200
    assert app.bodies == [body]


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"],
)
def test_content_that_is_not_json_is_refused_by_its_name(content_type):
    app = App()
    answer = call(app, headers=((b"content-type", content_type.encode()),))
    assert answer.status == 415
    named = content_type.split(";")[0]
    assert answer.json["error"].startswith(f"content-type is '{named}'. Expected application/json")
    assert app.bodies == []


def test_a_body_without_a_type_is_refused():
    """A page of another site can send such a body, and no browser would ask first."""
    app = App()
    answer = call(app, headers=())
    assert answer.status == 415
    assert answer.json["error"].startswith("content-type is missing. Expected application/json")
    assert app.bodies == []


def test_other_methods_are_refused_by_the_application_whatever_they_hold():
    app = App(405, (b"Method Not Allowed",), [(b"allow", b"POST")])
    assert call(app, method="GET", headers=()).status == 405


def test_a_body_that_is_compressed_or_nested_too_deep_is_not_parsed():
    app = App()
    assert call(app, headers=(JSON, (b"content-encoding", b"gzip"))).status == 415
    answer = call(app, b"[" * 100_000)
    assert answer.status == 400 and "nested deeper than 32" in answer.json["error"]
    assert app.bodies == []


# Errors ----------------------------------------------------------------------------------------


def test_an_error_in_a_list_is_flattened():
    app = App(404, (b'[{"error": "decision_id', b" 'd9' is not in the ledger.\"}]"))
    answer = call(app)
    assert answer.status == 404
    assert answer.headers[b"content-type"] == b"application/json"
    assert answer.json == {"error": "decision_id 'd9' is not in the ledger."}
    assert len(answer.messages) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/healthz", "/docs.json", "/v2/decide"])
def test_errors_of_other_paths_have_the_same_form_and_good_answers_are_untouched(path, method):
    asked = {"path": path, "method": method, "headers": ((b"content-type", b"text/plain"),)}
    answer = call(App(500, (b"[1]",)), **asked)
    assert (answer.status, answer.json) == (500, {"error": "1"})
    answer = call(App(200, (b"[1]",)), **asked)
    assert (answer.status, answer.body) == (200, b"[1]")
    answer = call(App(404, (b"Not Found",)), **asked)
    assert answer.json["error"].startswith(f"'{path}' is not a route of this service.")


def details(request: type[BaseModel], body: dict[str, Any]) -> bytes:
    """The body that BentoML sends for pydantic's errors."""
    with pytest.raises(ValidationError) as caught:
        request.model_validate(body)
    found = caught.value.errors(include_url=False, include_context=False)
    return json.dumps({"error": "1 validation error", "detail": found}).encode()


@pytest.mark.parametrize(
    ("request_type", "body", "sentence"),
    [
        (DecideRequest, {"customer_id": "c1"}, "channel is missing. Send it."),
        (
            DecideRequest,
            {"customer_id": "c1", "channel": "app", "chanel": "app"},
            "chanel is not a field of this request. Leave it out, or correct its name.",
        ),
        (
            DecideRequest,
            {"customer_id": "c1", "channel": "app", "slots": 99},
            "slots: input should be less than or equal to 10. Correct it and send it again.",
        ),
        (
            DecideRequest,
            {"channel": "app"},
            "The request: customer_id and identifiers are both missing; send one of them. "
            "Correct it and send it again.",
        ),
        (
            DecideRequest,
            {"channel": "app", "identifiers": [""]},
            "identifiers.0: string should have at least 1 character. Correct it and send it again.",
        ),
        (
            OutcomeRequest,
            {"decision_id": "d1", "outcome": "accepted", "occurred_at": "2026-11-22T10:00:00"},
            "occurred_at: input should have timezone info. Correct it and send it again.",
        ),
        (OutcomeRequest, {}, "decision_id is missing. Send it. outcome is missing. Send it."),
    ],
    ids=["missing", "extra", "too large", "nobody", "empty", "naive time", "two at once"],
)
def test_pydantics_findings_become_a_sentence_with_the_field(request_type, body, sentence):
    answer = call(App(400, (details(request_type, body),)))
    assert answer.status == 400
    assert answer.json == {"error": sentence}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'[{"error": "One sentence."}]', "One sentence."),
        (b'{"error": "One sentence."}', "One sentence."),
        (b'{"detail": "One sentence."}', "One sentence."),
        (b'{"error": "Bad.", "detail": []}', "Bad."),
        (b'"Not found"', "Not found"),
        (b"Not found", "Not found"),
        (b"", "The request was refused."),
        (b"\xff", "�"),
        (b'[{"error": "a"}, {"error": "b"}]', "[{'error': 'a'}, {'error': 'b'}]"),
        (
            b'{"detail": [{"type": "json_invalid", "loc": [], "msg": "EOF at column 1"}]}',
            "The body is not JSON: EOF at column 1. Send a JSON object.",
        ),
        (
            b'{"detail": [{"type": "greater_than", "loc": ["a", 0, "b"], "msg": "Too small"}]}',
            "a.0.b: too small. Correct it and send it again.",
        ),
    ],
)
def test_every_error_takes_one_form(body, sentence):
    assert error_form(body) == {"error": sentence}


def test_of_many_findings_the_first_five_are_told():
    many = [{"type": "missing", "loc": [f"f{number}"], "msg": ""} for number in range(9)]
    told = error_form(json.dumps({"detail": many}).encode())["error"]
    assert told.count("is missing") == 5


@pytest.mark.parametrize("method", ["GET", "PUT", "QUERY"])
def test_another_method_is_told_which_one_to_use(method):
    app = App(
        405, (b"Method Not Allowed",), [(b"allow", b"POST"), (b"content-type", b"text/plain")]
    )
    answer = call(app, method=method)
    assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")
    assert answer.json == {"error": f"{method} is not answered at '/v1/decide'. Send POST."}


def test_a_path_that_is_none_is_told_where_the_routes_stand():
    app = App(404, (b"Not Found",), [(b"content-type", b"text/plain")])
    answer = call(app, path="/v1/decider")
    assert answer.status == 404 and b"allow" not in answer.headers
    told = "'/v1/decider' is not a route of this service. /docs.json names them all."
    assert answer.json == {"error": told}


def test_no_refusal_gives_back_a_megabyte():
    long = "x" * 2**20
    assert len(call(App(404, (b"Not Found",)), path=f"/v1/{long}").body) < 300
    assert len(call(App(), headers=[(b"content-type", long.encode())]).body) < 300
    extra = details(DecideRequest, {"customer_id": "c1", "channel": "app", long: 1})
    assert len(call(App(400, (extra,))).body) < 300


# The OpenAPI document --------------------------------------------------------------------------


def test_the_document_is_answered_without_asking_the_application():
    app = App()
    asked = {"path": "/docs.json", "headers": (), "documents": {"/docs.json": lambda: {"a": 1}}}
    for method in ("GET", "HEAD"):
        answer = call(app, method=method, **asked)
        assert (answer.status, answer.json) == (200, {"a": 1})
    assert app.scopes == []
    assert call(App(405, (b"Method Not Allowed",)), method="PUT", **asked).status == 405


# Pages ------------------------------------------------------------------------------------------


def test_the_page_of_the_api_is_ours_and_none_of_bentomls_parts_is_served():
    seen: list[str] = []

    async def app(scope: Any, receive: Callable, send: Callable) -> None:
        seen.append(scope["path"])
        await App()(scope, receive, send)

    assert call(app, path="/", method="GET", headers=()).status == 200  # type: ignore[arg-type]
    assert seen == ["/console/api.html"]
    for path in ("/static_content/index.css", "/assets/x.js", "/console/api.html"):
        assert call(App(), path=path, method="GET", headers=()).status == 404


# Readiness and other scopes --------------------------------------------------------------------


def test_readyz_without_a_key_that_may_read_tells_the_status_alone():
    found = 200, {"status": "degraded", "degraded": ["catalog: /home/a/x.yaml"], "models": {}}
    asked = {"path": "/readyz", "method": "GET", "headers": (), "readiness": lambda: found}
    answer = call(App(), **asked, scopes=frozenset({KeyScope.DECIDE}))
    assert (answer.status, answer.json) == (200, {"status": "degraded"})


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, {"status": "degraded", "degraded": ["churn: none"]}), (503, {"status": "starting"})],
)
def test_readyz_answers_the_readiness_and_asks_nobody_else(status, body):
    app = App()
    answer = call(app, path="/readyz", method="GET", headers=(), readiness=lambda: (status, body))
    assert (answer.status, answer.json) == (status, body)
    assert app.scopes == []


def test_what_is_not_http_goes_straight_through():
    app = App()

    async def unused(*_: object) -> None:
        raise AssertionError("nobody sends or receives here")

    asyncio.run(ErrorMiddleware(app, ready)({"type": "lifespan"}, unused, unused))
    assert app.scopes == ["lifespan"]


class Refusal(Exception):
    """An error that knows its status, as BentoML's do."""

    def __init__(self, error_code: int) -> None:
        super().__init__("refused")
        self.error_code = error_code


def busy(why: type[NbaError]) -> Refusal:
    refusal = Refusal(503)
    refusal.__cause__ = why("It waits.", expected="time", remedy="Ask again.")
    return refusal


def pydantics() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        DecideRequest.model_validate({})
    return caught.value


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (Refusal(404), False),
        (Refusal(500), True),
        (ValueError("a bug"), True),
        (pydantics(), False),
        (None, True),
        (busy(NotCounted), False),
        (busy(Overloaded), False),
        (busy(LedgerDown), True),
    ],
    ids=[
        *("refused", "failed", "a bug", "invalid", "no error at all"),
        *("not counted", "too much to do", "no database"),
    ],
)
def test_refusals_leave_no_traceback_in_the_log_and_bugs_do(error, logged):
    trace = (type(error), error, None) if error else None
    line = logging.LogRecord("bentoml", logging.ERROR, "", 0, "it happened", (), trace)
    assert QuietRefusals().filter(line) is logged


def test_the_content_type_may_be_written_in_capitals():
    assert call(App(), headers=[(b"content-type", b"Application/JSON")]).status == 200


def test_details_that_are_plain_texts_are_passed_on():
    assert error_form(b'{"detail": ["too", "much"]}') == {"error": "too much"}


def test_half_a_request_reaches_nobody():
    app = App()
    waiting = [
        {"type": "http.request", "body": b'{"cust', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError("there is nobody to answer")

    scope = {"type": "http", "path": "/v1/decide", "method": "POST", "headers": [JSON]}
    asyncio.run(ErrorMiddleware(app, ready)(scope, receive, send))
    assert app.bodies == []


def test_the_metrics_are_answered_here_and_not_by_bentoml(monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)  # BentoML sets it
    app = App(404)
    answer = call(app, path="/metrics", method="GET")
    assert answer.status == 200 and b"bentoml_service_request_total" in answer.body
    assert app.bodies == []


# Too many requests -----------------------------------------------------------------------------


class Room(LoadShedding):
    """Takes on so many requests at a time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def is_full(self, path: str, now_s: float) -> bool:
        return self._inside >= self._most


class Callers:
    """Send requests at the same time through one middleware."""

    def __init__(self, app: Any, most: int) -> None:
        self._border = ErrorMiddleware(app, ready, shedding=Room(most))

    async def ask(self, *parts: bytes | asyncio.Future[bytes]) -> Answer:
        waiting, sent = list(parts or (b"{}",)), list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            part = waiting.pop(0)
            body = part if isinstance(part, bytes) else await part
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(dict(message))

        scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": [JSON]}
        await self._border(scope, receive, send)
        return Answer(sent)


def test_a_request_too_many_is_refused_with_the_time_to_come_back():
    async def story() -> list[Answer]:
        go = asyncio.Event()

        async def app(scope: Any, receive: Callable, send: Callable) -> None:
            await go.wait()
            await App()(scope, receive, send)

        callers = Callers(app, 2)
        waiting = [asyncio.create_task(callers.ask()) for _ in range(2)]
        await asyncio.sleep(0)  # they begin; no time passes
        refused = await callers.ask()
        go.set()
        return [refused, *await asyncio.gather(*waiting), await callers.ask()]

    answers = asyncio.run(story())
    assert [answer.status for answer in answers] == [503, 200, 200, 200]
    assert answers[0].headers[b"retry-after"] == b"1"
    assert answers[0].json["error"].startswith("This worker has taken on what it can answer soon;")


def test_a_full_worker_refuses_before_it_reads_the_body():
    async def story() -> Answer:
        return await Callers(App(), 0).ask(asyncio.get_running_loop().create_future())

    assert asyncio.run(story()).status == 503


def test_a_slow_body_takes_no_place_of_another_request_and_finds_none_if_all_are_taken():
    async def story() -> list[int]:
        go = asyncio.Event()

        async def app(scope: Any, receive: Callable, send: Callable) -> None:
            await go.wait()
            await App()(scope, receive, send)

        callers, rest = Callers(app, 1), asyncio.get_running_loop().create_future()
        slow = asyncio.create_task(callers.ask(b"{", rest))
        await asyncio.sleep(0)
        other = asyncio.create_task(callers.ask())
        await asyncio.sleep(0)
        rest.set_result(b"}")
        late = await slow
        go.set()
        return [late.status, (await other).status]

    assert asyncio.run(story()) == [503, 200]


def test_a_body_that_does_not_come_is_refused_and_the_connection_closed(monkeypatch):
    monkeypatch.setattr(middleware, "BODY_S", 0.01)
    app = App()

    async def story() -> Answer:
        return await Callers(app, 1).ask(b"{", asyncio.get_running_loop().create_future())

    answer = asyncio.run(story())
    assert (answer.status, answer.headers[b"connection"]) == (408, b"close")
    assert answer.json["error"].startswith("The body did not come within 0.01 s.")
    assert app.bodies == []


def test_each_503_says_when_to_come_back():
    async def app(scope: Any, receive: Callable, send: Callable) -> None:
        send_sentence("Too much.")
        await App(status=503)(scope, receive, send)

    answer = call(app)
    assert (answer.status, answer.json) == (503, {"error": "Too much."})
    assert answer.headers[b"retry-after"] == b"1"
    assert b"retry-after" not in call(App(status=500)).headers
