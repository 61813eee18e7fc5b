"""The credited lift of a ledger: who is counted, what is counted, and what is said of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions
from features.rewards.reward_steps import RewardRules
from serving.audit.lift.credited import view_credited_lift
from serving.contract.credited_lift import CreditedLift
from serving.contract.events import OutcomeRequest
from serving.contract.lift import LiftRequest
from serving.decide.outcomes import record_outcome
from serving.policies.arms import arm_of
from tests.conftest import NOW
from tests.decided import decided
from tests.serving.fakes import FakeModels, changed, decide, engine_of
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    """Half of the customers are in the control group; the policy always takes the discount."""
    catalog = changed(toy_catalog, arms={"random": 0.5, "nobody": 0})
    greedy = FakeModels({"call_back": 0.1, "discount": 0.9, "talk_plus": 0.1}, gamma=1e9)
    return engine_of(catalog, toy_domain, ledger, {}, greedy)


def say(engine, now, decision_id, outcome="accepted", **more):
    request = OutcomeRequest(decision_id=decision_id, outcome=outcome, **more)
    catalog = engine.setup.compiled.catalog
    return asyncio.run(record_outcome(request, engine.ledger, catalog, now))


def measured(engine, now, **period):
    catalog = engine.setup.compiled.catalog
    sum_all(engine.ledger, RewardRules.of(catalog, engine.domain))
    return view_credited_lift(LiftRequest(**period), engine.ledger, catalog, "eur", now)


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
    group = lived.setup.compiled.catalog.arms
    inside = [n for n in range(60) if arm_of(f"c{n}", group) == "random"]
    assert (found.policy.customers, found.random.customers) == (60 - len(inside), len(inside))
    assert found.policy.reward_per_customer == pytest.approx(4.5)
    assert found.random.reward_per_customer < 3
    assert found.lift == pytest.approx(4.5 - found.random.reward_per_customer)
    assert (
        found.low > 0
        and "earns" in found.verdict
        and "more credited reward a customer" in found.verdict
    )
    assert found.sample_ratio.trusted
    assert found.days[-1].value == pytest.approx(found.lift)
    assert found.open > 0


def test_what_is_taken_back_is_not_counted(lived, now):
    later = now + timedelta(days=1)
    before = measured(lived, later).policy.reward_per_customer
    who = next(
        n for n in range(60) if arm_of(f"c{n}", lived.setup.compiled.catalog.arms) == "policy"
    )
    say(lived, later, f"d{who}", retracts=f"d{who}:discount:accepted")
    after = measured(lived, later)
    assert after.policy.reward_per_customer == pytest.approx(before - 5 / after.policy.customers)


def test_who_was_merged_across_the_arms_is_counted_in_neither(lived, toy_domain, now):
    group = lived.setup.compiled.catalog.arms
    arms = {
        arm: next(f"c{n}" for n in range(60) if arm_of(f"c{n}", group) == arm)
        for arm in ("policy", "random")
    }
    before = measured(lived, now)
    pair, normalizer = tuple(arms.values()), KeyNormalizer(toy_domain)
    lived.ledger.write_now(lambda c: link(c, normalizer, pair, "test", now))
    after = measured(lived, now)
    assert after.in_both == 1
    assert after.policy.customers == before.policy.customers - 1
    assert after.random.customers == before.random.customers - 1


def test_only_what_was_shown_in_the_period_counts(lived, now):
    nothing = measured(lived, now, since=now + timedelta(days=1))
    assert (nothing.policy.customers, nothing.lift) == (0, None)
    assert nothing.verdict == "Not enough yet: each arm needs at least 2 customers."
    assert measured(lived, now, until=now).policy.decisions == 0
    assert measured(lived, now, since=now, until=now + timedelta(seconds=1)).policy.decisions > 0


def test_a_split_that_is_not_the_catalogues_is_told_before_any_figure(lived, toy_domain, now):
    measured(lived, now)
    catalog = changed(lived.setup.compiled.catalog, arms={"random": 0.02, "nobody": 0})
    found = view_credited_lift(LiftRequest(), lived.ledger, catalog, "eur", now)
    assert not found.sample_ratio.trusted
    assert found.verdict.startswith("Do not trust the credited lift: ")


def test_what_was_never_shown_counts_for_nobody(engine, now):
    for number in range(10):
        decide(engine, now, customer_id=f"c{number}", activate=False)
    found = measured(engine, now)
    assert found.policy.customers + found.random.customers == 0


def test_a_period_that_ends_before_it_begins_is_refused(now):
    with pytest.raises(ValueError, match="until is not after since"):
        LiftRequest(since=now, until=now)


# Rows whose truth is known: 80 customers of the policy, 20 of the control group -----------------


class World:
    """Each customer was shown one discount (14 days; costs 0.5, an acceptance is worth 5)."""

    def __init__(self, ledger, catalog, domain, share: float = 0.2) -> None:
        self.ledger = ledger
        self.domain = domain
        self.catalog = changed(catalog, arms={"random": share, "nobody": 0})

    def decide(self, policy: int = 80, control: int = 20) -> None:
        for number in range(policy + control):
            arm = "policy" if number < policy else "random"
            at = NOW - (number % 5) * DAY
            about = {"customer_id": f"c{number}", "arm": arm}
            decided(self.ledger, f"d{number}", at, {"discount": 14}, **about)

    def tell(self, numbers: range, **changes: object) -> None:
        rows = [
            {
                "outcome_id": f"accepted-{number}",
                "decision_id": f"d{number}",
                "action_id": "discount",
                "outcome": "accepted",
                "occurred_at": NOW + HOUR,
                "received_at": NOW + HOUR,
                "learned": True,
            }
            | changes
            for number in numbers
        ]

        def put(connection: sa.Connection) -> None:
            connection.execute(tables.outcomes.insert(), rows)
            mark_decisions(connection, [row["decision_id"] for row in rows])

        self.ledger.write_now(put)

    def view(self, at: timedelta = 20 * DAY, **period) -> CreditedLift:
        sum_all(self.ledger, RewardRules.of(self.catalog, self.domain))
        return view_credited_lift(LiftRequest(**period), self.ledger, self.catalog, "eur", NOW + at)


@pytest.fixture
def world(ledger, toy_catalog, toy_domain) -> World:
    return World(ledger, toy_catalog, toy_domain)


def test_a_lift_is_told_with_its_intervals_and_its_course(world):
    world.decide()
    world.tell(range(75))  # of the policy's
    world.tell(range(80, 90))
    view = world.view()
    assert view.lift == pytest.approx(5 * (75 / 80 - 10 / 20))
    assert view.policy.reward_per_customer == pytest.approx(5 * 75 / 80 - 0.5)
    assert view.low > 0 and view.welch_low > 0
    assert view.verdict.startswith("The policy earns 2.19 EUR (")
    assert view.per_decision == pytest.approx(view.lift)
    assert view.relative == pytest.approx(view.lift / view.random.reward_per_customer)
    assert len(view.days) == 5 and str(view.days[-1].day) == "2026-11-22"
    assert view.days[-1].value == pytest.approx(view.lift)
    assert 0 < view.relative_low < view.relative < view.relative_high
    # All but 5 of the policy's customers have brought the same.
    assert "only 5 customers have brought anything else" in view.remarks[0]


def test_nothing_is_told_in_parts_of_next_to_nothing(world):
    world.decide()
    world.tell(range(75))
    world.tell(range(80, 83))
    view = world.view()
    assert view.low > 0 and view.relative is view.relative_low is None


def test_late_and_retracted_outcomes_change_the_lift(world):
    world.decide()
    world.tell(range(40))
    world.tell(range(80, 90))
    assert world.view().verdict.startswith("Not certain yet: the difference is 0.00 EUR (")
    world.tell(range(40, 80), occurred_at=NOW + 9 * DAY)
    assert world.view().lift == pytest.approx(5 * (1 - 10 / 20))
    for number in range(80):
        gone = {"retracts": f"accepted-{number}", "outcome_id": f"back-{number}"}
        world.tell(range(number, number + 1), **gone)
    view = world.view()
    assert view.lift == pytest.approx(5 * (0 - 10 / 20))
    assert view.high < 0 and "less credited reward a customer than chance" in view.verdict


def test_open_windows_are_counted_with_what_is_known_and_told(world):
    world.decide()
    assert world.view(at=11 * DAY).open == 60
    assert "60 decisions may still be followed" in world.view(at=11 * DAY).remarks[0]
    assert (world.view().open, world.view().remarks) == (0, [])


def test_the_share_of_random_is_that_of_the_two_arms_that_are_credited(
    ledger, toy_catalog, toy_domain
):
    world = World(ledger, toy_catalog, toy_domain)
    world.catalog = changed(toy_catalog, arms={"random": 0.2, "nobody": 0.2})
    assert world.view().sample_ratio.expected_random == pytest.approx(0.25)


def test_an_uneven_split_is_told_with_what_to_look_for(ledger, toy_catalog, toy_domain):
    world = World(ledger, toy_catalog, toy_domain, share=0.02)
    world.decide()
    world.tell(range(60))
    view = world.view()
    assert not view.sample_ratio.trusted
    assert "20 of 100 customers are in the random arm (20.0%)" in view.verdict
    assert "Was the share or the salt changed" in view.verdict


@pytest.mark.parametrize(("policy", "control"), [(0, 0), (5, 1), (1, 1), (80, 20)])
def test_where_there_is_not_enough_it_says_so_instead_of_a_number(world, policy, control):
    """The last: nobody accepted anything, so nobody differs."""
    world.decide(policy, control)
    view = world.view()
    assert view.lift is view.low is view.relative is None
    assert view.verdict.startswith("Not enough yet: ")
    assert view.days == []
    assert CreditedLift.model_validate_json(view.model_dump_json()) == view


def test_a_long_course_has_some_of_its_days_and_the_last(ledger, toy_catalog, toy_domain):
    world = World(ledger, toy_catalog, toy_domain, share=0.5)
    for number in range(200):
        arm, at = ("policy", "random")[number % 2], NOW - (number // 2) * DAY
        about = {"customer_id": f"c{number}", "arm": arm}
        decided(ledger, f"d{number}", at, {"discount": 14}, **about)
        if number % 3 == 0:
            world.tell(range(number, number + 1), occurred_at=at)
    days = world.view().days
    assert 50 < len(days) <= 60 and str(days[-1].day) == "2026-11-22"
