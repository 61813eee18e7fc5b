"""Fuzzes the service with schemathesis against its OpenAPI document, the three verbs most.

    python -m tests.fuzz --cases 20000

Each route gets five kinds of case. *known*: requests with real customers, decisions, channels and
actions, so that most succeed. *lawful*: anything that the document allows. *broken*: known requests
with one thing that the document forbids. *edges*: schemathesis' own list of boundary values,
methods and content types. *raw*: known requests spoilt as bytes, in ways that no JSON library
would write. No answer may be a 5xx, and each must be documented: status, content type, body.
Afterwards the server must still be ready, and its log without a traceback.

The program gives the server keys. Most cases have one with all scopes; every eighth has none, and
every sixteenth a revoked one or one of another scope, which must be refused. Then come lines that
are no HTTP, and made-up paths. The memory of the worker must stay flat.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from features.business.domain import Domain, load_domain
from features.business.event_types import EventType
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, load_settings
from serving.access.gate import bearer
from serving.access.keys import add_key, revoke_key
from serving.access.scopes import KeyScope, scopes_of
from serving.catalog.compiled_catalog import load_catalog
from serving.service import NextBestAction
from tests.fuzz_floods import garbage, make_up_paths, memory_mb
from tests.server import Server, ledger_of, running

VERBS = ("/v1/decide", "/v1/outcomes", "/v1/events")
LAST = "/v1/forget"  # what it erases, the others could not be asked about any more
# Of a route's cases that are drawn; its edges are as many as there are, and are sent first.
SHARES = {"known": 0.6, "lawful": 0.1, "broken": 0.1, "raw": 0.2}
OTHER_CASES = 40  # at least so many are drawn for each route that is none of the three verbs
OTHERS_SHARE = 0.02  # of all cases, those of each such route
REFUSED = frozenset({401, 429})
NO_KEY = REFUSED | {403}
FLAT_MB, PATHS_MB = 20, 5  # growth of the worker's memory that is allowed
WARM = 0.1  # the share of the cases after which memory is first measured
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]
CUSTOMERS, PAST = 12, 30  # customers, and decisions of an earlier day, that cases refer to
FRESH = {"type": "string", "pattern": "^fuzz-[a-z0-9]{6,12}$"}  # an id, in a schema
out = Console(width=120)


@dataclass(frozen=True)
class Known:
    """The names that a request may use and that the server knows."""

    domain: Domain
    actions: Sequence[str]
    outcomes: Sequence[str]
    customers: Sequence[str]
    identifiers: Sequence[str]
    decisions: Mapping[str, str]
    """Of each earlier decision, its first action."""
    held: Sequence[str]
    """Earlier decisions that can be activated."""
    outcome_ids: Mapping[str, str]
    """Of some decisions, an outcome that can be taken back or revised."""
    moments: Sequence[str]


@dataclass
class Found:
    """Counts of cases by route, kind and status, and the answers that must not occur."""

    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def cases(self, path: str | None = None) -> int:
        return sum(n for (route, _, _), n in self.counts.items() if path in (None, route))

    def share(self, path: str, kind: str, status: int) -> float:
        """Of the cases of a route and kind whose key was good, those that got a status."""
        of_kind = sum(
            n
            for (route, one, got), n in self.counts.items()
            if (route, one) == (path, kind) and got not in NO_KEY
        )
        return self.counts[path, kind, status] / max(of_kind, 1)


@dataclass(frozen=True)
class Keys:
    """Keys of the server, by what their use must lead to."""

    good: str
    revoked: str
    narrow: Mapping[str, str]
    """Of each path, a key without its scope."""

    def of(self, number: int, path: str) -> tuple[str, frozenset[int]]:
        """Choose the key of a case, and the statuses that it must get; none: whatever it gets."""
        if number % 8 == 0:
            return "", REFUSED
        if number % 16 == 1:
            return self.revoked, REFUSED
        if number % 16 == 9:
            return self.narrow[path], frozenset({403})
        return self.good, frozenset()


def fuzz(
    server: Server,
    document: dict[str, Any],
    known: Known,
    cases: int,
    seed: int,
    keys: Keys | None = None,
) -> Found:
    """Send about so many cases to the three verbs and some to the other routes; check each answer.

    The same seed sends the same cases. A failure ends its kind of case, and is told with the
    smallest request that shows it.
    """
    base = f"http://127.0.0.1:{server.port}"
    before = _health(server)
    paths = [path for path, item in document["paths"].items() if "post" in item]
    paths.sort(key=lambda path: (path not in VERBS, path == LAST, path))
    found = Found()
    with requests.Session() as session:
        for path in paths:
            send = _Sender(session, found, path, keys)
            send.all("edges", _edges(document, path, base))
            drawn = max(OTHER_CASES, round(OTHERS_SHARE * cases))
            if path in VERBS:
                drawn = max(cases // len(VERBS) - found.cases(path), OTHER_CASES)
            for kind, strategy in _strategies(document, known, path, base).items():
                send.drawn(kind, strategy, round(drawn * SHARES[kind]), seed)
    if (after := _health(server)) != before:
        found.failures.append(f"/readyz was {before}, and is {after}")
    if "Traceback" in server.log.read_text():
        found.failures.append(f"The server's log has a traceback: {server.log.read_text()}")
    return found


def _health(server: Server) -> Any:
    status, answer = server.get("/readyz")
    return status, answer["status"], answer["degraded"]


def acquaint(server: Server, domain: Domain, customers: Sequence[str], now: datetime) -> Known:
    """Create events, decisions and outcomes on the server that the cases can refer to."""
    catalog = load_catalog(GROCERY.with_suffix(".actions.yaml"), domain)
    identifiers = [f"{name}:{number}" for name in domain.identifiers for number in (7, 77, 777)]
    moments = [(now - timedelta(hours=7 * back)).isoformat() for back in range(1, 40)]
    seen = [
        {
            "event_id": f"before-{number}",
            "type": "visit",
            "occurred_at": moments[number],
            "channel": "app",
            "customer_id": customer,
        }
        for number, customer in enumerate(customers)
    ]
    _asked(server, "/v1/events", {"events": seen})
    decisions, outcome_ids = {}, {}
    for number in range(PAST):
        name = f"earlier-{number}"
        body = {"customer_id": customers[number % len(customers)], "channel": "app"}
        answer = _asked(server, "/v1/decide", {**body, "decision_id": name})
        decisions[name] = answer["actions"][0]["action_id"]
        if number % 3 == 0:
            body = {"decision_id": name, "outcome": "accepted"}
            outcome_ids[name] = _asked(server, "/v1/outcomes", body)["outcome_id"]
    held = [f"held-{number}" for number in range(PAST // 3)]
    for number, name in enumerate(held):
        body = {"customer_id": customers[number % len(customers)], "channel": "app"}
        _asked(server, "/v1/decide", {**body, "decision_id": name, "activate": False})
    _asked(server, "/v1/decide", {"customer_id": "gone", "channel": "app"})
    _asked(server, "/v1/forget", {"customer_id": "gone"})
    # Before the first count of the journeys, every question about them is answered 503.
    server.wait_for(lambda: server.post("/v1/journeys", {"view": "overview"})[0] == 200, 90.0)
    return Known(
        domain,
        list(catalog.actions),
        list(catalog.outcomes),
        [*customers, "gone", "stranger"],
        identifiers,
        decisions,
        held,
        outcome_ids,
        moments,
    )


def _asked(server: Server, path: str, body: object) -> Any:
    status, answer = server.post(path, body)
    assert status == 200, answer
    return answer


# The cases -------------------------------------------------------------------------------------


def _strategies(
    document: dict[str, Any], known: Known, path: str, base: str
) -> dict[str, st.SearchStrategy[Any]]:
    """Make a strategy for each kind of case; a raw case has its own bytes and headers."""
    served, narrow = _loaded(document, base), _loaded(narrowed(document, known), base)
    good = narrow[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    bad = narrow[path]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE)
    anything = served[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    return {"known": good, "lawful": anything, "broken": bad, "raw": spoilt(good)}


def _edges(document: dict[str, Any], path: str, base: str) -> Iterator[Case]:
    served = _loaded(document, base)
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    yield from served.iter_coverage_cases(
        served[path]["POST"], generation_modes=modes, generation_config=served.config.generation
    )


def _loaded(document: dict[str, Any], base: str) -> Any:
    loaded = schemathesis.openapi.from_dict(document)
    loaded.config.update(base_url=base)
    return loaded


def narrowed(document: dict[str, Any], known: Known) -> dict[str, Any]:
    """Narrow the document to the names of one business, which the server knows."""
    narrow = deepcopy(document)
    schemas = narrow["components"]["schemas"]
    events = schemas["EventsRequest"]["properties"]["events"]
    events |= {"maxItems": 8, "items": _any_event(events["items"], known)}
    names = _names(known)
    for schema in [one for name, one in schemas.items() if name.endswith("Request")]:
        schema["properties"] |= {name: names[name] for name in names & schema["properties"].keys()}
    decide = schemas["DecideRequest"]
    decide["required"] = [*decide["required"], "context"]
    ids = [{"type": "null"}, FRESH, {"enum": list(known.decisions)}]
    decide["properties"]["decision_id"] = {"anyOf": ids}
    outcome = schemas["OutcomeRequest"]
    schemas["OutcomeRequest"] = {
        "anyOf": [
            outcome | {"properties": outcome["properties"] | _after(name, known) | change}
            for name in known.decisions
            for change in _changes(known.outcome_ids.get(name))
        ]
    }
    return narrow


def _names(known: Known) -> dict[str, Any]:
    """A JSON schema for each field name, the same in every request."""
    keys = [*known.customers, *known.identifiers]
    actions = {"type": "array", "items": {"enum": known.actions}, "maxItems": 4}
    page = {
        "type": "object",
        "properties": {"page": {"type": "string"}, "cart": {"type": "number"}},
    }
    return {
        "customer_id": {"enum": known.customers},
        "identifiers": {"type": "array", "items": {"enum": known.identifiers}, "maxItems": 3},
        "keys": {"type": "array", "items": {"enum": keys}, "minItems": 2, "maxItems": 2},
        "channel": {"enum": known.domain.channels},
        "decision_id": {"enum": [*known.held, *known.decisions]},
        "exclude": actions,
        "actions": {"anyOf": [{"type": "null"}, actions]},
        "context": page | {"required": ["page"]},
        "before": {"type": "null"},
    }


def _any_event(event: dict[str, Any], known: Known) -> dict[str, Any]:
    """An event of one of the kinds that the domain has."""
    names = {name: of for name, of in _names(known).items() if name in event["properties"]}
    names |= {"event_id": FRESH, "occurred_at": {"enum": known.moments}}
    kinds = []
    for name, kind in known.domain.events.items():
        properties = event["properties"] | names | _happening(name, kind)
        required = [*event["required"], *(["properties"] if _needs(kind) else [])]
        kinds.append(event | {"properties": properties, "required": required})
    return {"anyOf": kinds}


def _after(decision_id: str, known: Known) -> dict[str, Any]:
    """A JSON schema for an outcome of a decision."""
    return {
        "decision_id": {"const": decision_id},
        "action_id": {"enum": [None, known.decisions[decision_id]]},
        "outcome": {"enum": known.outcomes},
        "occurred_at": {"type": "null"},
        "outcome_id": {"anyOf": [{"type": "null"}, FRESH]},
        "shared_id": {"anyOf": [{"type": "null"}, FRESH]},
    }


def _changes(outcome_id: str | None) -> list[dict[str, Any]]:
    """Make an outcome, and one that changes an earlier outcome, if there is one."""
    nothing = {"retracts": {"type": "null"}, "revises": {"type": "null"}}
    if outcome_id is None:
        return [nothing]
    return [nothing, *(nothing | {name: {"const": outcome_id}} for name in nothing)]


def _happening(name: str, kind: EventType) -> dict[str, Any]:
    """An event of a kind, with the properties that the domain knows."""
    properties = {one: _value(known) for one, known in kind.properties.items()}
    content = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": {"const": name}, "properties": content | {"required": _needs(kind)}}


def _needs(kind: EventType) -> list[str]:
    return [name for name, known in kind.properties.items() if known.required]


def _value(known: Any) -> dict[str, Any]:
    if known.type == "category":
        return {"enum": list(known.values)}
    if known.type == "text":
        return {"type": "string", "maxLength": 40}
    bounds = {"minimum": known.min, "maximum": known.max}
    return {"type": "number", "minimum": -1e9, "maximum": 1e9} | {
        name: bound for name, bound in bounds.items() if bound is not None
    }


# Spoilt as bytes -------------------------------------------------------------------------------

TOKENS = [
    b"1e400",
    b"-1e400",
    b"NaN",
    b"-Infinity",
    b"9" * 4300,
    b"9" * 4301,
    b"-" + b"9" * 400,
    b"9223372036854775808",
    b"1e308",
    b"-0.0",
    b"5e-324",
    b"01",
    b"1.",
    b".5",
    b"+1",
    b"0x1F",
    b'"\\u0000"',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\uFFFF"',
    b'"\\x41"',
    b'"\x00"',
    b'"\xff"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    '"\u202e\u0301\'; --"'.encode(),
    b'""',
    b'" "',
    b'"' + b"x" * 300 + b'"',
    b'"' + b"x" * 20_000 + b'"',
    b"'single'",
    b"true",
    b"null",
    b"[]",
    b"{}",
    b"[[[]]]",
    b'{"": {"b": null}}',
    b'{"a": 1, "a": 2}',
    *(b"[" * depth + b"]" * depth for depth in (50, 120, 180, 195, 197, 198, 199, 200, 201, 5000)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (50, 180, 195, 197, 198, 199, 201)),
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59-14:00"',
    b'"2026-02-30T00:00:00Z"',
    b'"2026-11-22T24:00:00Z"',
    b'"2026-11-22T10:00:60Z"',
    b"1795341600",
    b"-1e15",
]
TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/vnd.bentoml+pickle",
    "application/octet-stream",
    "application/json;charset=utf-16",
    "APPLICATION/JSON",
    "application/json;;;",
    "application/json, text/plain",
    "json",
    "*/*",
    "",
]
HEADERS = [
    {"accept": "text/html"},
    {"content-encoding": "gzip"},
    {"expect": "100-continue"},
    {"x-forwarded-for": "\x80"},
    {"cookie": "a" * 4000},
    {"range": "bytes=0-1"},
    {"x-http-method-override": "DELETE"},
    {"traceparent": "00-zz-zz-zz"},
    {"host": "elsewhere"},
    {"bentoml-payload-meta": "{}"},
    {"args-number": "2"},
    {"if-match": "*"},
    {"authorization": "Bearer \xff"},
    {"transfer-encoding": "chunked"},
]
HERE = "@@here@@"


@dataclass(frozen=True)
class Spoilt:
    """A case, and the bytes and headers that are sent in its place."""

    case: Case
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@st.composite
def spoilt(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> Spoilt:
    """Spoil a good case in one place, in a way that JSON libraries would not write."""
    case = draw(cases)
    content = json.dumps(case.body).encode()
    way = draw(st.sampled_from(["value", "value", "value", "bytes", "twice", "headers"]))
    if not case.body and way in ("value", "twice"):
        way = "bytes"  # an empty request has no part to spoil
    if way == "value":
        return Spoilt(case, _replaced(case.body, draw))
    if way == "twice":
        name = draw(st.sampled_from(sorted(case.body)))
        again = draw(st.sampled_from(TOKENS))
        return Spoilt(case, content[:-1] + b', "%s": %s}' % (name.encode(), again))
    if way == "bytes":
        return Spoilt(case, _damaged(content, draw))
    headers = {"content-type": draw(st.sampled_from(TYPES))} if draw(st.booleans()) else {}
    return Spoilt(case, content, headers or draw(st.sampled_from(HEADERS)))


def _replaced(body: dict[str, Any], draw: st.DrawFn) -> bytes:
    """Replace one value at any depth, or one name, by bytes that are hard to parse."""
    copy = deepcopy(body)
    holder, place = draw(st.sampled_from(list(_places(copy))))
    token = draw(st.sampled_from(TOKENS))
    if isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
        holder[HERE] = holder.pop(place)
        token = token if token.startswith(b'"') else b'"%s"' % token.replace(b'"', b"'")
    else:
        holder[place] = HERE
    return json.dumps(copy).encode().replace(b'"%s"' % HERE.encode(), token)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inside:
        yield value, name
        if isinstance(one, dict | list):
            yield from _places(one)


def _damaged(content: bytes, draw: st.DrawFn) -> bytes:
    at = draw(st.integers(0, len(content)))
    ways: list[Callable[[], bytes]] = [
        lambda: content[:at],
        lambda: content[:at] + draw(st.binary(min_size=1, max_size=3)) + content[at:],
        lambda: content + content,
        lambda: b"[" + content + b"]",
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode().encode("utf-16"),
        lambda: gzip.compress(content, mtime=0),
        lambda: json.dumps(content.decode()).encode(),
        lambda: draw(st.sampled_from([b"", b" ", b"null", b"0", b"\x00", b"{}", b"[]"])),
        lambda: content[:-1] + b" " * (4 * 2**20 + 1) + b"}",
    ]
    return draw(st.sampled_from(ways))()


# Sending ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sender:
    """Sends the cases of a route, counts the answers and notes the failures."""

    session: requests.Session
    found: Found
    path: str
    keys: Keys | None
    sent: Iterator[int] = field(default_factory=count)

    def all(self, kind: str, cases: Iterator[Case]) -> None:
        for case in cases:
            try:
                self.one(kind, case)
            except FailureGroup as failure:
                self.found.failures.append(_told(self.path, kind, failure))

    def drawn(self, kind: str, strategy: st.SearchStrategy[Any], count: int, seed: int) -> None:
        @hypothesis.seed(seed)
        @settings(
            max_examples=max(count, 1),
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def send(case: Case | Spoilt) -> None:
            self.one(kind, case)

        try:
            send()
        except FailureGroup as failure:
            self.found.failures.append(_told(self.path, kind, failure))

    def one(self, kind: str, drawn: Case | Spoilt) -> None:
        case, more = (drawn, {}) if isinstance(drawn, Case) else (drawn.case, _instead(drawn))
        due: frozenset[int] = frozenset()
        if self.keys:
            key, due = self.keys.of(next(self.sent), self.path)
            # In the case of letters that schemathesis writes, whose own key it replaces.
            more["headers"] = {**more.get("headers", {}), "Authorization": f"Bearer {key}"}
        response = case.call(session=self.session, **more)
        self.found.counts[self.path, kind, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if self.keys and "Authorization" not in response.request.headers:
            due = REFUSED  # schemathesis has left it out, to see what happens
        if due and response.status_code not in due:
            told = f"{self.path}, {kind}: {response.status_code} instead of {sorted(due)}"
            self.found.failures.append(told)


def _instead(spoilt: Spoilt) -> dict[str, Any]:
    headers = {"content-type": "application/json", **spoilt.headers}
    if headers.pop("transfer-encoding", None):
        half = len(spoilt.content) // 2
        return {"data": iter([spoilt.content[:half], spoilt.content[half:]]), "headers": headers}
    return {"data": spoilt.content, "headers": headers}


def _told(path: str, kind: str, failure: FailureGroup) -> str:
    return f"{path}, {kind}: {failure}"


# Telling ---------------------------------------------------------------------------------------


def table(found: Found) -> Table:
    """The count of cases by route, kind and status, and the share that got 200."""
    statuses = sorted({status for _, _, status in found.counts})
    told = Table("route", "kind", "cases", *map(str, statuses), "share of 200")
    rows = sorted({(route, kind) for route, kind, _ in found.counts})
    verbs = [row for row in rows if row[0] in VERBS]
    for name, of in [*((" ".join(row), [row]) for row in rows), ("verbs", verbs), ("all", rows)]:
        counts = [sum(found.counts[*row, status] for row in of) for status in statuses]
        share = sum(found.counts[*row, 200] for row in of) / sum(counts)
        route, _, kind = name.partition(" ")
        told.add_row(route, kind, str(sum(counts)), *(str(n or "") for n in counts), f"{share:.0%}")
    return told


def _learned(server: Server, home: Path) -> bool:
    """Tell whether the learner has learned every outcome that was taken."""
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    waiting = sa.select(sa.func.count()).where(~tables.outcomes.c.learned)
    try:
        return bool(server.wait_for(lambda: not ledger.read(lambda c: c.execute(waiting).scalar())))
    except AssertionError:
        return False
    finally:
        ledger.close()


def make_keys(server: Server, home: Path) -> Keys:
    """Add the keys of a run to the server's ledger, and wait until the server knows them."""
    now = datetime.now(UTC)
    with ledger_of(home) as ledger:
        revoked = add_key(ledger, "fuzz-revoked", list(KeyScope), now)
        revoke_key(ledger, "fuzz-revoked", now)
        only = {scope: add_key(ledger, f"fuzz-{scope}", [scope], now) for scope in KeyScope}
        good = add_key(ledger, "fuzz", list(KeyScope), now)  # known to the server: so are all
    scopes = scopes_of(NextBestAction)
    narrow = {
        path: only[next(scope for scope in KeyScope if scope != need)]
        for path, need in scopes.items()
    }
    stranger = server.again()
    server.headers = bearer(good)
    server.wait_for(lambda: stranger.get("/docs.json")[0] == 401)
    server.wait_for(lambda: server.get("/docs.json")[0] == 200)
    return Keys(good, revoked, narrow)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the routes, the three verbs most.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--paths", type=int, default=20_000, help="made-up paths")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    home_settings = load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"  # a copy: fuzzing must not fill the real ledger
        shutil.copytree(home_settings.home, home)
        env = {
            "NBA_MLFLOW_URI": home_settings.mlflow_uri,
            "NBA_MLFLOW_ARTIFACTS": str(home_settings.mlflow_artifacts),
        }
        customers = [f"h{number}" for number in range(1, CUSTOMERS + 1)]
        with running(home, env) as server:
            known = acquaint(server, load_domain(GROCERY), customers, datetime.now(UTC))
            document = server.get("/docs.json")[1]
            keys = make_keys(server, home)
            before = fuzz(server, document, known, round(WARM * asked.cases), asked.seed + 1, keys)
            at_first = memory_mb(server)
            found = fuzz(server, document, known, asked.cases, asked.seed, keys)
            found.failures += before.failures
            grown = memory_mb(server) - at_first
            found.failures += garbage(server)
            if not _learned(server, home):
                found.failures.append("The learner does not get on with what was sent.")
            paths = make_up_paths(server, asked.paths, keys.good, asked.seed)
    if abs(grown) > FLAT_MB:
        found.failures.append(f"The worker has grown by {grown:.1f} MB")
    if paths.grown_mb > PATHS_MB:
        found.failures.append(f"Made-up paths have added {paths.grown_mb:.1f} MB")
    out.print(table(found))
    out.print(f"Memory of the worker: {grown:+.1f} MB over the cases. {paths}")
    for failure in found.failures:
        out.print(failure, markup=False)
    verdict = "FAIL" if found.failures else "PASS"
    out.print(
        f"{verdict}: {found.cases():,} cases, {len(found.failures)} failures; seed {asked.seed}"
    )
    return len(found.failures)


if __name__ == "__main__":
    sys.exit(main())
