"""Each maximum of a day is shared out between policy and arm random: exactly, and in showings."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.paced_budgets import PacedBudgets
from tests.serving.fakes import changed

DAY = date(2026, 11, 22)


@pytest.fixture
def shared_out(toy_catalog, toy_domain):
    """The budgets of a catalogue with these arms, and a change of its actions."""

    def made(arms, budgets=None, **actions):
        content = toy_catalog.model_dump(by_alias=True)["actions"]
        for name, more in actions.items():
            content[name] |= more
        catalog = changed(toy_catalog, arms=arms, actions=content, budgets=budgets or {})
        return PacedBudgets(CompiledCatalog(catalog, toy_domain, ModelInput(toy_domain)))

    return made


def parts(budgets, day=DAY):
    """The most that the arm random and the policy may spend of the only volume or budget."""
    return tuple(budgets.of_arm(arm, day)[0].target.at_most for arm in ("random", "policy"))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    most=st.integers(0, 500),
    shares=st.tuples(st.floats(0, 0.5), st.floats(0, 0.4)),
    days=st.integers(0, 3000),
)
def test_both_parts_are_whole_showings_and_together_the_maximum(shared_out, most, shares, days):
    random, nobody = shares
    arms = {"random": random, "nobody": nobody}
    budgets = shared_out(arms, discount={"volume": {"at_most": most}})
    of_random, of_policy = parts(budgets, DAY + timedelta(days))
    planned = most * random / (1 - nobody)
    assert of_random + of_policy == most and of_random % 1 == 0
    assert planned - 1 < of_random < planned + 1
    assert parts(budgets, DAY + timedelta(days)) == (of_random, of_policy)


@pytest.mark.parametrize(("most", "share"), [(1, 0.05), (3, 0.02), (7, 0.4)])
def test_over_many_days_the_share_of_a_small_volume_is_that_of_the_customers(
    shared_out, most, share
):
    nobody = 0.1
    arms = {"random": share * (1 - nobody), "nobody": nobody}
    budgets = shared_out(arms, discount={"volume": {"at_most": most}})
    found = [parts(budgets, DAY + timedelta(n))[0] for n in range(2000)]
    uneven = most * share % 1
    error = (uneven * (1 - uneven) / 2000) ** 0.5
    assert abs(np.mean(found) - most * share) <= 4 * error
    assert set(found) <= {int(most * share), int(most * share) + 1}


def test_two_volumes_are_not_rounded_alike(shared_out):
    one = {"volume": {"at_most": 1}}
    budgets = shared_out({"random": 0.5, "nobody": 0}, discount=one, talk_plus=one)
    days = [budgets.of_arm("random", DAY + timedelta(n)) for n in range(200)]
    alike = sum(first.target.at_most == second.target.at_most for first, second in days)
    assert abs(alike - 100) < 4 * 50**0.5


def test_another_salt_rounds_other_days_up(shared_out):
    one, days = {"volume": {"at_most": 1}}, [DAY + timedelta(n) for n in range(200)]
    arms = [{"random": 0.5, "nobody": 0, "salt": salt} for salt in ("spring", "autumn")]
    made = [shared_out(each, discount=one) for each in arms]
    found = [[parts(budgets, day) for day in days] for budgets in made]
    assert abs(sum(a == b for a, b in zip(*found, strict=True)) - 100) < 4 * 50**0.5


def test_a_budget_is_shared_out_in_showings_of_its_dearest_action(shared_out):
    both = {"budget": "spring"}  # the two cost 1.00 and 0.50
    arms = {"random": 0.25, "nobody": 0}
    budgets = shared_out(arms, {"spring": {"at_most": 10}}, call_back=both, discount=both)
    found = [parts(budgets, DAY + timedelta(n)) for n in range(400)]
    assert {one for one, _ in found} == {2.0, 3.0}
    assert {one + other for one, other in found} == {10.0}
    assert abs(np.mean([one for one, _ in found]) - 2.5) < 4 * 0.5 / 20


def test_without_the_arm_the_policy_has_all(shared_out):
    budgets = shared_out({"random": 0, "nobody": 0.3}, discount={"volume": {"at_most": 9}})
    assert parts(budgets) == (0, 9)
    assert budgets.of_arm("nobody", DAY) == budgets.of_arm("policy", DAY)


def test_a_minimum_is_the_policys_alone_and_not_above_what_it_may_show(shared_out):
    arms = {"random": 0.5, "nobody": 0}
    least = shared_out(arms, discount={"volume": {"at_least": 40}})
    assert least.of_arm("random", DAY) == () and least.of_arm("policy", DAY) == least.whole
    exactly = shared_out(arms, discount={"volume": {"at_least": 40, "at_most": 40}})
    assert exactly.of_arm("random", DAY)[0].target.at_least is None
    [of_policy] = exactly.of_arm("policy", DAY)
    assert (of_policy.target.at_least, of_policy.target.at_most) == (20, 20)
    [within] = shared_out(arms, discount={"volume": {"at_least": 5, "at_most": 40}}).of_arm(
        "policy", DAY
    )
    assert (within.target.at_least, within.target.at_most) == (5, 20)
