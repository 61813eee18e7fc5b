"""The unified view over HTTP: one customer's whole story, whoever they turned out to be."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.conftest import NOW
from tests.features.live import stored
from tests.server import Server
from tests.serving.policies.test_arms_http import somebody
from tests.serving.server.test_events import event, send
from tests.serving.test_service import decide

pytestmark = pytest.mark.server
SPANS = ("ever", "1d", "7d", "30d")


@pytest.fixture(scope="module")
def server(first_day_server: Server) -> Server:
    return first_day_server


def ago(**how_long: float) -> str:
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat()


def told(customer_id: str, kind: str, at: str | None = None, **more: Any) -> dict[str, Any]:
    """An event of some type."""
    return event(uuid4().hex, customer_id, type=kind, occurred_at=at or ago(seconds=1), **more)


def scored(customer_id: str, measure: str, score: float, at: str) -> dict[str, Any]:
    return told(customer_id, measure, at, properties={"score": score})


def view(server: Server, **who: Any) -> dict[str, Any]:
    status, answer = server.post("/v1/customer", who)
    assert status == 200, answer
    return answer


def pages(server: Server, limit: int, **who: Any) -> list[list[dict[str, Any]]]:
    """The whole timeline, page after page."""
    found, before = [], None
    while True:
        answer = view(server, limit=limit, before=before, **who)
        found.append(answer["timeline"])
        before = answer["next"]
        if before is None:
            return found
        assert len(found) < 1000, "the pages do not come to an end"


def link(server: Server, left: str, right: str, cause: str, undo: bool = False) -> dict[str, Any]:
    path = "/v1/unlink" if undo else "/v1/link"
    status, answer = server.post(path, {"keys": [left, right], "cause": cause})
    assert status == 200, answer
    return answer


def shown_to(server: Server, customer_id: str, count: int) -> dict[str, dict[str, int]]:
    """Decide until something was shown so often; how often on each channel, of each action."""
    counts: dict[str, dict[str, int]] = {"channels": {}, "actions": {}}
    shown = 0
    for number in range(100):
        channel = ("app", "email")[number % 2]
        [action] = decide(server, customer_id=customer_id, channel=channel)["actions"]
        if action["action_id"] == NO_ACTION:
            continue
        shown += 1
        for of, name in (("channels", channel), ("actions", action["action_id"])):
            counts[of][name] = counts[of].get(name, 0) + 1
        if shown == count:
            return counts
    raise AssertionError("hardly anything is ever shown")


def ever(contacts: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The counters, each of whose spans has to say the same: all was shown just now."""
    for kind in ("channels", "actions"):
        for spans in contacts[kind].values():
            assert tuple(spans) == SPANS and len(set(spans.values())) == 1
    return {
        kind: {name: spans["ever"] for name, spans in contacts[kind].items()}
        for kind in ("channels", "actions")
    }


def added(left: dict[str, dict[str, int]], right: dict[str, dict[str, int]]) -> Any:
    return {
        kind: {
            name: left[kind].get(name, 0) + right[kind].get(name, 0)
            for name in {*left[kind], *right[kind]}
        }
        for kind in left
    }


@pytest.fixture(scope="module")
def storied(server: Server) -> list[tuple[str, str]]:
    """Somebody with a story of 160 entries: kind and id of each.

    Forty of the events happened at one and the same instant, so a page ends among them.
    """
    at = datetime.now(UTC) - timedelta(days=20)
    same = at + timedelta(days=3)
    events = [
        event(
            f"story-{number:03}",
            "storied",
            occurred_at=(at + timedelta(hours=number) if number >= 40 else same).isoformat(),
        )
        for number in range(120)
    ]
    send(server, *events)
    entries = [("event", one["event_id"]) for one in events]
    for number in range(20):
        answer = decide(server, customer_id="storied", decision_id=f"story-{number}")
        entries.append(("decision", answer["decision_id"]))
        body = {
            "decision_id": answer["decision_id"],
            "outcome": "clicked",
            "outcome_id": f"out-{number}",
            "action_id": answer["actions"][0]["action_id"],
        }
        status, outcome = server.post("/v1/outcomes", body)
        assert status == 200, outcome
        entries.append(("outcome", outcome["outcome_id"]))
    return entries


@pytest.mark.parametrize("limit", [7, 50, 200])
def test_the_pages_of_a_timeline_hold_each_entry_once_in_order(server, storied, limit):
    found = pages(server, limit, customer_id="storied")
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    entries = [entry for page in found for entry in page]
    names = [(entry["kind"], entry["id"]) for entry in entries]
    assert len(names) == len(storied) and set(names) == set(storied)
    places = [(entry["at"], entry["kind"], entry["id"]) for entry in entries]
    assert places == sorted(places, reverse=True)


def test_what_happens_between_two_pages_moves_no_entry(server, storied):
    first = view(server, customer_id="storied", limit=30)
    send(server, event("between-pages", "storied"))
    second = view(server, customer_id="storied", limit=30, before=first["next"])
    names = [entry["id"] for page in (first, second) for entry in page["timeline"]]
    assert len(names) == len(set(names)) == 60 and "between-pages" not in names
    storied.append(("event", "between-pages"))


def test_entries_say_what_they_were(server, storied):
    entries = [entry for page in pages(server, 50, customer_id="storied") for entry in page]
    by_kind = {entry["kind"]: entry["content"] for entry in entries}
    assert by_kind["event"] == {
        "type": "visit",
        "channel": "app",
        "key": "storied",
        "properties": {},
        "journey": "purchase",
        "stage": "discovery",
        "touchpoint": "internal",
        "signal": "passive",
    }
    assert (by_kind["decision"]["channel"], by_kind["decision"]["key"]) == ("app", "storied")
    assert by_kind["outcome"]["outcome"] == "clicked"


@pytest.mark.parametrize(
    "before", ["yesterday", "5:event:", "5", ":event:x", "9" * 30 + ":event:x"]
)
def test_a_place_that_was_never_answered_is_refused(server, before):
    status, answer = server.post("/v1/customer", {"customer_id": "storied", "before": before})
    assert (status, list(answer)) == (400, ["error"])
    assert f"before is {before!r}" in answer["error"] and "'next'" in answer["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "customer_id and identifiers are both missing"),
        ({"customer_id": "x", "limit": 0}, "limit: "),
        ({"customer_id": "x", "limit": 201}, "limit: "),
        ({"customer_id": "x", "page": 2}, "page is not a field"),
        ({"identifiers": ["passport:1"]}, "one of the namespaces card, email"),
    ],
)
def test_a_request_that_cannot_be_used_is_told_why(server, body, words):
    status, answer = server.post("/v1/customer", body)
    assert (status, list(answer)) == (400, ["error"]) and words in answer["error"]


def test_somebody_nobody_knows_is_no_error(server):
    answer = view(server, customer_id="who-is-this")
    assert (answer["customer_id"], answer["known"]) == ("who-is-this", False)
    assert answer["identifiers"] == ["who-is-this"] and answer["next"] is None
    empty = ("links", "journeys", "feedback", "consents", "timeline")
    assert [answer[name] for name in empty] == [[]] * len(empty)
    assert answer["contacts"] == {"last_at": None, "channels": {}, "actions": {}}
    assert answer["predictions"] == {"churn": None, "intent": None, "stage": None}


def test_a_decision_does_not_make_a_stranger_known_and_an_event_does(server):
    for _ in range(2):
        assert decide(server, customer_id="asked-for-twice")["known"] is False
    answer = view(server, customer_id="asked-for-twice")
    assert answer["known"] is False and len(answer["timeline"]) == 2
    send(server, told("asked-for-twice", "visit"))
    assert decide(server, customer_id="asked-for-twice")["known"] is True
    assert view(server, customer_id="asked-for-twice", limit=1)["known"] is True


def test_a_merge_and_its_undoing_are_shown_with_cause_and_restate_story_and_counters(server):
    send(server, told("left", "visit"), told("left", "visit"), told("right", "call"))
    left, right = shown_to(server, "left", 5), shown_to(server, "right", 4)
    alone = view(server, customer_id="left")
    assert link(server, "left", "right", "same loyalty card")["customers"] == ["left"]

    both = view(server, customer_id="right", limit=200)
    assert both["customer_id"] == "left" and set(both["identifiers"]) == {"left", "right"}
    [how] = both["links"]
    assert {how["left"], how["right"]} == {"left", "right"}
    assert (how["cause"], how["undone_at"]) == ("same loyalty card", None)
    kinds = [entry["content"]["type"] for entry in both["timeline"] if entry["kind"] == "event"]
    assert sorted(kinds) == ["call", "visit", "visit"]
    assert ever(both["contacts"]) == added(left, right)
    assert {one["journey"] for one in both["journeys"]} == {"purchase", "support"}

    link(server, "left", "right", "two neighbours", undo=True)
    apart = {name: view(server, customer_id=name, limit=200) for name in ("left", "right")}
    for name, counted in (("left", left), ("right", right)):
        assert apart[name]["customer_id"] == name
        [how] = apart[name]["links"]
        assert how["cause"] == "same loyalty card" and how["undone_cause"] == "two neighbours"
        assert how["linked_at"] <= how["undone_at"]
        assert ever(apart[name]["contacts"]) == counted
    assert apart["left"]["timeline"][: len(alone["timeline"])] == alone["timeline"]
    assert apart["left"]["journeys"] == alone["journeys"]
    assert [one["journey"] for one in apart["right"]["journeys"]] == ["support"]


def test_a_link_that_an_event_told_of_names_the_event(server):
    one = event("told-of-both", "named-here", identifiers=["cookie:told"])
    send(server, one)
    answer = view(server, identifiers=["cookie:told"])
    assert answer["customer_id"] == "named-here"
    assert [how["cause"] for how in answer["links"]] == ["event told-of-both"]


def test_open_journeys_are_shown_with_stage_age_and_whether_they_are_a_problem(server):
    opened, looked = ago(days=2), ago(hours=3)
    send(
        server,
        told("mid-way", "complaint_opened", opened),
        told("mid-way", "complaint_opened", ago(days=1)),
        told("mid-way", "visit", ago(hours=5)),
        told("mid-way", "page_view", looked),
        told("mid-way", "call", ago(days=9)),  # lapsed: support is forgotten after a week
    )
    journeys = {one["journey"]: one for one in view(server, customer_id="mid-way")["journeys"]}
    assert set(journeys) == {"complaint", "purchase"}
    complaint, purchase = journeys["complaint"], journeys["purchase"]
    assert (complaint["problem"], complaint["open"], complaint["stage"]) == (True, 2, "use")
    assert datetime.fromisoformat(complaint["opened_at"]) == datetime.fromisoformat(opened)
    assert (purchase["problem"], purchase["stage"]) == (False, "interest")
    assert datetime.fromisoformat(purchase["stage_since"]) == datetime.fromisoformat(looked)

    send(server, told("mid-way", "complaint_closed"), told("mid-way", "complaint_closed"))
    send(server, told("mid-way", "basket", properties={"amount_usd": 5, "mission": "fresh"}))
    assert view(server, customer_id="mid-way")["journeys"] == []


def test_feedback_is_that_of_the_customer_alone(server):
    answers = [(9, 5), (3, 2), (10, 5)]
    for days, (nps, csat) in enumerate(answers, start=1):
        send(server, scored("critic", "nps", nps, ago(days=days)))
        send(server, scored("critic", "csat", csat, ago(days=days, hours=1)))
    send(server, scored("somebody-else", "nps", 0, ago(days=1)))
    found = {one["measure"]: one for one in view(server, customer_id="critic")["feedback"]}
    assert (found["nps"]["answers"], found["csat"]["answers"]) == (3, 3)
    assert found["nps"]["value"] == pytest.approx(100 * (2 - 1) / 3)
    assert found["csat"]["value"] == pytest.approx(100 * 2 / 3)
    for one in found.values():
        assert one["low"] <= one["value"] <= one["high"]


def consent(customer_id: str, given: bool, at: str, channel: str | None = None) -> dict[str, Any]:
    about = {"purpose": "marketing"} | ({"for_channel": channel} if channel else {})
    kind = "consent_given" if given else "consent_withdrawn"
    return told(customer_id, kind, at, properties=about)


@pytest.mark.parametrize("purpose", ["marketing", "Marketing", "marketing ", "newsletter"])
def test_a_withdrawal_of_consent_has_its_effect_or_is_refused(server, purpose):
    customer_id = somebody("policy")
    said = told(customer_id, "consent_withdrawn", properties={"purpose": purpose})
    status, answer = server.post("/v1/events", {"events": [said]})
    if purpose == "newsletter":
        assert (status, answer["accepted"]) == (400, 0)
        [rejected] = answer["rejected"]
        assert rejected["field"] == "properties.purpose"
        assert "Expected a purpose of the catalogue: marketing." in rejected["error"]
        return
    assert (status, answer["accepted"]) == (200, 1)
    decided = decide(server, customer_id=customer_id, channel=" App", explain=True)
    rules = {one["action_id"]: one["rule"] for one in decided["removed"]}
    assert rules["coupons_personal"] == "contact_policy.consent"


def test_of_consents_the_last_word_counts_whatever_arrives_last(server):
    first, second, third = ago(days=3), ago(days=2), ago(days=1)
    send(server, consent("careful", False, second))
    send(server, consent("careful", True, third, "email"))
    send(server, consent("careful", True, first))  # late: it was said before the withdrawal
    consents = view(server, customer_id="careful")["consents"]
    found = {(one["purpose"], one["channel"]): one for one in consents}
    assert {key: one["given"] for key, one in found.items()} == {
        ("marketing", None): False,
        ("marketing", "email"): True,
    }
    since = found["marketing", None]["since"]
    assert datetime.fromisoformat(since) == datetime.fromisoformat(second)


def test_contacts_are_counted_when_something_was_shown(server):
    counts = shown_to(server, "contacted", 6)
    answer = view(server, customer_id="contacted", limit=200)
    assert ever(answer["contacts"]) == counts
    shown = [
        entry["at"]
        for entry in answer["timeline"]
        if entry["kind"] == "decision" and entry["content"]["actions"] != [NO_ACTION]
    ]
    assert len(shown) == 6
    assert datetime.fromisoformat(answer["contacts"]["last_at"]) == datetime.fromisoformat(shown[0])


@pytest.mark.parametrize("key", ["cookie:undefined", "email:null", "cookie:[object_Object]"])
def test_a_placeholder_merges_nobody_and_is_refused_by_field(server, key):
    both = [uuid4().hex, uuid4().hex]
    for who in both:
        wrong, right = told(who, "visit", identifiers=[key]), told(who, "visit")
        [refused] = send(server, wrong, right)["rejected"]
        assert (refused["index"], refused["field"]) == (0, "identifiers")
        assert f"{key!r}, a placeholder that names nobody. Expected a key" in refused["error"]
    assert [view(server, customer_id=who)["customer_id"] for who in both] == both
    assert not view(server, customer_id=both[0])["links"]


@pytest.mark.parametrize("name", ["undefined", "[object_Object]", "0", "NaN"])
def test_a_placeholder_is_no_customer_id_of_any_request(server, name):
    [refused] = send(server, told(name, "visit"), told(uuid4().hex, "visit"))["rejected"]
    assert refused["field"] == "customer_id"
    who = {"customer_id": name}
    for path, field, body in (
        ("/v1/decide", "customer_id", who | {"channel": "app"}),
        ("/v1/customer", "customer_id", who),
        ("/v1/forget", "customer_id", who),
        ("/v1/link", "keys", {"keys": ["h1", name], "cause": "told an agent"}),
    ):
        status, answer = server.post(path, body)
        assert status == 400, answer
        assert answer["error"].startswith(f"{field} has {name!r}, a placeholder that names nobody.")


def test_what_a_placeholder_was_stored_under_before_is_shown_and_erased(server):
    key = "cookie:unset"
    row = stored("placed", key, NOW, type="visit")
    ledger = Ledger(f"sqlite:///{server.log.parent / 'ledger.db'}")
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, [row]))
    ledger.close()
    who = {"identifiers": [key]}
    assert [entry["id"] for entry in view(server, **who)["timeline"]] == ["placed"]
    for path, body in (
        ("/v1/decide", who | {"channel": "app"}),
        ("/v1/link", {"keys": [key, "h1"], "cause": "told an agent"}),
    ):
        assert server.post(path, body)[0] == 400
    assert server.post("/v1/forget", who)[0] == 200
    assert server.post("/v1/customer", who)[0] == server.post("/v1/forget", who)[0] == 410


def test_an_address_in_capitals_with_blanks_or_decomposed_is_one_customer(server):
    name, who = uuid4().hex, uuid4().hex
    address = f"jürgen.{name}@münchen.example"
    send(server, told(who, "visit", identifiers=[f"email:{address}"]))
    decomposed = unicodedata.normalize("NFD", address)
    for spelled in (f"  {address.upper()} ", decomposed, f"{decomposed}\u200b", f"\ufeff{address}"):
        assert view(server, identifiers=[f"email:{spelled}"])["customer_id"] == who
        send(server, told(who, "visit", identifiers=[f"email:{spelled}"]))
    assert view(server, customer_id=f" {who} ")["identifiers"] == [who, f"email:{address}"]


@pytest.mark.parametrize(
    "before", ["--5:event:x", "²:event:x", "999999999999999999:event:x", "-9e9:event:x", ":event:x"]
)
def test_a_page_behind_no_item_is_refused_with_a_sentence(server, before):
    status, answer = server.post("/v1/customer", {"customer_id": "h1", "before": before})
    assert status == 400
    assert answer["error"].startswith(f"before is '{before}'. Expected what an earlier answer gave")
