"""Tests rewards by customer and day: costs, late and shared outcomes, merges, periods."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_decisions
from features.outcomes.credit_rules import (
    ReportedOutcome,
    ShownAction,
    attribute_outcomes,
    credit_shares,
    reward,
)
from features.rewards.decision_rewards import DAY_US
from features.rewards.reward_rows import ARMS
from features.rewards.reward_steps import RewardRules
from features.rewards.rewards import Rewards, rewards
from tests.conftest import NOW
from tests.decided import decided
from tests.recomputed import as_sums, recomputed_rewards
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = tables.micros(NOW) // DAY_US
EPOCH, MOVED = tables.EPOCH, {"2026-02-28": 2, "2026-03-01": 1}
DISCOUNT = {"discount": 14}  # costs 0.5, an acceptance is worth 5


@pytest.fixture
def tell(ledger):
    """Writes an outcome of a decision, by default an hour after ``NOW``."""

    def put(decision_id: str, outcome: str = "accepted", name: str = "", **changed: Any) -> None:
        row = {
            "outcome_id": name or f"{decision_id}:{outcome}",
            "decision_id": decision_id,
            "action_id": "discount",
            "outcome": outcome,
            "occurred_at": NOW + HOUR,
            "received_at": NOW + HOUR,
            "learned": True,
        }

        def write(connection: sa.Connection) -> None:
            connection.execute(tables.outcomes.insert(), row | changed)
            mark_decisions(connection, [decision_id])

        ledger.write_now(write)

    return put


@pytest.fixture
def earned(ledger, toy_catalog, toy_domain):
    """The rewards as they are known a day after ``NOW``."""

    def read(at: timedelta = DAY, **period: Any) -> pd.DataFrame:
        sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
        found = rewards(ledger, toy_catalog, NOW + at, **period)
        return as_frame(found)

    return read


def as_frame(found: Rewards) -> pd.DataFrame:
    """The table as a frame, with the ids of the customers and the names of the arms."""
    frame = pd.DataFrame(found.table._asdict())
    frame["customer"] = [found.customers[number] for number in frame["customer"]]
    frame["arm"] = [ARMS[code] for code in frame["arm"]]
    return frame


def by_customer(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["customer"], table["reward"], strict=True))


def test_a_showing_costs_and_an_acceptance_is_worth_its_value(ledger, tell, earned):
    decided(ledger, "d1", NOW, DISCOUNT, customer_id="c1")
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2")
    tell("d2")
    tell("d2", "clicked")
    assert by_customer(earned()) == {"c1": -0.5, "c2": 4.5}


def test_rows_are_of_a_customer_an_arm_and_a_day(ledger, tell, earned):
    decided(ledger, "d1", NOW, DISCOUNT)
    decided(ledger, "d2", NOW + HOUR, DISCOUNT)
    decided(ledger, "d3", NOW - DAY, DISCOUNT)
    decided(ledger, "d4", NOW, DISCOUNT, arm="control", customer_id="c2")
    tell("d2", occurred_at=NOW + 2 * HOUR)
    rows = [tuple(row) for row in earned().itertuples(index=False)]
    assert rows == [
        ("c1", TODAY - 1, "policy", 1, 1, -0.5),
        ("c1", TODAY, "policy", 2, 2, 4.0),
        ("c2", TODAY, "control", 1, 1, -0.5),
    ]


def test_days_are_those_of_the_business_and_are_summed_again_when_its_clock_changes(
    ledger, toy_catalog, toy_domain
):
    evening = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)  # 21:30 on 28 February in New York
    for name, at in (("d1", evening), ("d2", evening - 8 * HOUR), ("d3", evening + 4 * HOUR)):
        decided(ledger, name, at, DISCOUNT)
    clock = {"zone": "America/New_York"}
    moved = Catalog.model_validate(toy_catalog.model_dump(by_alias=True) | {"clock": clock})
    march = datetime(2026, 3, 1, 5, tzinfo=UTC)
    periods = ({}, {"since": march}, {"until": march}, {"since": evening})
    for catalog, days in ((toy_catalog, {"2026-02-28": 1, "2026-03-01": 2}), (moved, MOVED)):
        sum_all(ledger, RewardRules.of(catalog, toy_domain))
        table = rewards(ledger, catalog, NOW).table
        shown = zip(table.day.tolist(), table.decisions.tolist(), strict=True)
        assert {str(EPOCH.date() + day * DAY): count for day, count in shown} == days
        for period in periods:
            found = as_sums(rewards(ledger, catalog, NOW, **period))
            assert found == recomputed_rewards(ledger, catalog, NOW, **period)


def test_showing_nothing_earns_and_costs_nothing_but_its_customer_counts(ledger, tell, earned):
    decided(ledger, "d1", NOW, {})
    tell("d1", action_id="no_action")
    assert by_customer(earned()) == {"c1": 0.0}


def test_each_action_that_was_shown_costs_and_none_that_was_withdrawn(ledger, earned):
    both = {"call_back": 7, "discount": 14}
    decided(ledger, "d1", NOW, both)
    assert by_customer(earned()) == {"c1": -1.5}
    activation = json.dumps({"activated": ["discount"]})
    decided(ledger, "d2", NOW, both, customer_id="c2", activation=activation)
    assert by_customer(earned())["c2"] == -0.5


def test_only_what_was_served_by_us_counts(ledger, earned):
    waits = {"activated_at": None, "served": False}
    imported = {"served": False, "arm": None, "record": None, "answer": None, "features": None}
    decided(ledger, "d1", NOW, DISCOUNT, **waits)
    decided(ledger, "d2", NOW, DISCOUNT, **imported)
    assert earned().empty


def test_a_decision_is_open_until_its_window_ends(ledger, earned):
    decided(ledger, "d1", NOW, DISCOUNT)
    assert earned(13 * DAY)["open"].tolist() == [1]
    assert earned(14 * DAY)["open"].tolist() == [0]


def test_late_revised_and_retracted_outcomes_change_what_was_earned(ledger, tell, earned):
    decided(ledger, "d1", NOW, DISCOUNT)
    assert by_customer(earned(20 * DAY)) == {"c1": -0.5}
    tell("d1", occurred_at=NOW + 13 * DAY, received_at=NOW + 20 * DAY)
    assert by_customer(earned(20 * DAY)) == {"c1": 4.5}
    tell("d1", "rejected", revises="d1:accepted")
    assert by_customer(earned(20 * DAY)) == {"c1": -0.5}
    tell("d1", name="again")
    tell("d1", name="back", retracts="again")
    assert by_customer(earned(20 * DAY)) == {"c1": -0.5}


def test_what_came_after_the_window_is_not_earned(ledger, tell, earned):
    decided(ledger, "d1", NOW, DISCOUNT)
    tell("d1", occurred_at=NOW + 14 * DAY + HOUR)
    assert by_customer(earned(20 * DAY)) == {"c1": -0.5}


def test_an_order_is_earned_once_even_if_one_of_those_who_share_it_is_not_asked_for(
    ledger, tell, earned
):
    decided(ledger, "d1", NOW - 2 * DAY, DISCOUNT, customer_id="c1")
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2")
    for decision_id in ("d1", "d2"):
        tell(decision_id, shared_id="order-7")
    assert by_customer(earned()) == {"c1": -0.5, "c2": 4.5}
    assert by_customer(earned(until=NOW)) == {"c1": -0.5}


def test_a_period_takes_decisions_by_when_they_were_shown(ledger, earned):
    decided(ledger, "d1", NOW, DISCOUNT, customer_id="c1")
    late = {"activated_at": NOW + DAY, "activation": json.dumps({"activated": ["discount"]})}
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2", **late)
    assert by_customer(earned(2 * DAY, since=NOW + DAY)) == {"c2": -0.5}
    assert by_customer(earned(2 * DAY, until=NOW + DAY)) == {"c1": -0.5}
    assert by_customer(earned(2 * DAY, since=NOW, until=NOW + 2 * DAY)) == {"c1": -0.5, "c2": -0.5}


def test_a_period_that_cuts_the_day_of_one_arm_leaves_that_of_the_other_as_it_is(ledger, earned):
    for number, (at, arm, who) in enumerate(
        [
            (NOW - HOUR, "policy", "c1"),
            (NOW + HOUR, "policy", "c1"),
            (NOW + HOUR, "control", "c1"),
            (NOW + HOUR, "policy", "c2"),
        ]
    ):
        decided(ledger, f"d{number}", at, DISCOUNT, arm=arm, customer_id=who)
    found = earned(since=NOW)[["customer", "arm", "decisions"]]
    expected = [("c1", "policy", 1), ("c1", "control", 1), ("c2", "policy", 1)]
    assert [tuple(row) for row in found.itertuples(index=False)] == expected


def test_an_action_that_the_catalogue_has_no_more_counts_zero_and_is_named(
    ledger, toy_catalog, toy_domain
):
    decided(ledger, "d1", NOW, {"of_last_year": 14})
    sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
    found = rewards(ledger, toy_catalog, NOW + DAY)
    assert found.unknown_actions == ["of_last_year"]
    assert by_customer(as_frame(found)) == {"c1": 0.0}
    earlier = rewards(ledger, toy_catalog, NOW + DAY, until=NOW - DAY)
    assert earlier.unknown_actions == []


def test_an_empty_ledger_has_an_empty_table(earned):
    assert list(earned()) == ["customer", "day", "arm", "decisions", "open", "reward"]
    assert earned().empty


def test_the_table_adds_up_to_the_rule_for_one_decision(ledger, tell, toy_catalog, earned):
    """The table splits gains and costs; together they are `reward`."""
    outcomes = ["accepted", "rejected", "clicked", None]
    one_by_one = 0.0
    for number in range(24):
        at = NOW - number * HOUR
        decided(ledger, f"d{number}", at, DISCOUNT, customer_id=f"c{number % 5}")
        reported = []
        if outcome := outcomes[number % 4]:
            tell(f"d{number}", outcome)
            reported = [ReportedOutcome("o", outcome, NOW + HOUR)]
        shown = ShownAction(f"d{number}", "discount", at, at + 14 * DAY)
        found = attribute_outcomes(shown, reported, toy_catalog)
        one_by_one += reward(found, credit_shares([found], toy_catalog), toy_catalog)
    assert earned()["reward"].sum() == pytest.approx(one_by_one)
    assert earned()["decisions"].sum() == 24


def test_a_merged_customer_has_the_rewards_of_both(ledger, earned):
    decided(ledger, "d1", NOW, DISCOUNT, customer_id="c1")
    decided(ledger, "d2", NOW, DISCOUNT, customer_id="c2")

    def merge(connection: sa.Connection) -> None:
        connection.execute(sa.update(tables.decisions).values(customer_id="c1"))
        mark_customers(connection, ["c1", "c2"])

    assert by_customer(earned()) == {"c1": -0.5, "c2": -0.5}
    ledger.write_now(merge)
    assert by_customer(earned()) == {"c1": -1.0}
