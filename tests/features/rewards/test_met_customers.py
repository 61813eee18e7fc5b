"""Tests of when customers were first met."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.rewards.met_customers import TWO_ARMS, two_arms
from features.rewards.reward_steps import RewardRules, sum_rewards
from tests.conftest import NOW
from tests.decided import decided, put_imported
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HOUR = timedelta(hours=1)


def met(ledger):
    rows = ledger.read(lambda c: c.execute(sa.select(tables.met_customers)).all())
    return {row.customer_id: row.met_at for row in rows}


@pytest.mark.parametrize("first", [True, False], ids=["first walk", "new decisions"])
def test_a_customer_is_met_at_the_earliest_decision_shown_or_not(
    ledger, toy_catalog, toy_domain, first
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    if not first:
        sum_all(ledger, rules)
    decided(ledger, "d1", NOW, {"discount": 14})
    if not first:
        sum_all(ledger, rules)
    decided(ledger, "d2", NOW - HOUR, {}, served=False, activated_at=None, arm="nobody")
    decided(ledger, "d3", NOW + HOUR, {})
    put_imported(ledger, "imported", NOW - 9 * HOUR)
    sum_all(ledger, rules)
    assert met(ledger) == {"c1": NOW - HOUR}


def test_decisions_of_two_arms_do_not_count(ledger, toy_catalog, toy_domain):
    """As a migration notes the last of them."""
    decided(ledger, "d1", NOW, {}, customer_id="c1")
    decided(ledger, "d2", NOW, {}, customer_id="c2")
    ledger.write_now(lambda c: tables.set_meta(c, TWO_ARMS, "2"))
    assert ledger.read(two_arms) == 2
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d3", NOW + HOUR, {}, customer_id="c2")
    sum_all(ledger, rules)
    decided(ledger, "d4", NOW + HOUR, {}, customer_id="c3")
    while sum_rewards(ledger, rules):
        pass
    assert met(ledger) == {"c2": NOW + HOUR, "c3": NOW + HOUR}
