"""Tests of the value of customers by day, from the day on which they were met."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.ledger import tables
from features.rewards.customer_values import counted_days, customer_values
from features.rewards.decision_rewards import DAY_US
from features.rewards.reward_rows import ARMS
from features.rewards.reward_steps import RewardRules
from tests.conftest import NOW
from tests.decided import decided
from tests.features.rewards.test_reward_steps import happened, with_spend
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
TODAY = tables.micros(NOW) // DAY_US


def test_all_value_counts_from_the_day_of_meeting_on(ledger, toy_catalog, toy_domain):
    """An order is 2.5; showing the discount costs 0.5; whoever leaves takes 7 along."""
    domain = with_spend(
        toy_domain,
        churn={"event": "visit", "when": "happens", "back": "order"},
        objective={"margin": 0.4, "remaining_value": 7},
    )
    for number, (day, kind) in enumerate(
        [(-101, "order"), (-15, "order"), (-9, "order"), (-2, "visit"), (-1, "order"), (0, "visit")]
    ):
        happened(ledger, domain, f"e{number}", "c1", NOW + day * DAY, kind)
    decided(ledger, "d1", NOW - 10 * DAY, {}, customer_id="c1")
    decided(ledger, "d2", NOW - 9 * DAY, {"discount": 14}, customer_id="c1")
    decided(ledger, "d3", NOW - DAY, {}, customer_id="c2", served=False, activated_at=None)
    happened(ledger, domain, "not met", "c3", NOW, "order")
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    found = customer_values(ledger, domain, toy_catalog, NOW)
    assert found.customers == ["c1", "c2"]
    assert list(found.met_day - TODAY) == [-10, -1]
    assert list(found.before) == [1.0, 0.0]
    assert list(found.remaining) == [7.0, 7.0]
    assert list(found.days.customer) == [0, 0, 0, 0]
    assert list(found.days.day - TODAY) == [-9, -2, -1, 0]
    assert list(found.days.margin) == [1.0, 0.0, 1.0, 0.0]
    assert list(found.days.cost) == [0.5, 0.0, 0.0, 0.0]
    assert list(found.days.left) == [0, 1, -1, 1]
    assert list(found.values()) == [1.5 - 7.0, 0.0]
    assert list(found.values(TODAY - 1)) == [1.5, 0.0]


def test_since_and_until_limit_the_days_and_not_the_customers(ledger, toy_catalog, toy_domain):
    domain = with_spend(toy_domain, churn=None)
    for number in range(6):
        happened(ledger, domain, f"e{number}", "c1", NOW - number * DAY, "order")
    decided(ledger, "d1", NOW - 10 * DAY, {}, customer_id="c1")
    decided(ledger, "d2", NOW, {}, customer_id="c2")
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    found = customer_values(ledger, domain, toy_catalog, NOW, since=NOW - 3 * DAY, until=NOW - DAY)
    assert found.customers == ["c1", "c2"]
    assert list(found.days.day - TODAY) == [-3, -2, -1]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Rome", "Pacific/Auckland"])
def test_a_period_has_the_days_with_the_dates_of_the_business(zone):
    clock = ZoneInfo(zone)
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    since, until = (datetime(2026, 11, day, tzinfo=clock) for day in (3, 10))
    day = date(2026, 11, 3).toordinal() - date(1970, 1, 1).toordinal()
    assert counted_days(clock, now, since, until) == (day, day + 6)
    assert counted_days(clock, now, since)[1] == day + 19
    assert counted_days(clock, now, until=now + 9 * DAY)[1] == day + 19


def test_what_is_shown_on_the_evening_of_meeting_costs_on_the_day_of_meeting(
    ledger, toy_catalog, toy_domain
):
    """In New York it is the evening before."""
    content = toy_catalog.model_dump(mode="json", by_alias=True)
    catalog = Catalog.model_validate(content | {"clock": {"zone": "America/New_York"}})
    decided(ledger, "d1", NOW.replace(hour=2), {"discount": 14})
    sum_all(ledger, RewardRules.of(catalog, toy_domain))
    found = customer_values(ledger, toy_domain, catalog, NOW)
    assert (list(found.days.day - TODAY), list(found.days.cost)) == ([0], [0.5])


def test_who_left_before_a_period_and_who_before_it_was_met_is_told(
    ledger, toy_catalog, toy_domain
):
    domain = with_spend(toy_domain, churn={"event": "visit", "when": "happens", "back": "order"})
    for customer_id, day in (("c1", -5), ("c2", -12), ("c3", -2)):
        decided(ledger, f"d{customer_id}", NOW - 10 * DAY, {}, customer_id=customer_id)
        happened(ledger, domain, f"e{customer_id}", customer_id, NOW + day * DAY, "visit")
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    for since, gone in ((None, [False, True, False]), (NOW - 3 * DAY, [True, True, False])):
        found = customer_values(ledger, domain, toy_catalog, NOW, since)
        assert list(found.gone_before) == gone


def test_customers_with_decisions_of_several_arms_are_counted(ledger, toy_catalog, toy_domain):
    for number, (customer_id, arm) in enumerate(
        [("c1", "policy"), ("c1", "control"), ("c2", "policy"), ("c2", "nobody"), ("c3", "random")]
    ):
        decided(ledger, f"d{number}", NOW, {}, customer_id=customer_id, arm=arm)
    sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
    found = customer_values(ledger, toy_domain, toy_catalog, NOW)
    bits = {name: 1 << ARMS.index(name) for name in ARMS}
    assert list(found.arms_logged) == [
        bits["policy"],
        bits["policy"] | bits["nobody"],
        bits["random"],
    ]
    assert found.merged_across_arms == 1


def test_values_by_an_earlier_objective_are_told_until_they_are_summed_again(
    ledger, toy_catalog, toy_domain
):
    """An order is 2.5."""
    decided(ledger, "d1", NOW, {}, customer_id="c1")
    happened(ledger, toy_domain, "e1", "c1", NOW, "order")
    for margin, before in ((1.0, 0.0), (0.5, 2.5)):
        domain = with_spend(toy_domain, objective={"margin": margin})
        found = customer_values(ledger, domain, toy_catalog, NOW)
        assert (found.values().sum(), found.outdated) == (before, True)
        sum_all(ledger, RewardRules.of(toy_catalog, domain))
        found = customer_values(ledger, domain, toy_catalog, NOW)
        assert (found.values().sum(), found.outdated) == (2.5 * margin, False)


def test_without_customers_there_are_no_values(ledger, toy_catalog, toy_domain):
    found = customer_values(ledger, toy_domain, toy_catalog, NOW)
    assert (found.customers, found.merged_across_arms) == ([], 0)
    assert found.values().shape == (0,) and found.values().dtype == np.float64
