"""Tests of the rows that are kept in memory between two requests for lift."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.kept_rows import EVENT_ROWS, KeptRows
from features.rewards.reward_steps import RewardRules
from tests.conftest import NOW
from tests.decided import decided
from tests.features.rewards.test_reward_steps import happened
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NOW_US = tables.micros(NOW)


def given(ledger: Ledger, kept: KeptRows, now_us: int = NOW_US) -> dict[str, tuple[int, bool]]:
    """The step of each row, and whether the ends of its windows were read."""
    rows = ledger.read(lambda connection: sum(kept.batches(connection, now_us), []))
    return {row.customer_id: (row.step, row.window_ends is not None) for row in rows}


@pytest.fixture
def summed(ledger, toy_catalog, toy_domain):
    """Decides for a customer, and sums."""

    def decide(number: int, customer_id: str, days: int = 14) -> None:
        decided(ledger, f"d{number}", NOW, {"discount": days}, customer_id=customer_id)
        sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))

    return decide


def test_rows_that_were_written_since_are_read(ledger, summed):
    kept = KeptRows()
    assert given(ledger, kept) == {}
    summed(1, "c1")
    first = given(ledger, kept)
    summed(2, "c2")
    second = given(ledger, kept)
    assert second["c1"] == first["c1"] and second["c2"] > first["c1"]
    summed(3, "c1")
    assert given(ledger, kept)["c1"] > second["c2"]


def test_a_deleted_row_is_not_given_any_more_even_if_another_one_came(ledger, summed):
    kept = KeptRows()
    summed(1, "c1")
    assert set(given(ledger, kept)) == {"c1"}
    ledger.write_now(lambda c: c.execute(sa.delete(tables.reward_days)))
    summed(2, "c2")
    assert set(given(ledger, kept)) == {"c2"}


def test_windows_are_read_until_all_of_a_day_have_ended(ledger, summed):
    summed(1, "c1", days=7)
    summed(2, "c1", days=14)
    summed(3, "c2", days=14)
    kept = KeptRows()
    later = NOW_US + timedelta(days=20) // timedelta(microseconds=1)
    assert [ends for _, ends in given(ledger, kept, later).values()] == [False, False]
    found = given(ledger, kept)  # an earlier time than that of the rows that are kept
    assert found["c1"][1] and not found["c2"][1]


def test_a_table_that_is_too_large_is_read_each_time(ledger, summed):
    kept = KeptRows(most_bytes=100)
    summed(1, "c1")
    assert set(given(ledger, kept)) == {"c1"}
    summed(2, "c2")
    assert set(given(ledger, kept)) == {"c1", "c2"}
    summed(3, "c3")
    assert set(given(ledger, kept)) == {"c1", "c2", "c3"}
    assert not kept._rows


def test_rows_of_events_are_kept_alike(ledger, toy_catalog, toy_domain):
    """An order ends a silence, so a customer with one has a row."""
    kept, rules = KeptRows(source=EVENT_ROWS), RewardRules.of(toy_catalog, toy_domain)
    assert given(ledger, kept) == {}
    for customer_id in ("c1", "c2"):
        happened(ledger, toy_domain, customer_id, customer_id, NOW, "order")
        sum_all(ledger, rules)
        assert max(given(ledger, kept)) == customer_id
    first = given(ledger, kept)
    ledger.write_now(lambda c: c.execute(sa.delete(tables.event_days)))
    happened(ledger, toy_domain, "more", "c1", NOW, "order")
    sum_all(ledger, rules)
    assert given(ledger, kept).keys() == {"c1"} and given(ledger, kept)["c1"] > first["c2"]
