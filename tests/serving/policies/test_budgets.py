"""Volumes and budgets in a decision: removed actions, shadow prices and stored states."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.budgets import BudgetPacer
from tests.serving.fakes import FakeModels, changed, decide, engine_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def catalog(toy_catalog):
    def said(budgets=None, **actions):
        content = toy_catalog.model_dump(by_alias=True)["actions"]
        for name, more in actions.items():
            content[name] |= more
        parts = {"actions": content, "budgets": budgets or {}, "arms": {"random": 0, "nobody": 0}}
        return changed(toy_catalog, **parts)

    return said


@pytest.fixture
def pacer(catalog, toy_domain):
    def made(budgets=None, **actions):
        return BudgetPacer(
            CompiledCatalog(catalog(budgets, **actions), toy_domain, ModelInput(toy_domain))
        )

    return made


def kept(pacing_result):
    """The spending, as the ledger gives it back."""
    return json.loads(json.dumps(pacing_result.changed))


def test_what_nobody_limits_costs_nothing(pacer):
    free = pacer()
    assert free.names(np.zeros(3, dtype=bool)) == []
    opened = free.evaluate({}, NOON)
    assert not opened.prices.any() and not opened.out.any()
    opened.spend(0)
    assert opened.changed == {}


def test_a_volume_is_used_up_and_no_more(pacer):
    three = pacer(discount={"volume": {"at_most": 3}})
    states = {}
    for count in range(3):
        opened = three.evaluate(states, NOON)
        assert not opened.out.any(), count
        opened.spend(1)
        states |= kept(opened)
    opened = three.evaluate(states, NOON)
    assert opened.out.tolist() == [False, True, False]
    assert opened.rule(1) == "actions.discount.volume"
    assert opened.why(1).reason == "3 of at most 3 of today are used up"
    assert not three.evaluate(states, NOON + timedelta(days=1)).out.any()


def test_a_budget_is_shared_and_an_action_that_costs_more_than_is_left_is_out(pacer):
    shared = {"budget": "spring"}
    two = pacer({"spring": {"at_most": 2.4}}, call_back=shared, discount=shared)
    states = {}
    for action in (0, 1):  # 1.00 and 0.50
        opened = two.evaluate(states, NOON)
        opened.spend(action)
        states |= kept(opened)
    opened = two.evaluate(states, NOON)
    assert opened.out.tolist() == [True, False, False]  # 0.90 is left
    assert opened.why(0).reason == "1.5 of at most 2.4 of today are used up"
    assert opened.why(0).rule == "budgets.spring"


def test_the_slots_of_one_decision_share_what_is_left(pacer):
    one = pacer(
        {"spring": {"at_most": 1}}, call_back={"budget": "spring"}, discount={"budget": "spring"}
    )
    opened = one.evaluate({}, NOON)
    opened.spend(1)
    assert opened.out.tolist() == [True, False, False]


def test_who_is_worth_less_than_the_price_is_left_out_with_the_price(pacer):
    scarce = pacer(discount={"volume": {"at_most": 10}})
    morning = NOON.replace(hour=0, minute=1)
    opened = scarce.evaluate({}, morning, np.array([2.0, 0.5, 1.0]))
    assert opened.prices[1] > 0.5 and opened.prices[0] == 0
    assert opened.out.tolist() == [False, True, False]
    assert opened.why(1).reason.startswith("so that it lasts all day it costs ")
    rich = scarce.evaluate({}, morning, np.array([2.0, 1e3, 1.0]))
    assert not rich.out.any()


def test_a_minimum_pushes_more_the_longer_it_is_not_reached(pacer):
    wanted = pacer(discount={"volume": {"at_least": 100}})
    prices = [wanted.evaluate({}, NOON.replace(hour=hour)).prices[1] for hour in (1, 6, 18)]
    assert 0 >= prices[0] >= prices[1] >= prices[2] and prices[2] < 0


def test_a_free_action_draws_on_no_budget(pacer):
    free = {"budget": "spring", "cost": 0}
    made = pacer({"spring": {"at_most": 1}}, call_back=free)
    assert made.names(np.zeros(3, dtype=bool)) == []


def test_only_what_is_still_drawn_on_is_asked_for(pacer):
    two = pacer(discount={"volume": {"at_most": 3}}, talk_plus={"volume": {"at_most": 3}})
    name = "actions.talk_plus.volume"
    assert two.names(np.array([False, True, False])) == [name, f"{name}#random"]


def test_over_a_day_decisions_stop_at_the_volume_and_not_before(catalog, toy_domain, ledger):
    limited = catalog(discount={"volume": {"at_most": 5}})
    greedy = FakeModels({"call_back": 0.1, "discount": 0.9, "talk_plus": 0.1}, gamma=1e9)
    engine = engine_of(limited, toy_domain, ledger, {}, greedy)
    midnight = NOON.replace(hour=0)
    answers = [
        decide(engine, midnight + timedelta(minutes=12 * number), explain=True)
        for number in range(120)
    ]
    shown = [answer.actions[0].action_id == "discount" for answer in answers]
    assert sum(shown) == 5
    assert sum(shown[:60]) in (2, 3)  # half of it in half of the day
    gone = {one.action_id: one.rule for one in answers[-1].removed}
    assert gone["discount"] == "actions.discount.volume"


def test_what_is_decided_but_not_shown_spends_nothing(catalog, toy_domain, ledger):
    limited = catalog(discount={"volume": {"at_most": 1}})
    greedy = FakeModels({"call_back": 0.1, "discount": 0.9, "talk_plus": 0.1}, gamma=1e9)
    engine = engine_of(limited, toy_domain, ledger, {}, greedy)
    late = NOON.replace(hour=23, minute=58)
    for number in range(3):
        [first] = decide(engine, late, customer_id=f"c{number}", activate=False).actions
        assert first.action_id == "discount"


# A selection by earlier states ------------------------------------------------------------------


NOTHING_OUT = np.zeros(3, dtype=bool)
RULE = "actions.discount.volume"


def spent(pacer, count, states=None):
    """The states after some spend events of the discount at noon."""
    states = dict(states or {})
    for _ in range(count):
        opened = pacer.evaluate(states, NOON)
        opened.spend(1)
        states |= kept(opened)
    return states


@pytest.mark.parametrize(
    ("price", "valid"), [(2.0, True), (2.1, True), (1.9, True), (2.3, False), (1.7, False)]
)
def test_a_selection_is_valid_while_the_price_moves_by_at_most_a_tenth(pacer, price, valid):
    many = pacer(discount={"volume": {"at_most": 10_000}})
    [state] = spent(many, 400).values()
    earlier, later = {RULE: {**state, "price": 2.0}}, {RULE: {**state, "price": price}}
    assert many.still_valid(earlier, later, NOON, 1, NOTHING_OUT) is valid


def test_a_selection_is_not_valid_if_one_spend_event_moves_the_price_much(pacer):
    three = pacer(discount={"volume": {"at_most": 3}})
    before = spent(three, 1)
    assert not three.still_valid(before, spent(three, 1, before), NOON, 1, NOTHING_OUT)


def test_a_selection_is_not_valid_if_less_is_left_than_its_slots_can_spend(pacer):
    shared = {"budget": "spring"}
    two = pacer({"spring": {"at_most": 100}}, call_back=shared, discount=shared)
    state = spent(two, 1)["budgets.spring"]
    earlier, later = ({"budgets.spring": {**state, "spent": used}} for used in (1.0, 98.9))
    assert two.still_valid(earlier, later, NOON, 1, NOTHING_OUT)  # 1.00 and 0.50 fit into 1.10
    assert not two.still_valid(earlier, later, NOON, 2, NOTHING_OUT)
    out = np.array([True, False, False])
    assert two.still_valid(earlier, later, NOON, 2, out)


def test_a_volume_of_removed_actions_does_not_matter(pacer):
    three = pacer(discount={"volume": {"at_most": 3}})
    before, after = spent(three, 1), spent(three, 3)
    out = np.array([False, True, False])
    assert three.still_valid(before, after, NOON, 1, out)
    assert not three.still_valid(before, after, NOON, 1, NOTHING_OUT)


def test_the_first_spend_event_of_a_volume_counts_as_a_change(pacer):
    three = pacer(discount={"volume": {"at_most": 3}})
    assert three.still_valid({}, {}, NOON, 1, NOTHING_OUT)
    assert not three.still_valid({}, spent(three, 3), NOON, 1, NOTHING_OUT)


# The arm random: its own part, no prices, and never beyond the maximum of all -------------------


@pytest.fixture
def two_arms(catalog, toy_domain):
    """A pacer of a discount of at most 10 a day; half of the customers are in the arm random."""

    def made(**arms):
        of_both = changed(catalog(discount={"volume": {"at_most": 10}}), arms={"nobody": 0, **arms})
        return BudgetPacer(CompiledCatalog(of_both, toy_domain, ModelInput(toy_domain)))

    return made


def spend_all(pacer, states, arm):
    """Spend discounts in an arm until it may show no more; how many."""
    for count in range(100):
        opened = pacer.evaluate(states, NOON, arm=arm)
        if opened.out[1]:
            return count
        opened.spend(1)
        states |= kept(opened)
    raise AssertionError("nothing ever removes it")


def test_each_arm_spends_its_own_part_and_both_together_the_maximum(two_arms):
    states = {}
    assert [spend_all(two_arms(random=0.5), states, arm) for arm in ("random", "policy")] == [5, 5]
    assert states["actions.discount.volume"]["spent"] == 5
    assert states["actions.discount.volume#random"]["spent"] == 5
    assert states["actions.discount.volume#random"]["price"] == 0
    again = two_arms(random=0.5)
    said = [again.evaluate(states, NOON, arm=arm).why(1).reason for arm in ("random", "policy")]
    assert said == [
        "5 of at most 5 of today are used up for the arm random; it has a share of 10",
        "5 of at most 5 of today are used up; 5 more are for the arm random",
    ]
    tomorrow = NOON + timedelta(days=1)
    for arm in ("random", "policy"):
        assert not again.evaluate(states, tomorrow, arm=arm).out.any()


def test_no_price_has_a_say_in_the_arm_random(two_arms):
    morning, worthless = NOON.replace(hour=0, minute=1), np.array([2.0, -1.0, 1.0])
    pacer = two_arms(random=0.5)
    of_policy = pacer.evaluate({}, morning, worthless)
    of_random = pacer.evaluate({}, morning, worthless, arm="random")
    assert of_policy.out[1] and of_policy.prices[1] > 0
    assert not of_random.out.any() and not of_random.prices.any()
    assert pacer.evaluate({}, morning, worthless, arm="nobody").out[1]


@pytest.mark.parametrize(("first", "second"), [("random", "policy"), ("policy", "random")])
@pytest.mark.parametrize(("before", "after"), [(0.1, 0.5), (0.5, 0.1), (0.5, 0), (0, 0.5)])
def test_the_maximum_holds_on_a_day_on_which_the_shares_change(
    two_arms, first, second, before, after
):
    states = {}
    spend_all(two_arms(random=before), states, first)
    for arm in (second, first):
        spend_all(two_arms(random=after), states, arm)
    assert sum(state["spent"] for state in states.values()) <= 10


def test_what_the_other_arm_spends_leaves_a_selection_valid_while_its_own_part_holds(two_arms):
    pacer, nothing = two_arms(random=0.5), np.zeros(3, dtype=bool)
    opened = pacer.evaluate({}, NOON, arm="random")
    opened.spend(1)
    states = kept(opened)
    assert pacer.still_valid({}, states, NOON, 1, nothing, "policy")
    assert pacer.still_valid({}, states, NOON, 1, nothing, "random")
    spend_all(pacer, states, "random")
    assert not pacer.still_valid({}, states, NOON, 1, nothing, "random")


def test_decisions_of_before_the_arms_have_the_whole_maximum(two_arms):
    states, pacer = {}, two_arms(random=0.5)
    for count in range(10):
        opened = pacer.evaluate(states, NOON, arm="control", shared=False)
        assert not opened.out.any(), count
        opened.spend(1)
        states |= kept(opened)
    assert list(states) == ["actions.discount.volume"]
    used = pacer.evaluate(states, NOON, arm="policy", shared=False)
    assert used.why(1).reason == "10 of at most 10 of today are used up"
