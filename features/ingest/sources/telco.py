"""Telco customer churn (IBM sample, Apache-2.0): 7,043 customers, of whom 1,869 left.

Each row is a customer: its subscriptions, and whether it left in the last month. The file has no
times, so all customers who left did so at one made-up time. The other columns count as known
before that time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from features.ingest.sources.published_file import read_published, wrong_file

LEFT_AT = datetime(2020, 1, 31, tzinfo=UTC)  # made up
ATTRIBUTES = {
    "gender": "gender",
    "SeniorCitizen": "senior",
    "Partner": "partner",
    "Dependents": "dependents",
    "tenure": "tenure_months",
    "PhoneService": "phone_service",
    "MultipleLines": "multiple_lines",
    "InternetService": "internet_service",
    "OnlineSecurity": "online_security",
    "OnlineBackup": "online_backup",
    "DeviceProtection": "device_protection",
    "TechSupport": "tech_support",
    "StreamingTV": "streaming_tv",
    "StreamingMovies": "streaming_movies",
    "Contract": "contract",
    "PaperlessBilling": "paperless_billing",
    "PaymentMethod": "payment_method",
    "MonthlyCharges": "monthly_charges_usd",
    "TotalCharges": "total_charges_usd",
}


def write_tables(file: Path, folder: Path) -> None:
    """Write `customers` and `events` as parquet.

    Raises
    ------
    InvalidData
        If ``file`` is missing or another table.
    """
    table = read_published(file, ("customerID", *ATTRIBUTES, "Churn"), "telco")
    if not table["Churn"].isin(["Yes", "No"]).all():
        raise wrong_file(file, "has another 'Churn' than Yes and No", "telco")
    folder.mkdir(parents=True, exist_ok=True)
    _customers(table).to_parquet(folder / "customers.parquet", index=False)
    _cancelled(table).to_parquet(folder / "events.parquet", index=False)


def _customers(table: pd.DataFrame) -> pd.DataFrame:
    customers = table.rename(columns={"customerID": "customer_id", **ATTRIBUTES})
    customers["senior"] = customers["senior"].replace({"0": "No", "1": "Yes"})
    # A new customer was not charged yet: a blank in the file, an unknown value here.
    customers["total_charges_usd"] = customers["total_charges_usd"].str.strip()
    return customers.drop(columns="Churn")


def _cancelled(table: pd.DataFrame) -> pd.DataFrame:
    left = table.loc[table["Churn"] == "Yes", "customerID"]
    return pd.DataFrame(
        {
            "event_id": "cancelled-" + left,
            "customer_id": left,
            "type": "cancelled",
            "occurred_at": pd.Timestamp(LEFT_AT),
            "channel": "unknown",
        }
    )
