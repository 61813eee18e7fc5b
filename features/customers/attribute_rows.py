"""Reads and writes the rows that hold attributes of customers: present ones, and changed ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables
from features.ledger.statements import select_in_batches

# By the time from which it holds, in microseconds since 1970: the value of one attribute.
Values = dict[int, str | None]
EVER = 0


def present_attributes(
    connection: sa.Connection, keys: Iterable[str]
) -> dict[str, dict[str, str | None]]:
    """Read the present attributes of the keys that have a row."""
    columns = tables.customers.c
    query = sa.select(columns.customer_id, columns.attributes)
    found = select_in_batches(connection, query, columns.customer_id, keys)
    return {row.customer_id: from_json(row.attributes) for row in found}


def values_over_time(
    connection: sa.Connection, keys: Iterable[str] | None = None
) -> dict[str, dict[str, Values]]:
    """Read the values of the attributes that have changed, by key and by name.

    Parameters
    ----------
    keys
        Of customers; None for all.
    """
    query, column = sa.select(tables.attribute_changes), tables.attribute_changes.c.customer_id
    rows: Iterable[sa.Row[Any]] = (
        connection.execute(query)
        if keys is None
        else select_in_batches(connection, query, column, keys)
    )
    known: dict[str, dict[str, Values]] = {}
    for row in rows:
        values = known.setdefault(row.customer_id, {}).setdefault(row.name, {})
        values[tables.micros(row.from_at)] = row.value
    return known


def store_attributes(
    connection: sa.Connection,
    present: Mapping[str, Mapping[str, str | None]],
    told: Mapping[str, Mapping[str, Values]],
    account: str | None,
) -> None:
    """Write the present attributes of some keys, and the values of attributes that have changed.

    Parameters
    ----------
    present
        By key of a customer, all its attributes.
    told
        By key and by name, all values; a single one that holds from ever is not written.
    account
        The name of the attribute that is also a column of its own.
    """
    rows = [
        {
            "customer_id": customer_id,
            "attributes": json.dumps({k: v for k, v in values.items() if v is not None}),
            "account": values.get(account) if account else None,
        }
        for customer_id, values in present.items()
    ]
    tables.upsert(connection, tables.customers, rows)
    changes = [
        {
            "customer_id": customer_id,
            "name": name,
            "from_at": tables.from_micros(at_us),
            "value": value,
        }
        for customer_id, names in told.items()
        for name, history in names.items()
        if [*history] != [EVER]  # what holds from ever stands in `customers`
        for at_us, value in history.items()
    ]
    tables.upsert(connection, tables.attribute_changes, changes)


def value_at(values: Values, at_us: int) -> str | None:
    """Return the value of an attribute that holds at a time; None if it is unknown then."""
    before = [one for one in values if one <= at_us]
    return values[max(before)] if before else None
