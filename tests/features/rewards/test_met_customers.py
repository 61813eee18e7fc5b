"""Tests of when customers were first met."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.migrations import migrate
from features.rewards.customer_values import customer_values
from features.rewards.decision_rewards import DAY_US
from features.rewards.event_rows import EventDay, pack_event_days
from features.rewards.met_customers import TWO_ARMS, two_arms
from features.rewards.reward_state import STATE
from features.rewards.reward_steps import RewardRules, sum_rewards
from tests.conftest import NOW
from tests.decided import decided, put_imported
from tests.features.ledger.test_migrations import GO_BACK_TO_12
from tests.features.rewards.test_reward_steps import happened, summed_events, with_spend
from tests.recomputed import recomputed_event_days
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = tables.micros(NOW) // DAY_US


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
    decided(ledger, "d4", NOW + DAY, {})
    sum_all(ledger, rules)
    assert met(ledger) == {"c1": NOW - HOUR}


@pytest.mark.parametrize("first", [True, False], ids=["first walk", "new decisions"])
def test_decisions_of_two_arms_do_not_count(ledger, toy_catalog, toy_domain, first):
    """As a migration notes the last of them."""
    rules = RewardRules.of(toy_catalog, toy_domain)
    if not first:
        sum_all(ledger, rules)
    decided(ledger, "d1", NOW, {}, customer_id="c1")
    decided(ledger, "d2", NOW, {}, customer_id="c2")
    ledger.write_now(lambda c: tables.set_meta(c, TWO_ARMS, "2"))
    assert ledger.read(two_arms) == 2
    decided(ledger, "d3", NOW + HOUR, {}, customer_id="c2")
    sum_all(ledger, rules)
    decided(ledger, "d4", NOW + HOUR, {}, customer_id="c3")
    while sum_rewards(ledger, rules):
        pass
    assert met(ledger) == {"c2": NOW + HOUR, "c3": NOW + HOUR}


def test_a_migrated_home_meets_its_customers_anew_and_sums_all_events_again(
    ledger_url, toy_catalog, toy_domain
):
    """An earlier release has told how often a customer left, and nothing of who came back."""
    domain = with_spend(toy_domain)
    former = Ledger(ledger_url)
    for number, customer_id in enumerate(("c1", "c2")):
        about = {"customer_id": customer_id, "arm": "control"}
        decided(former, f"d{number}", NOW - 2 * DAY, {"discount": 14}, **about)
    happened(former, domain, "e1", "c1", NOW - 30 * DAY, "order")
    happened(former, domain, "e2", "c1", NOW, "order")
    of_then = [EventDay(TODAY - 30, 0, 2.5), EventDay(TODAY - 10, 1, 0.0), EventDay(TODAY, 0, 2.5)]
    walk = {"rules": "of then", "after": None, "first": False}
    state = {"step": 5, "serial": 2, "rewards": walk, "events": walk}

    def go_back(connection: sa.Connection) -> None:
        row = {"customer_id": "c1", "days": pack_event_days(of_then), "step": 5}
        connection.execute(tables.event_days.insert(), row)
        tables.set_meta(connection, STATE, json.dumps(state))
        tables.set_meta(connection, "schema", "12")
        for change in (*GO_BACK_TO_12, "DROP TABLE met_customers", "DROP TABLE pruned_event_days"):
            connection.exec_driver_sql(change)

    former.write_now(go_back)
    former.close()
    assert migrate(ledger_url).found == "12"
    ledger = Ledger(ledger_url)
    assert summed_events(ledger)["c1", TODAY - 10] == (1, 0.0)
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    assert summed_events(ledger)["c1", TODAY] == (-1, 2.5)
    assert summed_events(ledger) == recomputed_event_days(ledger, domain)
    assert met(ledger) == {}
    decided(ledger, "d3", NOW + HOUR, {}, customer_id="c2")
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    assert met(ledger) == {"c2": NOW + HOUR}
    found = customer_values(ledger, domain, toy_catalog, NOW + HOUR)
    assert (found.customers, list(found.values())) == (["c2"], [0.0])
    ledger.close()
