"""Decided now, shown later: nothing counts before it is shown, and what is shown still may be."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.errors import DecisionConflict, DecisionUnknown
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.store.feast_store import CustomerFeatures
from serving.decide.activation import activate
from tests.features.live import add, person
from tests.serving.fakes import FakeModels, changed, decide, engine_of
from tests.summed import marked

PLUS = CustomerFeatures({"plan": "plus"}, None)
ONCE = {"caps": [{"at_most": 1, "days": 7, "groups": ["promotion"]}]}


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    catalog = changed(toy_catalog, contact_policy=ONCE, arms={"random": 0, "nobody": 0})
    greedy = FakeModels({"call_back": 0.4, "discount": 0.9, "talk_plus": 0.9}, gamma=1e9)
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, greedy)


def shown(engine, decision_id, now):
    return asyncio.run(activate(engine, decision_id, now))


def contacts(ledger):
    return ledger.read(lambda c: c.execute(sa.select(tables.contacts)).all())


def row(ledger, decision_id):
    query = sa.select(tables.decisions).where(tables.decisions.c.decision_id == decision_id)
    return ledger.read(lambda c: c.execute(query).one())


def test_nothing_counts_before_it_is_activated(engine, ledger, now):
    first = decide(engine, now, decision_id="d1", activate=False)
    second = decide(engine, now, decision_id="d2", activate=False)
    assert [one.actions[0].action_id for one in (first, second)] == ["discount", "discount"]
    assert not first.activated
    assert contacts(ledger) == []
    assert (row(ledger, "d1").served, row(ledger, "d1").activated_at) == (False, None)


def test_activating_counts_from_that_moment(engine, ledger, now):
    decide(engine, now, decision_id="d1", activate=False)
    later = now + timedelta(hours=5)
    answer = shown(engine, "d1", later)
    assert (answer.activated, answer.removed) == (["discount"], [])
    [contact] = contacts(ledger)
    assert (contact.action_id, contact.customer_id, contact.shown_at) == ("discount", "c1", later)
    kept = row(ledger, "d1")
    assert (kept.served, kept.activated_at) == (True, later)
    assert kept.window_ends_at == later + timedelta(days=14)
    assert marked(ledger) == [("decision", "d1")]
    # The journeys of c1 were counted since the decision was made, and have another step now.
    journeys = sa.select(tables.journey_marks.c.customer_id)
    assert ledger.read(lambda c: c.execute(journeys).scalars().all()) == ["c1"]


def test_with_unknown_features_nothing_is_promoted_that_waited(engine, ledger, now):
    promoting = {"promotion": {"kind": "promotion"}, "service": {"kind": "service"}}
    catalog = changed(engine.setup.compiled.catalog, groups=promoting)
    engine = engine_of(catalog, engine.domain, ledger, {"c1": PLUS}, engine.setup.models)
    decide(engine, now, decision_id="d1", slots=2, activate=False)
    engine.features.problem = "the online store failed"
    answer = shown(engine, "d1", now)
    assert answer.activated == ["call_back"]
    [removed] = answer.removed
    assert removed.action_id == "discount"
    assert removed.rule == "contact_policy.suspension.features_unknown"


def waiting_for_the_learner(ledger):
    columns = tables.credits.c
    query = sa.select(columns.decision_id, columns.action_id, columns.revise_at)
    return [tuple(row) for row in ledger.read(lambda c: c.execute(query).all())]


def test_the_learner_counts_the_silence_of_what_was_activated_from_then_on(engine, ledger, now):
    decide(engine, now, decision_id="d1", slots=2, activate=False)
    assert waiting_for_the_learner(ledger) == []
    decide(engine, now, decision_id="d2")
    later = now + timedelta(hours=5)
    assert shown(engine, "d1", later).activated == ["call_back"]
    expected = [("d2", "discount", now), ("d1", "call_back", later)]
    assert waiting_for_the_learner(ledger) == expected


def test_the_cap_is_checked_again(engine, ledger, now):
    for name in ("d1", "d2"):
        decide(engine, now, decision_id=name, activate=False)
    shown(engine, "d1", now)
    answer = shown(engine, "d2", now)
    assert answer.activated == []
    [removed] = answer.removed
    assert (removed.action_id, removed.rule) == ("discount", "contact_policy.caps.0")
    assert len(contacts(ledger)) == 1
    assert row(ledger, "d2").window_ends_at == now  # nothing was shown: nothing to wait for


def test_contacts_of_a_colleague_count_where_a_cap_is_per_account(engine, ledger, now):
    once = {"caps": [{**ONCE["caps"][0], "per": "account"}]}
    catalog = changed(engine.setup.compiled.catalog, contact_policy=once)
    engine = engine_of(catalog, engine.domain, ledger, {"c1": PLUS}, engine.setup.models)
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"))
    decide(engine, now, decision_id="d1", activate=False)
    decide(engine, now, customer_id="c2")
    [removed] = shown(engine, "d1", now).removed
    assert (removed.action_id, removed.rule) == ("discount", "contact_policy.caps.0")


def test_what_is_still_allowed_of_several_is_shown(engine, now):
    decide(engine, now, decision_id="d1", slots=2, activate=False)
    decide(engine, now, decision_id="d2")
    answer = shown(engine, "d1", now)
    assert answer.activated == ["call_back"]
    assert [one.action_id for one in answer.removed] == ["discount"]


def test_the_same_again_is_the_same_answer(engine, ledger, now):
    decide(engine, now, decision_id="d1", activate=False)
    once = shown(engine, "d1", now)
    assert shown(engine, "d1", now + timedelta(hours=1)) == once
    assert len(contacts(ledger)) == 1


def test_of_many_who_activate_at_once_one_gets_through(engine, ledger, now):
    names = [f"d{number}" for number in range(20)]
    for name in names:
        decide(engine, now, decision_id=name, activate=False)

    async def all_at_once():
        return await asyncio.gather(*(activate(engine, name, now) for name in names))

    answers = asyncio.run(all_at_once())
    assert sum(answer.activated == ["discount"] for answer in answers) == 1
    assert len(contacts(ledger)) == 1


def test_after_a_merge_it_counts_for_whom_they_became(engine, toy_domain, ledger, now):
    decide(engine, now, decision_id="d1", customer_id="cookie:1", activate=False)
    decide(engine, now, decision_id="d2")  # c1 has seen it
    pair, normalizer = ("c1", "cookie:1"), KeyNormalizer(toy_domain)
    ledger.write_now(lambda c: link(c, normalizer, pair, "test", now))
    assert shown(engine, "d1", now).activated == []


def test_a_decision_shown_at_once_is_not_activated_again(engine, now):
    decide(engine, now, decision_id="d1")
    with pytest.raises(DecisionConflict, match="'d1' counted as shown when it was made"):
        shown(engine, "d1", now)


def test_a_decision_waits_for_as_long_as_the_catalogue_says(engine, now):
    decide(engine, now, decision_id="d1", activate=False)
    with pytest.raises(DecisionConflict, match="a decision of the last 24 hours"):
        shown(engine, "d1", now + timedelta(hours=24, seconds=1))
    assert shown(engine, "d1", now + timedelta(hours=24)).activated == ["discount"]


def test_a_decision_we_never_made_is_unknown(engine, now):
    with pytest.raises(DecisionUnknown, match="'never'"):
        shown(engine, "never", now)


def test_what_is_activated_first_counts_for_the_rest(toy_domain, toy_catalog, ledger, now):
    twice = {"caps": [{"at_most": 2, "days": 7}]}
    catalog = changed(toy_catalog, contact_policy=twice, arms={"random": 0, "nobody": 0})
    greedy = FakeModels({"call_back": 0.4, "discount": 0.9, "talk_plus": 0.9}, gamma=1e9)
    engine = engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, greedy)
    decide(engine, now, decision_id="d1", slots=2, activate=False)
    decide(engine, now, decision_id="d2", actions=("discount",))  # one of two is used up
    answer = shown(engine, "d1", now)
    assert answer.activated == ["discount"]
    assert [(one.action_id, one.rule) for one in answer.removed] == [
        ("call_back", "contact_policy.caps.0")
    ]


def test_several_actions_that_an_activation_shows_are_read_for_the_looks(engine, ledger, now):
    made = decide(engine, now, decision_id="d1", activate=False, slots=2)
    assert [one.action_id for one in made.actions] == ["discount", "call_back"]
    assert row(ledger, "d1").slots_shown is None
    assert len(shown(engine, "d1", now + timedelta(hours=1)).activated) == 2
    assert row(ledger, "d1").slots_shown == 2
    decide(engine, now, decision_id="d2", customer_id="c2", activate=False)
    assert len(shown(engine, "d2", now + timedelta(hours=1)).activated) == 1
    assert row(ledger, "d2").slots_shown is None
