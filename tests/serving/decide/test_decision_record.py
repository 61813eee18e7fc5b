"""The ledger transaction of a decision: it selects, appends one row, and refuses a used id."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.business.decided_actions import logged_chances, shortened_record
from features.errors import DecisionConflict
from features.identity.links import link
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.contract.decisions import DecideRequest
from serving.decide.choice import score
from serving.decide.decision_record import select_and_append
from serving.decide.inputs import draw_seed
from tests.conftest import SECRET
from tests.decided import put_imported
from tests.serving.fakes import (
    decide,
    features,
    record,
    rows,
    swap,
)

ASKED = {"decision_id": "d1", "placement": "home", "context": {"page": "offers", "visits": 1}}


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"customer_id": "c2", "channel": "phone"}, "for another customer"),
        ({"channel": "phone"}, "with another channel"),
        ({"placement": None}, "with another placement"),
        ({"slots": 3}, "with another slots"),
        ({"context": {"page": "help", "visits": 1}}, "with another context.page"),
        ({"context": {"page": "offers", "visits": True}}, "with another context.visits"),
        ({"context": {"page": "offers", "visits": 1, "more": [1]}}, "with another context.more"),
        ({"context": {}}, "with another context.page"),
        ({"actions": ["discount"]}, "with another actions"),
        ({"exclude": ["discount"]}, "with another exclude"),
        ({"activate": False}, "with another activate"),
    ],
)
def test_an_id_used_for_another_request_is_a_conflict(engine, ledger, now, other, difference):
    decide(engine, now, **ASKED)
    with pytest.raises(DecisionConflict, match=f"'d1' was used {difference}. Expected") as refused:
        decide(engine, now, **(ASKED | other))
    assert "'c1'" not in str(refused.value)
    assert len(rows(ledger)) == 1


@pytest.mark.parametrize(
    "same",
    [
        {"slots": 1, "actions": None, "exclude": [], "activate": True},
        {"context": {"visits": 1.0, "page": "offers", "more": None}},
        {"explain": True},  # it changes only what is told
    ],
)
def test_the_same_request_again_gets_the_same_answer(engine, ledger, now, same):
    first = decide(engine, now, **ASKED)
    assert decide(engine, now + timedelta(hours=1), **(ASKED | same)) == first
    assert len(rows(ledger)) == 1


def test_the_order_of_actions_and_exclusions_decides_nothing(engine, now):
    asked = {"actions": ["discount", "call_back"], "exclude": ["discount", "talk_plus"]}
    first = decide(engine, now, decision_id="d1", **asked)
    turned = {name: names[::-1] for name, names in asked.items()}
    assert decide(engine, now, decision_id="d1", **turned) == first


def test_a_retry_gets_its_answer_while_the_decision_is_still_stored_under_a_merged_customer(
    engine, ledger, now
):
    first = decide(engine, now, decision_id="d1")
    ledger.write_now(lambda c: link(c, engine.normalizer, ("c0", "c1"), "told", now))
    lagging = sa.update(tables.decisions).values(customer_id="c1")
    ledger.write_now(lambda c: c.execute(lagging))
    assert decide(engine, now, decision_id="d1") == first
    assert decide(engine, now, decision_id="d1", customer_id="c0") == first


def test_a_customer_asks_again_under_another_of_their_keys(engine, ledger, now):
    ledger.write_now(lambda c: link(c, engine.normalizer, ("c1", "card:1"), "told", now))
    first = decide(engine, now, decision_id="d1")
    assert decide(engine, now, decision_id="d1", customer_id=None, identifiers=["card:1"]) == first


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({}, "for a decision whose answer is not kept"),
        ({"slots": 2}, "for a decision whose answer is not kept"),
        ({"channel": "phone"}, "with another channel"),
        ({"activate": False}, "with another activate"),
        ({"customer_id": "c2"}, "for another customer"),
    ],
)
def test_of_a_decision_without_a_record_the_row_is_compared(engine, ledger, now, other, difference):
    decide(engine, now, decision_id="d1")
    kept = {"answer": None, "record": shortened_record(rows(ledger)[0].record)}
    ledger.write_now(lambda c: c.execute(sa.update(tables.decisions).values(kept)))
    with pytest.raises(DecisionConflict, match=f"'d1' was used {difference}. Expected"):
        decide(engine, now, **({"decision_id": "d1"} | other))


def test_the_seed_of_the_draw_is_recorded_and_hides_the_secret(engine, ledger, now):
    answer = decide(engine, now, decision_id="d1", explain=True)
    seed = record(ledger)["seed"]
    assert seed == draw_seed(SECRET, "d1") and len(seed) == 64
    assert not any(text in answer.as_json for text in (seed, SECRET))
    assert SECRET not in rows(ledger)[0].record


def test_all_who_open_a_ledger_share_its_secret(ledger, ledger_url, monkeypatch):
    monkeypatch.setattr("features.ledger.ledger.new_draw_secret", lambda: "2" * 64)
    with closing(Ledger(ledger_url)) as other:
        assert other.read(lambda c: tables.get_meta(c, tables.DRAW_SECRET)) == SECRET


def test_an_id_of_an_imported_decision_is_a_conflict(engine, ledger, now):
    put_imported(ledger, "old", now)
    with pytest.raises(DecisionConflict, match="'old' was used"):
        decide(engine, now, decision_id="old")


def test_the_record_holds_exact_probabilities_over_all_candidates(engine, ledger, now):
    decision = decide(engine, now, decision_id="d1")
    [row] = rows(ledger)
    chances = logged_chances(row, record(ledger), engine.setup.compiled.actions)
    assert [*chances] == ["call_back", "discount", "no_action"]
    assert sum(chances.values()) == pytest.approx(1, abs=1e-12)
    # Priorities 0.3 x 10 - 1, 0.2 x 5 - 0.5, and nothing for nothing; gamma 0.1 among three.
    assert [chances["discount"], chances["no_action"]] == pytest.approx([1 / 3.15, 1 / 3.2])
    first = decision.actions[0]
    assert first.probability == chances[first.action_id]
    assert not {"candidates", "acceptance", "probabilities", "experts"} & record(ledger).keys()


@pytest.mark.parametrize(
    ("only", "days"), [(("call_back",), 7), (("discount",), 14), (("call_back", "discount"), 14)]
)
def test_the_window_is_the_longest_of_what_was_shown(engine, ledger, now, only, days):
    swap(engine, gamma=1e9)
    assert len(decide(engine, now, actions=only, slots=2).actions) == len(only)
    assert rows(ledger)[0].window_ends_at == now + timedelta(days=days)


def test_the_record_names_what_a_replay_needs(engine, ledger, now):
    """Of the keys of the request only one: the other ones may become those of somebody else."""
    about = {"identifiers": ["email:a@b.it"], "placement": "home"}
    decide(engine, now, decision_id="d1", slots=2, **about)
    kept = record(ledger)
    assert kept["request"] == {
        "customer_id": "c1",
        "channel": "app",
        "placement": "home",
        "slots": 2,
        "decision_id": "d1",
    }
    assert kept["catalog"] == engine.setup.compiled.catalog.fingerprint
    assert kept["features_layout"] == engine.model_input.fingerprint
    assert len(features(ledger)) == len(engine.model_input.names)


def steps(engine, now, **fields):
    """Read and score, as the engine does before the transaction."""
    request = DecideRequest.model_validate({"customer_id": "c1", "channel": "app"} | fields)
    keys = engine.inputs.check(request)
    decision_id = request.decision_id or "new"
    inputs = asyncio.run(engine.inputs.read(engine.setup, request, keys, now, decision_id))
    return {"setup": engine.setup, "inputs": inputs, "scored": score(engine.setup, inputs)}


def test_a_customer_who_was_merged_since_the_inputs_were_read_is_not_decided_for(
    engine, ledger, now
):
    before = steps(engine, now, customer_id="c2")
    ledger.write_now(lambda c: link(c, engine.normalizer, ("c1", "c2"), "told", now))
    assert ledger.write_now(lambda c: select_and_append(c, **before)) is None
    assert rows(ledger) == []
    after = steps(engine, now, customer_id="c2")
    assert ledger.write_now(lambda c: select_and_append(c, **after)).customer_id == "c1"


def test_a_device_that_went_to_another_key_of_the_customer_is_looked_at_again(engine, ledger, now):
    about = {"customer_id": None, "identifiers": ["email:a@b.it"]}
    device, node = "email:a@b.it", "email:a@b.it c1"
    ledger.write_now(lambda c: link(c, engine.normalizer, ("c1", device), "told", now))
    before = steps(engine, now, **about)
    ledger.write_now(lambda c: link(c, engine.normalizer, ("c1", node), "told", now))
    login = {"key": device, "at": now, "event_id": "e1", "holder": "c1", "void": False}
    ledger.write_now(lambda c: tables.insert_new(c, tables.logins, [login | {"node": node}]))
    assert ledger.write_now(lambda c: select_and_append(c, **before)) is None
    after = steps(engine, now, **about)
    ledger.write_now(lambda c: select_and_append(c, **after))
    [row] = rows(ledger)
    assert (row.subject, row.customer_id) == (node, "c1")


def test_what_is_shown_at_once_is_a_contact_and_what_waits_is_not(engine, ledger, now):
    swap(engine, gamma=1e9)
    ledger.write_now(lambda c: select_and_append(c, **steps(engine, now, decision_id="d1")))
    waiting = steps(engine, now, decision_id="d2", activate=False)
    ledger.write_now(lambda c: select_and_append(c, **waiting))
    shown = ledger.read(lambda c: c.execute(sa.select(tables.contacts)).all())
    assert [(one.decision_id, one.action_id) for one in shown] == [("d1", "call_back")]
    assert [row.activated_at for row in rows(ledger)] == [now, None]
    [queued] = ledger.read(lambda c: c.execute(sa.select(tables.credits)).all())
    assert (queued.decision_id, queued.action_id, queued.revise_at) == ("d1", "call_back", now)
