"""Harm counts once, at the decision before it, for each action that could have been drawn."""

from __future__ import annotations

import logging
from datetime import timedelta
from math import log

import pytest

from features.ingest.erase_rows import begin_erasure
from serving.contract.guardrails import LiftStopRequest
from serving.guardrails.counting import HarmCounter
from serving.guardrails.harm_test import RATIOS
from serving.guardrails.stops import lift_stop, read_stops
from serving.policies.arms import arm_of
from tests.features.erasing import make_erasure
from tests.serving.guardrails.conftest import ARMS, COMPLAINTS, DAY, HOUR

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def chances(decision):
    """The chance of each candidate, as it was told to the caller."""
    return {one.action_id: one.probability for one in decision.explanation.candidates}


def drawn(business, action_id, customer="c1", **fields):
    """A decision that drew an action: the newest one of the customer."""
    for _ in range(200):
        business.passes(timedelta(minutes=1))
        decision = business.decide(customer, **fields)
        if decision.actions[0].action_id == action_id:
            return decision
    raise AssertionError(f"{action_id} was never drawn")


def e_value(tosses):
    """The mean likelihood ratio of tosses (chance, whether it had been drawn)."""
    total = 0.0
    for ratio in RATIOS:
        likelihood = 1.0
        for chance, followed in tosses:
            larger = ratio * chance / (ratio * chance + 1 - chance)
            likelihood *= larger / chance if followed else (1 - larger) / (1 - chance)
        total += likelihood
    return total / len(RATIOS)


def test_harm_counts_for_the_actions_that_could_have_been_drawn(business):
    shop = business()
    decision = drawn(shop, "discount")
    shop.passes(DAY)
    shop.event("complaint", "c1")
    assert shop.count() == 1
    chance = chances(decision)
    both = chance["call_back"] + chance["discount"]
    found = shop.tests()
    assert set(found) == {"call_back", "discount"}
    assert found["discount"].e_value == pytest.approx(e_value([(chance["discount"] / both, True)]))
    other = e_value([(chance["call_back"] / both, False)])
    assert found["call_back"].e_value == pytest.approx(other)
    assert (found["discount"].harmed, found["discount"].after) == (1, 1)
    assert (found["call_back"].harmed, found["call_back"].after) == (1, 0)
    assert found["discount"].stops_at == pytest.approx(3 / 0.02)  # three actions, level 2 %


def test_against_nobody_an_action_is_compared_with_no_action_alone(business):
    shop = business({"complaints": COMPLAINTS["complaints"] | {"against": "nobody"}})
    tosses = {"discount": [], "call_back": []}
    for action in ("discount", "no_action", "call_back"):
        chance = chances(drawn(shop, action))
        shop.passes(HOUR)
        shop.event("complaint", "c1")
        for name in tosses:
            if action in (name, "no_action"):
                share = chance[name] / (chance[name] + chance["no_action"])
                tosses[name].append((share, action == name))
    shop.count()
    found = shop.tests()
    for name, some in tosses.items():
        assert found[name].e_value == pytest.approx(e_value(some))
        assert (found[name].harmed, found[name].after) == (2, 1)


def test_harm_belongs_to_the_newest_contact_before_it_whenever_it_is_told(business):
    shop = business()
    first = drawn(shop, "discount")
    harmed_at = shop.passes(HOUR)
    shop.passes(HOUR)
    drawn(shop, "call_back")
    drawn(shop, "no_action")  # which contacts nobody
    shop.passes(HOUR)
    shop.event("complaint", "c1", at=harmed_at)  # late: it belongs to the first
    shop.count()
    chance = chances(first)
    share = chance["discount"] / (chance["discount"] + chance["call_back"])
    assert shop.tests()["discount"].e_value == pytest.approx(e_value([(share, True)]))
    shop.event("complaint", "c1")  # it belongs to the second
    shop.count()
    assert shop.tests()["call_back"].after == 1
    assert [row.unit for row in shop.rows("guardrail_events")] == ["decision"] * 2


def test_one_decision_and_one_event_count_once(business):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1", number="same")
    shop.count()
    shop.event("complaint", "c1", number="same", at=shop.now)  # it is sent again
    shop.event("complaint", "c1")  # the same decision was followed by more of it
    shop.count()
    assert shop.tests()["discount"].harmed == 1
    assert shop.rows("guardrail_marks") == []
    assert shop.count() == 0


@pytest.mark.parametrize(
    ("wait", "harmed"), [(3 * DAY, 1), (3 * DAY + timedelta(seconds=1), 0), (timedelta(0), 0)]
)
def test_harm_counts_within_so_many_days_and_not_at_the_same_moment(business, wait, harmed):
    shop = business()
    drawn(shop, "discount")
    shop.passes(wait)
    shop.event("complaint", "c1")
    shop.count()
    assert sum(one.harmed for one in shop.tests().values()) == 2 * harmed


def test_decisions_of_before_the_guardrail_do_not_count(business):
    shop = business({})
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.use(COMPLAINTS)
    shop.count()
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests() == {}


def test_a_certain_draw_tells_nothing(business):
    shop = business()
    drawn(shop, "discount", actions=("discount",))  # no other action could have been drawn
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests() == {}
    shop.use({"complaints": COMPLAINTS["complaints"] | {"against": "nobody"}})
    shop.count()
    drawn(shop, "discount", actions=("discount",))  # but `no_action`
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests()["discount"].harmed == 1


def test_a_draw_that_was_not_shown_counts_as_drawn(business):
    shop = business()
    drawn(shop, "discount", activate=False)
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests()["discount"].after == 1


def test_feedback_counts_up_to_a_score(business):
    shop = business({"unhappy": {"counts": "nps", "at_most": 6}})
    for score in (9, 7, 6, 0):
        drawn(shop, "discount")
        shop.passes(HOUR)
        shop.event("nps", "c1", score=score)
        shop.passes(HOUR)
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("nps", "c1")  # without a score
    shop.count()
    assert shop.tests()["discount"].after == 2


def test_a_silence_is_harm_once_it_has_lasted_long_enough(business):
    shop = business({"leaving": {"counts": "leaving", "within_days": 10}})  # 20 days without order
    shop.event("order", "c1", amount_eur=1)
    [mark] = shop.rows("guardrail_marks")
    assert mark.due_at == shop.now + 20 * DAY
    shop.passes(5 * DAY)
    shop.event("order", "c1", amount_eur=1)  # leaves the mark as it is
    ordered_at = shop.now
    shop.passes(timedelta(minutes=20))
    last = drawn(shop, "discount")  # of the same visit
    shop.passes(2 * DAY)
    drawn(shop, "call_back")  # a contact during the silence, which had begun before
    shop.passes(ordered_at + 20 * DAY - shop.now - HOUR)
    shop.count()
    assert shop.tests() == {}
    assert [one.due_at for one in shop.rows("guardrail_marks")] == [ordered_at + 20 * DAY]
    shop.passes(2 * HOUR)
    shop.count()
    chance = chances(last)
    share = chance["discount"] / (chance["discount"] + chance["call_back"])
    assert shop.tests()["discount"].e_value == pytest.approx(e_value([(share, True)]))
    assert shop.rows("guardrail_marks") == []


def test_leaving_may_be_an_event(business):
    shop = business(
        {"leaving": {"counts": "leaving"}}, churn={"event": "complaint", "when": "happens"}
    )
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("order", "c1", amount_eur=1)
    shop.event("complaint", "c1")
    shop.count()
    assert shop.tests()["discount"].after == 1


def test_the_decision_of_a_merged_customer_counts_for_harm_under_another_key(business):
    shop = business()
    drawn(shop, "discount", customer="c1")
    shop.passes(HOUR)
    shop.event("visit", "c2", "email:a@b")
    shop.event("visit", "c1", "email:a@b")
    shop.event("complaint", "c2")
    shop.count()
    assert shop.tests()["discount"].after == 1


def test_nothing_stays_of_a_forgotten_customer_but_the_sums(business):
    shop = business()
    for name in ("c1", "c2"):
        drawn(shop, "discount", customer=name)
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    shop.event("complaint", "c2")
    for name in ("c1", "c2"):
        shop.ledger.write_now(lambda c, name=name: begin_erasure(c, [name], shop.now))
    assert shop.rows("guardrail_events") == shop.rows("guardrail_marks") == []
    shop.count()
    assert shop.tests()["discount"].harmed == 1


def test_a_step_that_began_before_an_erasure_brings_nothing_back(business, tmp_path):
    shop = business(arms=ARMS)
    names = (f"c{number}" for number in range(99))
    name = next(one for one in names if arm_of(one, shop.catalog.arms) == "policy")
    drawn(shop, "discount", customer=name)
    shop.passes(HOUR)
    shop.event("complaint", name)
    newest = shop.counter._draws.newest

    def forgotten_meanwhile(*asked):
        make_erasure(shop.ledger, tmp_path).forget([name], shop.now)
        return newest(*asked)

    shop.counter._draws.newest = forgotten_meanwhile
    assert shop.counter.count(shop.rules, shop.now)
    assert shop.rows("guardrail_events") == shop.rows("guardrail_marks") == []
    assert shop.count() == 0


def test_two_processes_count_each_event_once(business):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    slow, quick = HarmCounter(shop.ledger), HarmCounter(shop.ledger)
    newest = slow._draws.newest

    def overtaken(*asked):
        assert quick.count(
            shop.rules, shop.now
        )  # between the snapshot of the slow one and its write
        return newest(*asked)

    slow._draws.newest = overtaken
    assert slow.count(shop.rules, shop.now)
    assert shop.tests()["discount"].harmed == 1
    assert shop.count() == 0


def test_an_event_that_comes_while_its_silence_is_counted_is_marked_again(business):
    shop = business({"leaving": {"counts": "leaving", "within_days": 30}})
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("order", "c1", amount_eur=1)
    shop.passes(21 * DAY)
    newest = shop.counter._draws.newest

    def meanwhile(*asked):
        shop.event("order", "c1", amount_eur=1)
        return newest(*asked)

    shop.counter._draws.newest = meanwhile
    shop.counter.count(shop.rules, shop.now)
    assert [one.due_at for one in shop.rows("guardrail_marks")] == [shop.now + 20 * DAY]


def harm_until_stopped(shop, action="discount", most=60):
    """Each decision that drew an action is followed by a complaint; the number of complaints."""
    for number in range(most):
        customer = f"h{number}"
        drawn(shop, action, customer=customer)
        shop.passes(timedelta(minutes=5))
        shop.event("complaint", customer)
        shop.count()
        if action in shop.ledger.read(read_stops):
            return number + 1
    raise AssertionError("it was never stopped")


def test_what_harms_is_switched_off_until_somebody_lifts_it(business, caplog):
    shop = business()
    with caplog.at_level(logging.WARNING, logger="serving.guardrails.counting"):
        harm_until_stopped(shop)
    [stop] = shop.rows("guardrail_stops")
    assert (stop.guardrail, stop.action_id, stop.lifted_at) == ("complaints", "discount", None)
    assert "has switched off discount" in caplog.text
    assert "nba guardrails --lift complaints --action discount" in caplog.text
    assert log(shop.tests()["discount"].e_value) >= log(3 / 0.02)
    assert "call_back" not in shop.ledger.read(read_stops)
    shop.engine.setup = shop.engine.setup.with_stops(shop.ledger.read(read_stops))
    assert all(
        shop.decide(f"free{number}").actions[0].action_id != "discount" for number in range(20)
    )
    request = LiftStopRequest(guardrail="complaints", action_id="discount", cause="Other words.")
    lifted = lift_stop(shop.ledger, request, shop.passes(HOUR))
    assert (lifted.lifted_by, lifted.lifted_at) == ("Other words.", shop.now)
    assert shop.ledger.read(read_stops) == {}
    assert shop.tests()["discount"].e_value == 1.0
    shop.event("complaint", "free1")
    shop.count()
    assert shop.tests()["discount"].harmed == 0  # it follows a decision of before the lifting


def test_a_lifted_action_that_goes_on_harming_is_stopped_again(business):
    shop = business()
    first = harm_until_stopped(shop)
    request = LiftStopRequest(guardrail="complaints", action_id="discount", cause="Once more.")
    lift_stop(shop.ledger, request, shop.passes(HOUR))
    shop.passes(HOUR)
    second = harm_until_stopped(shop)
    assert abs(first - second) <= 4
    assert len(shop.rows("guardrail_stops")) == 2


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ({"limit": 1.5}, True),
        ({"within_days": 4}, True),
        ({"level": 0.05}, True),
        ({"description": "Somebody complained."}, False),
    ],
)
def test_a_changed_guardrail_begins_anew(business, change, begins):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1")
    shop.count()
    shop.use({"complaints": COMPLAINTS["complaints"] | change})
    shop.count()
    assert (shop.tests() == {}) == begins
    harm(shop, "c1")  # after a decision of before the change
    assert (shop.tests() == {}) == begins
    drawn(shop, "discount")
    harm(shop, "c1")
    assert shop.tests()["discount"].harmed == (1 if begins else 2)


def harm(shop, customer):
    """A complaint of now that is counted by the guardrails of now."""
    shop.passes(HOUR)
    shop.event("complaint", customer)
    shop.count()


def test_servers_with_other_guardrails_do_not_begin_each_others_tests_anew(business):
    shop = business()
    old, new = COMPLAINTS, {"complaints": COMPLAINTS["complaints"] | {"limit": 2.0}}
    servers = [(old, shop.rules, HarmCounter(shop.ledger))]
    shop.use(new)
    servers.append((new, shop.rules, HarmCounter(shop.ledger)))
    for turn in range(5):
        guardrails, shop.rules, shop.counter = servers[turn % 2]
        shop.count()
        drawn(shop, "discount", customer=f"c{turn}")
        harm(shop, f"c{turn}")
    found = []
    for guardrails, *_ in servers:
        shop.use(guardrails)
        found.append(shop.tests()["discount"].harmed)
    assert found == [3, 2]  # each complaint once, by the server that came first


def test_servers_with_other_arms_keep_both_tests_of_the_arm(business):
    shop = business(arms=ARMS)
    arms = [ARMS, {"random": 0.2, "nobody": 0.1}]
    names = [f"p{n}" for n in range(200)]
    for one in arms:
        shop.use(COMPLAINTS, arms=one)
        names = [name for name in names if arm_of(name, shop.catalog.arms) == "policy"]
    for turn in range(3):
        shop.use(COMPLAINTS, arms=arms[turn % 2])
        shop.count()
        shop.decide(names[turn])
        harm(shop, names[turn])
    found = []
    for one in arms:
        shop.use(COMPLAINTS, arms=one)
        found.append(arm_test(shop).harmed)
    assert found == [2, 1]


def arm_test(shop):
    return shop.views()[0].policy


def test_the_policy_is_warned_of_by_the_first_harm_of_each_customer(business, caplog):
    shop = business(arms=ARMS)
    names = [f"p{number}" for number in range(200)]
    arms = {name: arm_of(name, shop.catalog.arms) for name in names}
    policy = [name for name in names if arms[name] == "policy"]
    other = [name for name in names if arms[name] == "random"][:2]
    nobody = next(name for name in names if arms[name] == "nobody")
    for name in (*other, nobody):
        shop.decide(name)
        shop.passes(HOUR)
        for _ in range(2):
            shop.event("complaint", name)
    shop.event("complaint", policy[-1])  # nobody has decided about them yet
    shop.count()
    share = 0.6 / 0.9
    assert arm_test(shop).harmed == 2
    assert arm_test(shop).e_value == pytest.approx(e_value([(share, False)] * 2))
    with caplog.at_level(logging.WARNING, logger="serving.guardrails.counting"):
        for name in policy[:40]:
            shop.decide(name)
            shop.passes(HOUR)
            shop.event("complaint", name)
        shop.count()
    found = arm_test(shop)
    assert (found.harmed, found.after) == (42, 40)
    tosses = [(share, False)] * 2 + [(share, True)] * 40
    assert found.e_value == pytest.approx(e_value(tosses))
    assert found.exceeded and found.stops_at == 50
    assert "more customers are harmed by the policy" in caplog.text
    assert shop.views()[0].words.startswith("guardrails: complaints is more frequent")


def test_other_arms_begin_the_test_of_the_arm_anew_and_no_other(business):
    shop = business(arms=ARMS)
    name = next(f"p{n}" for n in range(99) if arm_of(f"p{n}", shop.catalog.arms) == "policy")
    drawn(shop, "discount", customer=name)
    shop.passes(HOUR)
    shop.event("complaint", name)
    shop.count()
    assert (arm_test(shop).harmed, shop.tests()["discount"].harmed) == (1, 1)
    shop.use(COMPLAINTS, arms={"random": 0.2, "nobody": 0.1})
    shop.count()
    assert (arm_test(shop).harmed, shop.tests()["discount"].harmed) == (0, 1)
    drawn(shop, "discount", customer=name)
    harm(shop, name)  # counted before, but not by the new test
    assert (arm_test(shop).harmed, shop.tests()["discount"].harmed) == (1, 2)


def test_merged_customers_count_once_in_the_test_of_the_arm(business):
    shop = business(arms=ARMS)
    names = [f"p{n}" for n in range(99) if arm_of(f"p{n}", shop.catalog.arms) == "policy"][:2]
    for name in names:
        shop.decide(name)
    shop.passes(HOUR)
    shop.event("complaint", names[0])
    shop.count()
    for name in names:
        shop.event("visit", name, "email:a@b")
    shop.passes(HOUR)
    shop.event("complaint", names[1])
    shop.count()
    assert arm_test(shop).harmed == 1
