"""A policy is played in a world: the feedback it gets, with which delay, and the value it earns."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.actions import COST, VALUE
from training.simulation.baselines import RandomPolicy
from training.simulation.rollout import (
    CHURN_ATTRIBUTION_DAYS,
    FEEDBACK_AGES_DAYS,
    run_policy,
    validate_probabilities,
)
from training.simulation.world import World


class RecordingPolicy(RandomPolicy):
    """Chooses at random and records its feedback."""

    def __init__(self):
        object.__setattr__(self, "told", [])

    def learn(self, feedback):
        self.told.append(list(feedback))


@pytest.fixture(scope="module")
def told():
    policy = RecordingPolicy()
    run = run_policy(lambda world: policy, World(1_500, 4, 30), 4)
    return policy.told, run


def test_feedback_on_a_decision_comes_at_each_of_the_feedback_ages(told):
    feedback, _ = told
    for today, heard in enumerate(feedback):
        ages = sorted(today - one.day for one in heard)
        assert ages == sorted(age for age in FEEDBACK_AGES_DAYS if age <= today)
        assert [one.age_days for one in heard] == [today - one.day for one in heard]


def test_acceptances_come_late_and_some_are_returned(told):
    feedback, _ = told
    by_age = {one.age_days: one for heard in feedback for one in heard if one.day == 3}
    known = [by_age[age].accepted.sum() for age in FEEDBACK_AGES_DAYS]
    assert known == sorted(known) and known[0] < known[-1]
    last = by_age[FEEDBACK_AGES_DAYS[-1]]
    value = np.where(last.accepted, VALUE[last.actions], 0) - COST[last.actions]
    assert ((last.earned_eur == value) | (last.earned_eur == -COST[last.actions])).all()
    assert (last.earned_eur < value - 1).any()


def test_a_customer_who_leaves_long_after_a_decision_is_not_its_outcome(told):
    feedback, _ = told
    by_age = {one.age_days: one for heard in feedback for one in heard if one.day == 0}
    assert by_age[3].left.sum() < by_age[14].left.sum() == by_age[21].left.sum()
    assert CHURN_ATTRIBUTION_DAYS == 14


def test_the_value_of_days_and_of_customers_is_the_same_money(told):
    _, run = told
    assert run.value_eur.sum() == pytest.approx(run.value_of_customer_eur.sum())
    assert run.late_value_of_customer_eur.sum() == pytest.approx(run.value_eur[-10:].sum())
    assert run.lost.sum() == run.left.sum()


@pytest.mark.parametrize("probabilities", [[0.5, 0.4], [1.2, -0.2], [0.5, 0.5]])
def test_rows_that_are_no_distribution_are_refused(probabilities):
    allowed = np.array([[True, probabilities != [0.5, 0.5]]])
    with pytest.raises(InvalidSetting, match="1 of 1 rows are no probabilities"):
        validate_probabilities(np.array([probabilities]), allowed)
