"""A customer's story over HTTP: what may be said to them, and when we had better be silent.

The grocer's own catalogue for the way through a complaint; a shop of our own, whose customers
belong to companies and live all around the world, for the rest.
"""

from __future__ import annotations

import copy
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, time
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from features.business.domain import load_domain
from features.settings import GROCERY, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from tests.conftest import SHOP, Built
from tests.server import Server, running
from tests.serving.server.test_events import event, send
from tests.serving.test_service import decide

pytestmark = pytest.mark.server
MANY = 12
NUMBERS = count()
NIGHT, MORNING = time(21), time(8)

CATALOG = {
    "clock": {"zone": "UTC", "attribute": "zone"},
    "outcomes": {
        "clicked": {"acceptance": None, "reaction": True},
        "accepted": {"acceptance": 1},
        "rejected": {"acceptance": 0},
    },
    "purposes": {"marketing": {"unless_said": "given"}},
    "groups": {
        "offers": {"kind": "promotion", "purpose": "marketing"},
        "help": {"kind": "service"},
        "tips": {"kind": "other"},
    },
    "contact_policy": {
        "outbound": ["email", "call_centre"],
        "cool_downs": [
            {"after": ["rejected"], "days": 30},
            {"after_showings": 3, "days": 7, "groups": ["tips"], "each": ["group"]},
        ],
        "quiet_hours": [{"from": "21:00", "until": "08:00", "direction": "outbound"}],
    },
    "arms": {"random": 0, "nobody": 0},
    "context": {"name": {"type": "text"}},
    "actions": {
        name: {
            "issue": "serve",
            "group": group,
            "value": 100,
            "cost": 0,
            "prior": {"acceptance": 0.5},
            "attribution_days": 7,
            "treatments": {channel: {"title": name} for channel in ("app", "web", "email")},
        }
        for name, group in {
            "voucher": "offers",
            "bundle": "offers",
            "call_back": "help",
            "hurry": "help",
            "tip": "tips",
        }.items()
    },
}
CATALOG["actions"]["tip"]["prior"]["where"] = [{"when": "context_name == 'Fan'", "acceptance": 0.9}]
CATALOG["actions"]["hurry"]["eligibility"] = ["promise_solved_hours_left < 24"]
CATALOG["actions"]["call_back"]["treatments"]["web"] = {
    "html": True,
    "title": "<b>Dear {{ context_name or 'customer' }}</b>",
}
OFFERS = {"voucher", "bundle"}


@pytest.fixture(scope="module")
def grocer(first_day_server: Server) -> Server:
    return first_day_server


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def store(shop: Built, store_folder: Path) -> Iterator[Server]:
    """The shop, with a catalogue in which nearly everything is always worth showing."""
    folder = store_folder
    shutil.copytree(shop.home, folder / "home")
    (folder / "actions.yaml").write_text(yaml.safe_dump(CATALOG))
    env = {**shop.env, "NBA_HOME": str(folder / "home")}
    with running(folder / "home", {**env, "NBA_ACTIONS": str(folder / "actions.yaml")}) as started:
        yield started


def promotions() -> tuple[set[str], list[str]]:
    """The grocer's promotional actions, and all of its channels."""
    domain = load_domain(GROCERY)
    catalog = load_catalog(actions_beside(GROCERY), domain)
    kinds = {name: catalog.kind_of(action.group) for name, action in catalog.actions.items()}
    return {name for name, kind in kinds.items() if kind == "promotion"}, list(domain.channels)


def offered(server: Server, channel: str = "app", **request: Any) -> set[str]:
    """All that many decisions offer."""
    asked = {"channel": channel, "slots": 3, **request}
    answers = [decide(server, decision_id=f"offered-{next(NUMBERS)}", **asked) for _ in range(MANY)]
    return {one["action_id"] for answer in answers for one in answer["actions"]} - {"no_action"}


def removed(server: Server, action: str, channel: str = "app", **request: Any) -> tuple[str, str]:
    """The rule that keeps an action back, and its reason."""
    asked = {"channel": channel, "explain": True, "activate": False, **request}
    found = [one for one in decide(server, **asked)["removed"] if one["action_id"] == action]
    return (found[0]["rule"], found[0]["reason"]) if found else ("", "")


def happened(server: Server, kind: str, customer_id: str | None = None, **more: Any) -> None:
    name = f"{kind}-{next(NUMBERS)}"
    assert send(server, event(name, customer_id, type=kind, **more))["accepted"] == 1


def shown(server: Server, action: str, customer_id: str, **request: Any) -> dict[str, Any]:
    """A decision that shows an action; nothing at all is drawn now and then."""
    for _ in range(MANY):
        answer = decide(server, customer_id=customer_id, actions=[action], **request)
        if answer["actions"][0]["action_id"] == action:
            return answer
    raise AssertionError(
        f"{action} is not shown: {removed(server, action, customer_id=customer_id)}"
    )


def outcome(server: Server, decision: dict[str, Any], said: str, **more: Any) -> dict[str, Any]:
    body = {"decision_id": decision["decision_id"], "outcome": said, **more}
    status, answer = server.post("/v1/outcomes", body)
    assert status == 200, answer
    return answer


def test_nothing_is_promoted_from_complaint_to_solution(grocer):
    promoted, channels = promotions()
    happened(grocer, "visit", "mia")
    happened(grocer, "page_view", "mia", properties={"page": "offers"})
    assert offered(grocer, customer_id="mia") & promoted
    waiting = decide(
        grocer, customer_id="mia", actions=["coupons_personal"], activate=False, decision_id="waits"
    )
    assert waiting["actions"][0]["action_id"] == "coupons_personal"

    happened(grocer, "complaint_opened", "mia", identifiers=["email:mia@example.org"])
    for after in ("complaint", "call"):
        if after == "call":
            happened(grocer, "call", "mia", channel="call_centre", properties={"minutes": 12})
        meanwhile = {channel: offered(grocer, channel, customer_id="mia") for channel in channels}
        assert {channel: some & promoted for channel, some in meanwhile.items()} == {
            channel: set() for channel in channels
        }
        assert "make_it_right" in meanwhile["app"] & meanwhile["web"]
        rule, reason = removed(grocer, "fresh_box", customer_id="mia")
        assert rule == "contact_policy.suspension" and "the customer has 1 open problem" in reason
    assert not offered(grocer, identifiers=["email:mia@example.org"]) & promoted
    # What was decided before the complaint is not shown after it.
    _, answer = grocer.post("/v1/activate", {"decision_id": "waits"})
    assert answer["activated"] == []
    assert [one["rule"] for one in answer["removed"]] == ["contact_policy.suspension"]

    happened(grocer, "complaint_closed", "mia")
    again = offered(grocer, customer_id="mia")
    assert again & promoted and "make_it_right" not in again
    happened(grocer, "page_view", "mia")
    assert offered(grocer, "web", customer_id="mia") & promoted


def renamed(online_store: Path, old: str, new: str) -> None:
    with closing(sqlite3.connect(online_store)) as opened:
        opened.execute(f"ALTER TABLE next_best_action_{old} RENAME TO next_best_action_{new}")


def test_while_the_feature_store_is_down_nobody_with_a_complaint_gets_a_promotion(shop, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(shop.home, home)
    (tmp_path / "actions.yaml").write_text(yaml.safe_dump(CATALOG))
    env = {**shop.env, "NBA_HOME": str(home), "NBA_ACTIONS": str(tmp_path / "actions.yaml")}
    env |= {"NBA_MODELS_EVERY_S": "5", "NBA_LEARNER": "false"}
    channels, online_store = ("app", "web", "email"), home / "feast" / "online.db"
    with running(home, env) as own:

        def all_offered(*names: str) -> set[str]:
            return {
                one
                for name in names
                for channel in channels
                for one in offered(own, channel, customer_id=name)
            }

        happened(own, "complaint_opened", "ann")
        happened(own, "visit", "cleo")
        assert not all_offered("ann") & OFFERS and all_offered("cleo") & OFFERS
        waiting = decide(own, customer_id="cleo", actions=["voucher"], activate=False)

        renamed(online_store, "customer_journey", "gone")
        assert not all_offered("ann", "cleo", "nobody") & OFFERS
        assert "call_back" in offered(own, "app", customer_id="ann")
        assert offered(own, "email", customer_id="ann") == set()
        answer = decide(own, customer_id="ann", explain=True)
        [problem] = [text for text in answer["degraded"] if text.startswith("features: ")]
        assert "the online store" in problem and not answer["known"]
        rules = {one["action_id"]: one["rule"] for one in answer["removed"]}
        assert rules["voucher"] == "contact_policy.suspension.features_unknown"
        assert problem in own.get("/readyz")[1]["degraded"]
        assert "nba_features_unknown_total" in own.get("/metrics")[1]
        _, shown_now = own.post("/v1/activate", {"decision_id": waiting["decision_id"]})
        assert shown_now["activated"] == []

        renamed(online_store, "gone", "customer_journey")
        asked = (decide(own, customer_id="cleo") for _ in range(10_000))
        back = next(answer for answer in asked if answer["known"])
        assert not any(text.startswith("features: ") for text in back["degraded"])
        assert not all_offered("ann") & OFFERS and all_offered("cleo") & OFFERS


def test_two_complaints_are_over_when_both_are(grocer):
    promoted, _ = promotions()
    happened(grocer, "complaint_opened", "two")
    happened(grocer, "complaint_opened", "two")
    happened(grocer, "complaint_closed", "two")
    assert not offered(grocer, customer_id="two") & promoted
    happened(grocer, "complaint_closed", "two")
    assert offered(grocer, customer_id="two") & promoted


def test_a_complaint_under_a_cookie_is_that_of_whom_it_turns_out_to_be(store):
    happened(store, "visit", "dan")
    happened(store, "complaint_opened", identifiers=["cookie:d1"])
    assert offered(store, customer_id="dan") & OFFERS
    body = {"keys": ["dan", "cookie:d1"], "cause": "signed in"}
    assert store.post("/v1/link", body)[1]["changed"]
    meanwhile = offered(store, customer_id="dan")
    assert "call_back" in meanwhile and not meanwhile & OFFERS
    assert store.post("/v1/unlink", {**body, "cause": "a shared computer"})[1]["changed"]
    assert offered(store, customer_id="dan") & OFFERS


def test_a_promise_that_is_soon_due_is_seen_by_the_next_decision(store):
    asked = {"customer_id": "ida", "actions": ["hurry"], "activate": False, "explain": True}
    rule, reason = removed(store, "hurry", customer_id="ida")
    assert rule == "eligibility" and "promise_solved_hours_left < 24" in reason
    happened(store, "complaint_opened", "ida")
    answer = decide(store, **asked)
    assert not any(one["action_id"] == "hurry" for one in answer["removed"])
    assert "hurry" in offered(store, customer_id="ida", actions=["hurry"])
    happened(store, "complaint_closed", "ida")
    assert removed(store, "hurry", customer_id="ida")[0] == "eligibility"


def test_a_colleague_is_spared_too_and_another_company_is_not(store):
    happened(store, "complaint_opened", "ann")
    assert "call_back" in offered(store, customer_id="bob")
    for channel in ("app", "web", "email"):
        assert not offered(store, channel, customer_id="bob") & OFFERS
    rule, reason = removed(store, "voucher", customer_id="bob")
    assert rule == "contact_policy.suspension"
    assert "somebody of the account has 1 open problem" in reason
    assert offered(store, customer_id="cleo") & OFFERS
    happened(store, "complaint_closed", "ann")
    assert offered(store, customer_id="bob") & OFFERS


def test_consent_is_withdrawn_and_given_on_one_channel(store):
    def say(word: str, channel: str | None) -> None:
        about = {"purpose": "marketing"} | ({"for_channel": channel} if channel else {})
        happened(store, f"consent_{word}", "eva", properties=about)

    def promoted() -> dict[str, bool]:
        return {
            channel: bool(offered(store, channel, customer_id="eva") & OFFERS)
            for channel in ("app", "web")
        }

    assert promoted() == {"app": True, "web": True}
    say("withdrawn", "app")
    assert promoted() == {"app": False, "web": True}
    rule, reason = removed(store, "voucher", customer_id="eva")
    assert rule == "contact_policy.consent" and "no consent for marketing on app" in reason
    assert "call_back" in offered(store, customer_id="eva")
    say("given", "app")
    assert promoted() == {"app": True, "web": True}
    say("withdrawn", None)
    assert promoted() == {"app": False, "web": False}
    say("given", "app")
    assert promoted() == {"app": True, "web": False}


def test_what_was_rejected_rests_until_the_no_is_taken_back(store):
    decision = shown(store, "voucher", "fay")
    no = outcome(store, decision, "rejected")
    assert "voucher" not in offered(store, customer_id="fay")
    assert "bundle" in offered(store, "web", customer_id="fay")
    rule, reason = removed(store, "voucher", customer_id="fay")
    assert rule == "contact_policy.cool_downs.0" and "rests 30 days after rejected" in reason
    assert "voucher" in offered(store, customer_id="gil")
    outcome(store, decision, "rejected", retracts=no["outcome_id"])
    assert "voucher" in offered(store, customer_id="fay")


@pytest.mark.parametrize("reaction", ["clicked", "accepted"])
def test_a_reaction_ends_a_row_of_showings_in_vain(store, reaction):
    customer = f"{reaction}-by-hal"
    for _ in range(2):
        shown(store, "tip", customer)
    outcome(store, shown(store, "tip", customer), reaction)
    for _ in range(3):  # the row begins again
        assert removed(store, "tip", customer_id=customer)[0] == ""
        shown(store, "tip", customer)
    rule, reason = removed(store, "tip", customer_id=customer)
    assert rule == "contact_policy.cool_downs.1" and "7 days after 3 showings in vain" in reason
    assert "tip" not in offered(store, customer_id=customer)


def test_it_is_quiet_where_it_is_night_for_the_customer(store):
    """At any hour of ours it is night in some of the zones, and day in others."""
    told: dict[bool, list[str]] = {True: [], False: []}
    for zone in load_domain(SHOP / "domain.yaml").attributes["zone"].values:
        before, customer = datetime.now(UTC), zone.split("/")[1].lower()
        rule, reason = removed(store, "call_back", "email", customer_id=customer)
        clocks = [at.astimezone(ZoneInfo(zone)).time() for at in (before, datetime.now(UTC))]
        nights = {clock >= NIGHT or clock < MORNING for clock in clocks}
        if len(nights) == 2:
            continue  # it began or ended while we asked
        [night] = nights
        assert (rule == "contact_policy.quiet_hours.0") == night, (zone, clocks, reason)
        if night:
            assert "quiet from 21:00 until 08:00" in reason
        told[night].append(customer)
    assert len(told[True]) >= 4 and len(told[False]) >= 4
    for customer in told[True]:  # who comes to us is awake
        assert removed(store, "call_back", "app", customer_id=customer) == ("", "")
    for night, customers in told.items():
        assert bool(offered(store, "email", customer_id=customers[1])) != night


def test_what_is_filled_into_html_is_escaped_and_what_is_too_long_is_unknown(store):
    def title(name: str) -> str:
        asked = {"channel": "web", "context": {"name": name}}
        [action] = shown(store, "call_back", "kim", **asked)["actions"]
        assert action["treatment"]["html"] is True
        return action["treatment"]["title"]

    assert title("O'Neill <script>") == "<b>Dear O&#39;Neill &lt;script&gt;</b>"
    assert title("x" * 9_000) == f"<b>Dear {'x' * 9_000}</b>"
    assert title("x" * 9_995) == title("x" * 12_000) == "<b>Dear customer</b>"


def test_a_conditional_prior_counts_from_the_first_decision_on(store):
    def accepted(name: str) -> float:
        asked = {"customer_id": "kay", "channel": "app", "explain": True, "activate": False}
        found = decide(store, **asked, context={"name": name})["explanation"]["candidates"]
        [tip] = [one for one in found if one["action_id"] == "tip"]
        told = tip["contributions"]
        parts = told["baseline"], told["others"], *(one["effect"] for one in told["strongest"])
        assert sum(parts) == pytest.approx(tip["acceptance"])
        return float(tip["acceptance"])

    # Few have seen the tip by now, and 300 of 0.9 are more.
    assert accepted("Fan") > 0.8 > 0.6 > accepted("Foe")


def catalogue_problems(server: Server) -> list[str]:
    degraded = server.get("/readyz")[1]["degraded"]
    return [one for one in degraded if one.startswith("catalog: ")]


def test_a_catalogue_that_costs_too_much_or_never_holds_is_told_and_nobody_waits(
    store, store_folder
):
    path, content = store_folder / "actions.yaml", copy.deepcopy(CATALOG)
    nested = "zone"
    for _ in range(9):  # each level asks three times for what is in it
        nested = f"({nested} in ['a', 'b', 'c'] ? zone : stage)"
    voucher = content["actions"]["voucher"]
    voucher["eligibility"] = [f"{nested} in ['a', 'b', 'c']", "zone == 'europe/Rome'"]
    voucher["suitability"] = ["hour > 22 and hour < 6"]
    voucher["treatments"]["app"]["title"] = "{{ 'a'.ljust(3*10**8) }}"
    path.write_text(yaml.safe_dump(content))
    try:
        [sentence] = store.wait_for(lambda: catalogue_problems(store))
        for said in (
            "needs more than 1,000 operations",
            "Did you mean 'Europe/Rome'?",
            "can never hold: no value of hour, which lies between 0 and ",
            "not a call or a method",
        ):
            assert said in sentence
        assert sentence.count("actions.yaml, line ") == 4
        assert "voucher" in offered(store, customer_id="kim")
    finally:
        path.write_text(yaml.safe_dump(CATALOG))
    store.wait_for(lambda: not catalogue_problems(store))


def test_a_catalogue_that_json_cannot_hold_is_told_and_the_former_one_goes_on(store, store_folder):
    path = store_folder / "actions.yaml"
    good = path.read_text()
    wrong = [
        ("title: voucher", "title: !!binary aGVq", "treatments.app.title is 'aGVq'. Expected a"),
        ("title: bundle", "title: 2026-03-01", "treatments.app.title is 2026-03-01. Expected a"),
        ("title: call_back", "title: .nan", "treatments.app.title is nan. Expected a finite"),
        ("title: tip", "1: tip", "treatments.app.1 is 'tip'. Expected a text as the key"),
        ("    title: tip", "    title: !!set {tip}", "treatments.email.title is "),
    ]
    bad = good
    for was, now, _ in wrong:
        assert was in bad
        bad = bad.replace(was, now, 1)
    path.write_text(bad)

    try:
        [sentence] = store.wait_for(lambda: catalogue_problems(store))
        for _, _, said in wrong:
            assert said in sentence
        assert sentence.count("actions.yaml, line ") == len(wrong)
        assert sentence.endswith("nothing was changed. The one before stays.")
        assert "voucher" in offered(store, customer_id="kim")
    finally:
        path.write_text(good)
    store.wait_for(lambda: not catalogue_problems(store))
