"""Three arms: stable, disjoint shares; one drawn evenly, one that nobody contacts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog_rules import Arms, ArmsOfControlGroup
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.ledger.tables import micros
from serving.contract.decisions import DecideRequest
from serving.decide.limit_inputs import keep_paces
from serving.policies.arms import (
    arm_of,
    uniform_probabilities,
    with_experiment,
    with_least_no_action,
)
from tests.serving.fakes import FakeModels, changed, decide, engine_of, rows

NAMES = ("policy", "random", "nobody")
EVEN = {"call_back": 0.5, "discount": 0.5, "talk_plus": 0.5}
HALF = {"random": 0.5, "nobody": 0}


@pytest.mark.parametrize(("random", "nobody"), [(0.0, 0.0), (0.02, 0.02), (0.3, 0.1), (0, 0.5)])
def test_the_shares_are_those_of_the_catalogue(random, nobody):
    n, arms = 20_000, Arms(random=random, nobody=nobody)
    found = [arm_of(f"c{number}", arms) for number in range(n)]
    for name, share in zip(NAMES, (1 - random - nobody, random, nobody), strict=True):
        assert abs(found.count(name) - share * n) <= 3 * (share * (1 - share) * n) ** 0.5, name


def test_an_arm_is_a_range_of_the_hash_of_salt_and_id():
    arms = Arms(random=0.25, nobody=0.5, salt="spring")
    for number in range(300):
        digest = hashlib.sha256(f"spring:c{number}".encode()).hexdigest()
        quarter = int(digest[0], 16) // 4  # the first two bits tell the quarter
        expected = ("random", "nobody", "nobody", "policy")[quarter]
        assert arm_of(f"c{number}", arms) == expected


def test_another_salt_draws_other_customers():
    arms = [Arms(random=0.5, salt=salt) for salt in ("a", "b")]
    found = [[arm_of(f"c{i}", one) == "random" for i in range(2000)] for one in arms]
    both = sum(one == other for one, other in zip(*found, strict=True))
    assert abs(both - 1000) < 4 * 500**0.5


def test_a_larger_share_keeps_who_was_in_it():
    small, large = Arms(random=0.02), Arms(random=0.2)
    inside = [f"c{i}" for i in range(5000) if arm_of(f"c{i}", small) == "random"]
    assert inside and all(arm_of(one, large) == "random" for one in inside)


def test_other_processes_draw_the_same_arms():
    said = (
        "from features.business.catalog_rules import Arms\n"
        "from serving.policies.arms import arm_of\n"
        "print(*(arm_of(f'c{i}', Arms(random=0.3, nobody=0.3)) for i in range(500)))"
    )
    arms = Arms(random=0.3, nobody=0.3)
    here = [arm_of(f"c{i}", arms) for i in range(500)]
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.split() == here


def test_the_chance_is_the_same_for_all_that_are_allowed():
    assert uniform_probabilities(np.array([3.0, np.nan, 0.1, 0.0])).tolist() == [
        1 / 3,
        0.0,
        1 / 3,
        1 / 3,
    ]


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    """On the app are a call, which is service, and a discount, which the greedy policy prefers."""
    parts = {"arms": {"random": 0.4, "nobody": 0.3}, "groups": {"service": {"kind": "service"}}}
    greedy = FakeModels({"call_back": 0.5, "discount": 0.95, "talk_plus": 0.1}, gamma=1e9)
    return engine_of(changed(toy_catalog, **parts), toy_domain, ledger, {}, greedy)


def somebody(arm, engine, after=0):
    arms = engine.setup.compiled.catalog.arms
    names = (f"c{i}" for i in range(after, 1000))
    return next(one for one in names if arm_of(one, arms) == arm)


def test_a_customer_of_random_gets_a_random_allowed_action_with_its_chance(engine, now):
    who = somebody("random", engine)
    answers = [decide(engine, now, customer_id=who, decision_id=f"d{n}") for n in range(300)]
    assert {answer.arm for answer in answers} == {"random"}
    assert {answer.actions[0].probability for answer in answers} == {1 / 3}
    counts = np.unique([answer.actions[0].action_id for answer in answers], return_counts=True)[1]
    assert len(counts) == 3 and abs(counts - 100).max() < 4 * (300 * 2 / 9) ** 0.5
    assert "Arm random: drawn evenly" in next(
        answer.actions[0].reasons[1]
        for answer in answers
        if answer.actions[0].action_id != "no_action"
    )


def test_later_slots_of_random_are_drawn_evenly_from_what_is_left(engine, now):
    who = somebody("random", engine)
    for number in range(50):
        actions = decide(engine, now, customer_id=who, decision_id=f"d{number}", slots=3).actions
        names = [one.action_id for one in actions]
        assert len(set(names)) == len(names)
        assert [one.probability for one in actions] == [1 / 3, 1 / 2][: len(actions)]


def test_the_others_get_the_policy(engine, now):
    who = somebody("policy", engine)
    answer = decide(engine, now, customer_id=who)
    assert (answer.arm, answer.actions[0].action_id) == ("policy", "discount")


def test_nobody_contacts_a_customer_of_nobody_but_for_service(engine, now):
    who = somebody("nobody", engine)
    answer = decide(engine, now, customer_id=who, explain=True, slots=3)
    assert answer.arm == "nobody"
    assert [one.action_id for one in answer.actions] == ["call_back"]
    assert answer.actions[0].reasons[-1] == "Promises most of the allowed actions."
    removed = {one.action_id: (one.rule, one.reason) for one in answer.removed}
    said = "the customer is in the arm that nobody contacts, except for service"
    assert removed["discount"] == ("arms.nobody", said)
    assert removed["talk_plus"][0] == "treatments"  # the channel could not show it to anybody
    [row] = rows(engine.ledger)
    assert json.loads(row.record)["removed"] == {"discount": "arms.nobody"}
    assert row.arm == "nobody"
    alone = decide(engine, now, customer_id=who, exclude=["call_back"])
    assert [one.action_id for one in alone.actions] == ["no_action"]
    assert alone.actions[0].probability == 1


def test_no_pacing_state_is_read_for_what_nobody_may_get(engine, now, toy_domain, ledger):
    catalog = engine.setup.compiled.catalog
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions["discount"] |= {"volume": {"at_most": 10}}
    models = FakeModels({"call_back": 0.5, "discount": 0.95, "talk_plus": 0.1})
    paced = engine_of(changed(catalog, actions=actions), toy_domain, ledger, {}, models)
    state = {"day": "2026-11-22", "spent": 1.0, "price": 0.0, "at": micros(now), "learned": 1.0}
    ledger.write_now(lambda c: keep_paces(c, {"actions.discount.volume": state}))
    read = {}
    for arm in NAMES:
        decide(paced, now, customer_id=somebody(arm, paced), decision_id=arm)
        [record] = [row.record for row in rows(ledger) if row.decision_id == arm]
        read[arm] = [one for one in json.loads(record)["paces"] if "#" not in one]
    assert read == {
        "policy": ["actions.discount.volume"],
        "random": ["actions.discount.volume"],
        "nobody": [],
    }


def test_who_is_merged_takes_the_arm_of_whom_they_became(engine, toy_domain, ledger, now):
    normalizer = KeyNormalizer(toy_domain)
    for number, (kept, gone) in enumerate(permutations(NAMES, 2)):
        inside = somebody(kept, engine, after=10 * number)
        outside = somebody(gone, engine, after=10 * number)
        key = f"x:{outside}-{number}"
        ledger.write_now(lambda c, i=inside, k=key: link(c, normalizer, (i, k), "test", now))
        assert decide(engine, now, customer_id=key).arm == kept


def test_64_callers_at_once_never_exceed_a_days_maximum_nor_an_arms_part(
    toy_domain, toy_catalog, ledger, now
):
    actions = toy_catalog.model_dump(by_alias=True)["actions"]
    actions["discount"] |= {"volume": {"at_most": 12}}
    catalog = changed(toy_catalog, arms={"random": 0.5, "nobody": 0}, actions=actions)
    models = FakeModels({"call_back": 0.01, "discount": 0.99, "talk_plus": 0.01}, gamma=1e9)
    engine = engine_of(catalog, toy_domain, ledger, {}, models)
    asked = [
        DecideRequest(customer_id=f"c{n}", channel="app", actions=["discount"]) for n in range(64)
    ]

    async def at_once():
        return await asyncio.gather(*(engine.decide(one, now) for one in asked))

    answers = asyncio.run(at_once())
    shown = Counter(one.arm for one in answers if one.actions[0].action_id == "discount")
    counted = sa.select(sa.func.count()).select_from(tables.contacts)
    assert ledger.read(lambda c: c.execute(counted).scalar()) == shown.total() <= 12
    assert shown["random"] == 6 and 0 < shown["policy"] <= 6
    states = dict(ledger.read(lambda c: list(c.execute(sa.select(tables.paces)))))
    spent = {name: json.loads(state)["spent"] for name, state in states.items()}
    assert spent["actions.discount.volume#random"] == shown["random"]
    assert spent["actions.discount.volume"] == shown["policy"]


def test_the_arm_random_pays_no_price_early_in_the_day_and_the_policy_does(
    toy_domain, toy_catalog, ledger, now
):
    actions = toy_catalog.model_dump(by_alias=True)["actions"]
    actions["discount"] |= {"volume": {"at_most": 2000}}
    weight = {"when": "churn < 1", "weight": 0, "actions": ["discount"]}
    weights = {"context_weights": [weight]}
    catalog = changed(toy_catalog, arms=HALF, actions=actions, arbitration=weights)
    engine = engine_of(catalog, toy_domain, ledger, {}, FakeModels(EVEN, gamma=1e9))
    early = now.replace(hour=0, minute=1)
    for arm in ("random", "policy"):
        who = somebody(arm, engine)
        answer = decide(engine, early, customer_id=who, explain=True, actions=["discount"])
        chances = {one.action_id: one.probability for one in answer.explanation.candidates}
        if arm == "random":
            assert chances == {"discount": 0.5, "no_action": 0.5}
            assert answer.explanation.candidates[0].shadow_price == 0
        else:
            assert chances == {"no_action": 1}
            removed = {one.action_id: one.rule for one in answer.removed}
            assert removed["discount"] == "actions.discount.volume"


def test_the_former_key_is_read_as_the_share_of_random(toy_catalog):
    old = toy_catalog.with_parts(control_group={"share": 0.3, "salt": "kept"})
    assert old.arms == ArmsOfControlGroup(random=0.3, nobody=0.02, salt="kept")
    inside = [n for n in range(500) if arm_of(f"c{n}", old.arms) == "random"]
    hashed = [hashlib.sha256(f"kept:c{n}".encode()).digest() for n in range(500)]
    assert inside == [n for n in range(500) if int.from_bytes(hashed[n][:7], "big") < 0.3 * 2**56]


@pytest.mark.parametrize(
    ("priority", "chances", "mixed"),
    [
        ([5.0, -1.0, 0.0], [0.9, 0.0, 0.1], [0.64, 0.1, 0.26]),  # 0.6 of it, 0.4 of 1/4, 1/4, 1/2
        ([np.nan, -1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.2, 0.8]),
        ([np.nan, np.nan, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    ],
)
def test_an_experiment_shows_nothing_half_of_the_time_and_any_allowed_action_else(
    priority, chances, mixed
):
    found = with_experiment(np.array(chances), np.array(priority), 0.4)
    assert found.tolist() == pytest.approx(mixed)
    assert found.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("chances", "least", "kept"),
    [
        ([0.6, 0.4, 0.0], 0.1, [0.54, 0.36, 0.1]),  # the others x 0.9
        ([0.5, 0.3, 0.2], 0.6, [0.25, 0.15, 0.6]),  # the others x 0.4 / 0.8
        ([0.5, 0.3, 0.2], 0.2, [0.5, 0.3, 0.2]),
        ([0.0, 0.0, 1.0], 0.03, [0.0, 0.0, 1.0]),  # nothing is allowed
    ],
)
def test_no_action_has_at_least_its_share(chances, least, kept):
    found = with_least_no_action(np.array(chances), least)
    assert found.tolist() == pytest.approx(kept)
