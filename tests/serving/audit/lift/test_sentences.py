"""Sentences of a lift say the side, the size and the doubt that its figures have."""

from __future__ import annotations

import pytest

from serving.audit.lift.sentences import (
    left_before_sentence,
    objective_sentence,
    pair_sentence,
    verdict,
)
from serving.contract.lift import ArmView, DifferenceView, PairView, SampleRatio
from tests.features.rewards.test_reward_steps import with_spend

PAIR = "policy", "nobody"


def difference(value: float, low: float | None, high: float | None) -> DifferenceView:
    return DifferenceView(
        value=value,
        low=low,
        high=high,
        planned_low=low,
        planned_high=high,
        smallest=None if low is None else 1.5,
        planned_smallest=None,
    )


@pytest.mark.parametrize(
    ("lift", "expected"),
    [
        (difference(-6.4, -8.0, -4.0), "brings 6.40 EUR (4.00 to 8.00) less than if nobody is"),
        (difference(6.4, 4.0, 8.0), "brings 6.40 EUR (4.00 to 8.00) more than if nobody is"),
        (difference(-1.0, -3.0, 1.0), "1.00 EUR less than if nobody is contacted, but it may well"),
        (difference(1.0, None, None), "come from about 3 customers; wait for 5."),
        (None, "the arms policy and nobody need at least 2 customers each"),
    ],
)
def test_a_pair_is_told_by_the_bounds_of_all_looks(lift, expected):
    said = pair_sentence(PAIR, lift, None, 3, 1, "EUR")
    assert expected in said
    uncertain = lift is None or lift.low is None or lift.low <= 0 <= lift.high
    assert said.startswith("Not ") == uncertain


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (difference(0.02, 0.01, 0.03), " 2.0 in 100 customers more leave (1.0 to 3.0)."),
        (difference(-0.02, -0.03, -0.01), " 2.0 in 100 customers fewer leave (1.0 to 3.0)."),
        (difference(0.02, -0.01, 0.03), "leave"),
        (None, "leave"),
    ],
)
def test_who_leaves_is_told_if_it_is_certain(left, expected):
    said = pair_sentence(PAIR, difference(1.0, 0.5, 1.5), left, 50, 90, "EUR")
    certain = left is not None and left.low * left.high > 0
    assert said.endswith(expected) if certain else expected not in said


def test_who_had_left_before_a_period_is_told_by_arm():
    [said] = left_before_sentence({"policy": 0.25, "nobody": 0.0})
    assert said.startswith("Before this period had left: 25.0 % of policy, 0.0 % of nobody. ")
    assert not [*left_before_sentence({})] and not [*left_before_sentence({"policy": 0.0})]


def arm(name: str, customers: int, share: float = 0.5) -> ArmView:
    none = dict.fromkeys(("value", "margin", "cost", "lost", "left"))
    return ArmView(arm=name, share=share, customers=customers, **none)


def pair(said: str) -> PairView:
    none = ("lift", "left", "relative", "relative_low", "relative_high", "explained")
    known = {"arm": "policy", "against": "nobody", "informative": 0, "days": []}
    return PairView(**known, **dict.fromkeys(none), verdict=said)


def ratio(trusted: bool) -> SampleRatio:
    return SampleRatio(expected={}, found={}, p_value=0.0, trusted=trusted)


def test_arms_of_wrong_sizes_are_told_instead_of_any_lift():
    arms = [arm("policy", 90), arm("nobody", 10)]
    said = verdict(arms, [pair("It is good.")], ratio(False))
    assert said.startswith("Do not trust the lift: ")
    assert "nobody 10 (10.0%, planned 50.0%)" in said and "It is good." not in said
    assert verdict(arms, [pair("It is good.")], ratio(True)) == "It is good."
    assert verdict(arms, [], ratio(True)) == "Not enough yet: no day of the period has come."
    alone = [arm("policy", 90, 1.0), arm("nobody", 0, 0.0)]
    assert verdict(alone, [], ratio(True)).startswith("There is nothing to compare with")
    assert verdict([arm("policy", 0)], [], ratio(True)).startswith("Not enough yet: ")


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({}, "all that is spent, less the costs of actions; who leaves takes nothing else along."),
        ({"margin": 0.25}, "25 % of all that is spent"),
        ({"margin": {"order.amount_eur": 0.5}}, "the sum of 0.5 x order.amount_eur, less"),
        ({"remaining_value": 7}, ", less 7 EUR for each customer who left."),
    ],
)
def test_the_objective_is_told_in_words(toy_domain, objective, expected):
    churn = {"event": "visit", "when": "happens", "back": "order"}
    assert expected in objective_sentence(with_spend(toy_domain, churn=churn, objective=objective))


def test_that_no_event_has_a_margin_is_told(toy_domain):
    said = objective_sentence(toy_domain)
    assert "no margin, as no event measures what is spent, less the costs of actions" in said
