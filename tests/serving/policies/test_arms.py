"""The control group is a stable share, drawn evenly from what is allowed."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog_rules import Arms
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from serving.policies.arms import arm_of, uniform_probabilities
from tests.serving.fakes import FakeModels, changed, decide, engine_of


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_its_share_is_that_of_the_catalogue(share):
    n = 50_000
    found = sum(arm_of(f"c{i}", Arms(random=share)) == "random" for i in range(n))
    assert abs(found - share * n) <= 4 * (share * (1 - share) * n) ** 0.5


def test_another_salt_draws_another_group():
    groups = [Arms(random=0.5, salt=salt) for salt in ("a", "b")]
    arms = [[arm_of(f"c{i}", group) for i in range(2000)] for group in groups]
    both = sum(one == other for one, other in zip(*arms, strict=True))
    assert abs(both - 1000) < 4 * 500**0.5


def test_a_larger_share_keeps_who_was_in_it():
    small, large = Arms(random=0.02), Arms(random=0.2)
    inside = [f"c{i}" for i in range(5000) if arm_of(f"c{i}", small) == "random"]
    assert inside and all(arm_of(one, large) == "random" for one in inside)


def test_the_chance_is_the_same_for_all_that_are_allowed():
    assert uniform_probabilities(np.array([3.0, np.nan, 0.1, 0.0])).tolist() == [
        1 / 3,
        0.0,
        1 / 3,
        1 / 3,
    ]


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    catalog = changed(toy_catalog, arms={"random": 0.5, "nobody": 0})
    greedy = FakeModels({"call_back": 0.9, "discount": 0.1, "talk_plus": 0.1}, gamma=1e9)
    return engine_of(catalog, toy_domain, ledger, {}, greedy)


def somebody(arm, engine, after=0):
    group = engine.setup.compiled.catalog.arms
    names = (f"c{i}" for i in range(after, 1000))
    return next(one for one in names if arm_of(one, group) == arm)


def test_a_customer_of_it_gets_a_random_allowed_action_with_its_chance(engine, now):
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


def test_its_later_slots_are_drawn_evenly_from_what_is_left(engine, now):
    who = somebody("random", engine)
    for number in range(50):
        actions = decide(engine, now, customer_id=who, decision_id=f"d{number}", slots=3).actions
        names = [one.action_id for one in actions]
        assert len(set(names)) == len(names)
        assert [one.probability for one in actions] == [1 / 3, 1 / 2][: len(actions)]


def test_the_others_get_the_policy(engine, now):
    who = somebody("policy", engine)
    answer = decide(engine, now, customer_id=who)
    assert (answer.arm, answer.actions[0].action_id) == ("policy", "call_back")


def test_who_is_merged_takes_the_arm_of_whom_they_became(engine, toy_domain, ledger, now):
    inside, outside = somebody("random", engine), somebody("policy", engine)
    normalizer = KeyNormalizer(toy_domain)
    ledger.write_now(lambda c: link(c, normalizer, (inside, f"x:{outside}"), "test", now))
    assert decide(engine, now, customer_id=f"x:{outside}").arm == "random"
