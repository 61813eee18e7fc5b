"""The help desk of an Italian software company (4TU, CC BY 4.0): 4,580 cases, 21,348 steps.

An event log of process mining: a case is a customer with a problem, and each step is an event.
All other columns are properties of the event, also those that rarely change. Some of them are
corrected in the middle of a case, and it is not known which.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from features.ingest.sources.published_file import read_published, wrong_file

PROPERTIES = {
    "activity": "name",
    "resource": "resource",
    "customer": "company",
    "product": "product",
    "seriousness_2": "seriousness",
    "service_level": "service_level",
    "service_type": "service_type",
    "workgroup": "workgroup",
    "responsible_section": "responsible_section",
    "support_section": "support_section",
}


def write_tables(file: Path, folder: Path) -> None:
    """Write `customers` and `events` as parquet.

    Raises
    ------
    InvalidData
        If ``file`` is missing or another table.
    """
    columns = ("case_id", "pos", "timestamp", *PROPERTIES, "split")
    table = read_published(file, columns, "helpdesk")
    try:
        table["pos"] = table["pos"].astype(int)
        table["timestamp"] = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601")
    except ValueError as error:
        raise wrong_file(
            file, "has a 'pos' that is no number or a 'timestamp' that is no time", "helpdesk"
        ) from error
    table = table.sort_values(["case_id", "pos"], kind="stable", ignore_index=True)
    if not table.groupby("case_id")["timestamp"].is_monotonic_increasing.all():
        raise wrong_file(file, "has a case whose 'pos' goes back in time", "helpdesk")
    table["customer_id"] = table["case_id"].str.lower().str.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    customers = table[["customer_id", "split"]].drop_duplicates()
    customers.to_parquet(folder / "customers.parquet", index=False)
    _events(table).to_parquet(folder / "events.parquet", index=False)


def _events(table: pd.DataFrame) -> pd.DataFrame:
    events = table[["customer_id", *PROPERTIES]].rename(columns=PROPERTIES)
    # 130 steps have the same second as the step before. Adding their position in microseconds keeps
    # the order of the file and changes no feature.
    events["occurred_at"] = table["timestamp"] + pd.to_timedelta(table["pos"], unit="us")
    events["event_id"] = events["customer_id"] + "-" + table["pos"].astype(str).str.zfill(3)
    return events.assign(type="activity", channel="desk")
