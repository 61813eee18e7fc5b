"""The lift of a ledger: who is counted, what is counted, and what is said of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from features.identity import Spelling, link
from serving.contract import OutcomeRequest
from serving.contract_lift import LiftRequest
from serving.control_group import arm_of
from serving.lift import view_lift
from serving.outcomes import record_outcome
from tests.serving.fakes import FakeModels, changed, decide, engine_of


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    """Half of the customers are in the control group; the policy always takes the discount."""
    catalog = changed(toy_catalog, control_group={"share": 0.5})
    greedy = FakeModels({"call_back": 0.1, "discount": 0.9, "talk_plus": 0.1}, greed=1e9)
    return engine_of(catalog, toy_domain, ledger, {}, greedy)


def say(engine, now, decision_id, outcome="accepted", **more):
    request = OutcomeRequest(decision_id=decision_id, outcome=outcome, **more)
    catalog = engine.desk.playbook.catalog
    return asyncio.run(record_outcome(request, engine.ledger, catalog, now))


def measured(engine, now, **period):
    catalog = engine.desk.playbook.catalog
    return view_lift(LiftRequest(**period), engine.ledger, catalog, "eur", now)


@pytest.fixture
def lived(engine, now):
    """60 customers; each accepts the discount (value 5, cost 0.5) and nothing else."""
    for number in range(60):
        shown = decide(engine, now, customer_id=f"c{number}", decision_id=f"d{number}").actions[0]
        if shown.action_id == "discount":
            say(engine, now + timedelta(hours=1), f"d{number}")
    return engine


def test_the_policy_earns_what_its_action_brings(lived, now):
    found = measured(lived, now + timedelta(days=1))
    group = lived.desk.playbook.catalog.control_group
    inside = [n for n in range(60) if arm_of(f"c{n}", group) == "control"]
    assert (found.policy.customers, found.control.customers) == (60 - len(inside), len(inside))
    assert found.policy.reward_per_customer == pytest.approx(4.5)
    assert found.control.reward_per_customer < 3
    assert found.lift == pytest.approx(4.5 - found.control.reward_per_customer)
    assert found.low > 0 and "earns" in found.verdict and "more for each customer" in found.verdict
    assert found.sample_ratio.trusted
    assert found.days[-1].value == pytest.approx(found.lift)
    assert found.open > 0


def test_what_is_taken_back_is_not_counted(lived, now):
    later = now + timedelta(days=1)
    before = measured(lived, later).policy.reward_per_customer
    who = next(
        n
        for n in range(60)
        if arm_of(f"c{n}", lived.desk.playbook.catalog.control_group) == "policy"
    )
    say(lived, later, f"d{who}", retracts=f"d{who}:discount:accepted")
    after = measured(lived, later)
    assert after.policy.reward_per_customer == pytest.approx(before - 5 / after.policy.customers)


def test_who_was_merged_across_the_arms_is_counted_in_neither(lived, toy_domain, now):
    group = lived.desk.playbook.catalog.control_group
    arms = {arm: next(f"c{n}" for n in range(60) if arm_of(f"c{n}", group) == arm)
            for arm in ("policy", "control")}  # fmt: skip
    before = measured(lived, now)
    pair, spelling = tuple(arms.values()), Spelling(toy_domain)
    lived.ledger.write_now(lambda c: link(c, spelling, pair, "test", now))
    after = measured(lived, now)
    assert after.in_both == 1
    assert after.policy.customers == before.policy.customers - 1
    assert after.control.customers == before.control.customers - 1


def test_only_what_was_shown_in_the_period_counts(lived, now):
    nothing = measured(lived, now, since=now + timedelta(days=1))
    assert (nothing.policy.customers, nothing.lift) == (0, None)
    assert nothing.verdict == "Not enough yet: each arm needs at least 2 customers."
    assert measured(lived, now, until=now).policy.decisions == 0
    assert measured(lived, now, since=now, until=now + timedelta(seconds=1)).policy.decisions > 0


def test_a_split_that_is_not_the_catalogues_is_told_before_any_figure(lived, now):
    catalog = changed(lived.desk.playbook.catalog, control_group={"share": 0.02})
    found = view_lift(LiftRequest(), lived.ledger, catalog, "eur", now)
    assert not found.sample_ratio.trusted
    assert found.verdict.startswith("Do not trust the lift: ")


def test_what_was_never_shown_counts_for_nobody(engine, now):
    for number in range(10):
        decide(engine, now, customer_id=f"c{number}", activate=False)
    found = measured(engine, now)
    assert found.policy.customers + found.control.customers == 0


def test_a_period_that_ends_before_it_begins_is_refused(now):
    with pytest.raises(ValueError, match="until is not after since"):
        LiftRequest(since=now, until=now)
