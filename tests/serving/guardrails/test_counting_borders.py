"""Draws and harm at the borders count once: arms, times, liftings, overlapping steps."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.contract.guardrails import LiftStopRequest
from serving.guardrails.counting import HarmCounter
from serving.guardrails.drawn_actions import DrawReader
from serving.guardrails.stops import lift_stop, read_stops, write_stops
from serving.guardrails.views import harm_test_view
from serving.policies.arms import arm_of
from tests.serving.guardrails.conftest import ARMS, COMPLAINTS, DAY, HOUR
from tests.serving.guardrails.made import harmful_test, with_harm
from tests.serving.guardrails.test_counting import arm_test, drawn

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def change_decisions(shop, **columns):
    """Write other values into all decisions."""
    shop.ledger.write_now(lambda c: c.execute(sa.update(tables.decisions).values(**columns)))


def newest_draw(shop):
    """The newest draw for the customer c1."""
    span = shop.now - DAY, shop.now + DAY
    return shop.ledger.read(lambda c: DrawReader().newest(c, ["c1"], *span, True))


def of_arm(shop, arm, number=1):
    """The ids of some customers of an arm."""
    names = (f"p{n}" for n in range(400))
    return [name for name in names if arm_of(name, shop.catalog.arms) == arm][:number]


@pytest.mark.parametrize(
    ("arm", "counts"),
    [("policy", True), ("random", True), ("nobody", False), ("control", False), (None, False)],
)
def test_draws_of_the_policy_and_of_the_random_arm_count(business, arm, counts):
    shop = business()
    shop.decide()
    change_decisions(shop, arm=arm)
    assert (newest_draw(shop) is not None) == counts


def test_a_decision_of_which_retention_has_removed_the_chances_is_no_draw(business):
    shop = business()
    shop.decide()
    change_decisions(shop, believed=None, record="{}")
    assert newest_draw(shop) is None


def test_of_two_decisions_of_one_moment_the_later_one_counts(business):
    shop = business()
    shop.decide(decision_id="z")
    shop.decide(decision_id="a")
    assert newest_draw(shop).decision_id == "a"


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
def test_of_two_decisions_of_one_moment_under_two_keys_the_later_one_counts(business, order):
    shop = business()
    for name in order:
        shop.decide(name, decision_id=f"of-{name}")
    span = shop.now - DAY, shop.now + DAY
    draw = shop.ledger.read(lambda c: DrawReader().newest(c, ["c1", "c2"], *span, True))
    assert draw.decision_id == f"of-{order[1]}"


def test_a_decision_of_the_moment_in_which_the_guardrail_begins_counts(business):
    shop = business({})
    shop.use(COMPLAINTS)
    shop.count()
    begun = shop.now
    decision = drawn(shop, "discount")
    change_decisions(shop, decided_at=begun)
    assert decision.actions[0].action_id == "discount"
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests()["discount"].harmed == 1


def lifted(shop):
    """Switch the discount off as if by its test, and lift it; the time of the lifting."""
    rule = shop.rules.rules[0]
    shop.ledger.write_now(lambda c: with_harm(c, rule, {"discount": harmful_test()}))
    view = harm_test_view("discount", harmful_test(), rule, shop.rules)
    shop.ledger.write_now(lambda c: write_stops(c, rule.name, [view], shop.now))
    request = LiftStopRequest(guardrail=rule.name, action_id="discount", cause="Other words.")
    lift_stop(shop.ledger, request, shop.passes(HOUR))
    return shop.now


@pytest.mark.parametrize(("after", "harmed"), [(timedelta(0), 1), (timedelta(microseconds=-1), 0)])
def test_a_lifted_action_counts_decisions_from_its_lifting_on(business, after, harmed):
    shop = business()
    drawn(shop, "discount")
    change_decisions(shop, decided_at=lifted(shop) + after)
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    found = shop.tests()
    assert (found["discount"].harmed, found["call_back"].harmed) == (harmed, 1)


def test_a_step_that_a_lifting_overtakes_is_computed_again(business):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    newest = shop.counter._draws.newest

    def overtaken(*asked):
        lifted(shop)
        return newest(*asked)

    shop.counter._draws.newest = overtaken
    assert shop.counter.count(shop.rules, shop.now)
    shop.counter._draws.newest = newest
    assert shop.tests()["discount"].harmed == 0
    shop.count()
    found = shop.tests()
    assert (found["discount"].harmed, found["call_back"].harmed) == (0, 1)


def test_a_step_that_a_longer_one_overtakes_does_not_take_its_harm_back(business):
    shop = business()
    for name in ("c1", "c2"):
        drawn(shop, "discount", customer=name)
    shop.passes(HOUR)
    for name in ("c1", "c2"):
        shop.event("complaint", name)
    slow, quick = HarmCounter(shop.ledger), HarmCounter(shop.ledger)
    newest = slow._draws.newest

    def overtaken(*asked):
        assert quick.count(shop.rules, shop.now)
        return newest(*asked)

    slow._draws.newest = overtaken
    assert slow.count(shop.rules, shop.now, size=1)
    assert shop.tests()["discount"].harmed == 2


def test_what_is_no_longer_in_the_catalogue_is_not_switched_off(business):
    shop = business()
    drawn(shop, "discount")
    shop.ledger.write_now(lambda c: with_harm(c, shop.rules.rules[0], {"discount": harmful_test()}))
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.rules = shop.rules._replace(actions=("call_back", "no_action"))
    shop.count()
    assert shop.ledger.read(read_stops) == {}


@pytest.mark.parametrize(("after", "harmed"), [(timedelta(0), 1), (timedelta(microseconds=-1), 0)])
def test_the_test_of_the_arm_counts_harm_from_its_beginning_on(business, after, harmed):
    shop = business(arms=ARMS)
    begun = shop.now - HOUR
    [name] = of_arm(shop, "policy")
    shop.decide(name)
    change_decisions(shop, decided_at=begun - DAY)
    shop.event("complaint", name, at=begun + after)
    shop.count()
    assert arm_test(shop).harmed == harmed


def test_harm_of_before_the_customer_was_met_does_not_count(business):
    shop = business(arms=ARMS)
    [name] = of_arm(shop, "policy")
    harmed_at = shop.now
    shop.passes(HOUR)
    shop.decide(name)
    shop.event("complaint", name, at=harmed_at)
    shop.count()
    assert arm_test(shop).harmed == 0


def test_a_customer_of_whom_another_arm_decided_does_not_count(business):
    shop = business(arms=ARMS)
    [name] = of_arm(shop, "policy")
    shop.decide(name)
    change_decisions(shop, arm="control")
    shop.passes(HOUR)
    shop.event("complaint", name)
    shop.count()
    assert arm_test(shop).harmed == 0


@pytest.mark.parametrize("first", [0, 1])
def test_merged_customers_count_once_whoever_was_harmed_first(business, first):
    shop = business(arms=ARMS)
    names = of_arm(shop, "policy", 2)
    for name in names:
        shop.decide(name)
    shop.passes(HOUR)
    shop.event("complaint", names[first])
    shop.count()
    for name in names:
        shop.event("visit", name, "email:a@b")
    shop.passes(HOUR)
    shop.event("complaint", names[1 - first])
    shop.count()
    assert arm_test(shop).harmed == 1
