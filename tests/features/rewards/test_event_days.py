"""Tests of the value of events and of leaving by day."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from features.journeys.events import Event
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.decision_rewards import DAY_US
from features.rewards.event_days import EventRules, compute_event_days, mark_loaded
from features.rewards.event_rows import EventDay
from features.rewards.reward_state import read_state, write_state
from tests.conftest import NOW
from tests.features.rewards.test_reward_steps import happened, with_spend

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
TODAY = tables.micros(NOW) // DAY_US


def days_of(ledger: Ledger, rules: EventRules) -> list[EventDay]:
    return ledger.read(lambda c: compute_event_days(c, rules, "c1"))


def test_a_day_has_the_sum_of_what_measures_spend(ledger, toy_domain):
    domain = with_spend(toy_domain, churn=None)
    for number, (at, kind) in enumerate([(NOW, "order"), (NOW, "order"), (NOW - DAY, "visit")]):
        happened(ledger, domain, f"e{number}", "c1", at, kind)
    assert days_of(ledger, EventRules.of(domain)) == [EventDay(TODAY, 0, 5.0)]


def test_the_event_of_leaving_counts_on_its_day(ledger, toy_domain):
    domain = with_spend(toy_domain, churn={"event": "visit", "when": "happens"})
    happened(ledger, domain, "e1", "c1", NOW, "visit")
    happened(ledger, domain, "e2", "c1", NOW - DAY, "order")
    expected = [EventDay(TODAY - 1, 0, 2.5), EventDay(TODAY, 1, 0.0)]
    assert days_of(ledger, EventRules.of(domain)) == expected


@pytest.mark.parametrize(
    ("orders", "changes"),
    [
        ((0,), {20: 1}),
        ((0, 20), {40: 1}),
        ((0, 21), {20: 1, 21: -1, 41: 1}),
        ((0, 5, 30), {25: 1, 30: -1, 50: 1}),
    ],
)
def test_a_silence_counts_from_the_day_on_which_it_was_long_enough_until_it_ends(
    ledger, toy_domain, orders, changes
):
    """A customer of the toy business has left after 20 days without an order."""
    for number, day in enumerate(orders):
        happened(ledger, toy_domain, f"e{number}", "c1", NOW + day * DAY, "order")
    found = days_of(ledger, EventRules.of(toy_domain))
    assert found == [EventDay(TODAY + day, left, 0.0) for day, left in changes.items()]


@pytest.mark.parametrize(
    ("happening", "changes"),
    [
        ("LL", {0: 1}),
        ("LLB", {0: 1, 2: -1}),
        ("BLBB", {1: 1, 2: -1}),
        ("LBL", {0: 1, 1: -1, 2: 1}),
        ("BB", {}),
    ],
)
def test_a_customer_who_left_is_gone_until_an_event_brings_it_back(
    ledger, toy_domain, happening, changes
):
    domain = with_spend(
        toy_domain,
        churn={"event": "visit", "when": "happens", "back": "order"},
        objective={"margin": {"order.amount_eur": -2.0}},
    )
    for number, kind in enumerate(happening):
        event = "visit" if kind == "L" else "order"
        happened(ledger, domain, f"e{number}", "c1", NOW + number * DAY, event)
    rules, found = EventRules.of(domain), days_of(ledger, EventRules.of(domain))
    assert {row.day - TODAY: row.left for row in found if row.left} == changes
    orders = {number: -5.0 for number, kind in enumerate(happening) if kind == "B"}
    assert {row.day - TODAY: row.value for row in found if row.value} == orders
    for day in range(TODAY - 1, TODAY + len(happening) + 1):
        rest = ledger.read(lambda c, day=day: compute_event_days(c, rules, "c1", day))
        assert rest == [row for row in found if row.day >= day]


def test_a_customer_who_leaves_and_comes_back_at_one_instant_is_back(ledger, toy_domain):
    domain = with_spend(toy_domain, churn={"event": "visit", "when": "happens", "back": "order"})
    for event_id, kind in (("e1", "order"), ("e2", "visit")):
        happened(ledger, domain, event_id, "c1", NOW, kind)
    rules = EventRules.of(domain)
    assert days_of(ledger, rules) == [EventDay(TODAY, 0, 2.5)]
    assert ledger.read(lambda c: compute_event_days(c, rules, "c1", TODAY + 1)) == []


AMOUNTS = ["NaN", "Infinity", "-Infinity", '"2.5"', "true", "null", "[2.5]", "1e16", "9" * 400]


@pytest.mark.parametrize("stored", [f'{{"amount_eur": {one}}}' for one in AMOUNTS] + ["[]", "{2"])
def test_an_amount_that_no_event_may_have_counts_as_0(ledger, toy_domain, stored):
    """As written past all checks, or when the property was no number yet."""
    domain = with_spend(toy_domain, churn=None, objective={"margin": 0.5})
    for event_id in ("bad", "good"):
        happened(ledger, domain, event_id, "c1", NOW, "order")
    bad = sa.update(tables.events).where(tables.events.c.event_id == "bad")
    ledger.write_now(lambda c: c.execute(bad.values(properties=stored)))
    assert days_of(ledger, EventRules.of(domain)) == [EventDay(TODAY, 0, 1.25)]


def test_a_domain_without_values_and_churn_has_no_rows(ledger, toy_domain):
    domain = toy_domain.model_copy(update={"churn": None})
    happened(ledger, domain, "e1", "c1", NOW, "order")
    assert days_of(ledger, EventRules.of(domain)) == []


def test_loaded_customers_are_marked_once_their_ledger_is_summed(ledger, toy_domain):
    rules = EventRules.of(toy_domain)
    happening = {"c1": [loaded("order", NOW)], "c2": [loaded("visit", NOW)]}

    def load(connection: sa.Connection) -> list[str]:
        mark_loaded(connection, rules, happening)
        return list(connection.execute(sa.select(tables.reward_marks.c.key)).scalars())

    assert ledger.write_now(load) == []
    ledger.write_now(lambda c: write_state(c, read_state(c), read_state(c)))
    assert ledger.write_now(load) == ["c1"]


def loaded(kind: str, at: datetime) -> Event:
    return Event(kind, ("c1",), kind, at, "app", {})
