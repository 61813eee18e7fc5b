"""The Arrow tables that Feast reads offline: journey states and profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")  # DuckDB cannot compare nanoseconds with a time zone


JOURNEY_SCHEMA = pa.schema(
    {"customer_id": pa.string(), "event_timestamp": _TIME, "state": pa.list_(pa.float64())}
)


def journey_table(
    customer_ids: Sequence[str], at_us: Sequence[int], packed: Sequence[Sequence[float]]
) -> pa.Table:
    """Make the offline table of journey states.

    Parameters
    ----------
    customer_ids : shape (n_rows,)
    at_us : shape (n_rows,), whole microseconds since 1970
    packed : n_rows states from `Fold.pack`, each of its own length
    """
    columns = [
        pa.array(customer_ids, pa.string()),
        pa.array(at_us, pa.int64()).cast(_TIME),
        pa.array(packed, pa.list_(pa.float64())),
    ]
    return pa.table(columns, schema=JOURNEY_SCHEMA)


def profile_table(
    customer_ids: Sequence[str],
    from_us: Sequence[int],
    attributes: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> pa.Table:
    """Make the offline table of attributes.

    Parameters
    ----------
    customer_ids, attributes : shape (n_rows,)
    from_us : shape (n_rows,), whole microseconds since 1970
        The time from which the attributes hold; 0 for those that hold from ever.
    names
        The columns of attributes.
    """
    columns: dict[str, Any] = {
        "customer_id": pa.array(customer_ids, pa.string()),
        "event_timestamp": pa.array(from_us, pa.int64()).cast(_TIME),
    }
    for name in names or ["customer_since"]:
        values = [None if (v := row.get(name)) is None else str(v) for row in attributes]
        columns[name] = pa.array(values, pa.string())
    return pa.table(columns)
