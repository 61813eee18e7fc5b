"""Writes attributes of customers, each value with the time from which it holds.

`customers.attributes` holds the present values. `attribute_changes` holds all values of the
attributes that have changed. The rules:

- The values that come with the first row of a customer and without a time hold from ever. A value
  that comes with a time holds from that time.
- A value without a time, beside values of the same attribute with times in one call, holds from
  ever: one table may tell a whole history, also if it is loaded again.
- A later value that comes without a time is a change if it differs from the present value, and
  holds from now. This includes a value of an attribute that was unknown so far: before now,
  decisions were made without it.
- A late value, with a time before the latest change, takes its place in the history. The present
  value stays. So values that come with their times may come in any order.
- At one instant the last word wins: another value for the same time replaces the first one.
- None is the value of an attribute that is unknown from then on.
- The account of a customer has no history; the present account counts as the account of all times.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.attribute_history import EVER, Values, values_over_time
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.statements import select_in_batches


class SentAttributes(NamedTuple):
    """Some attributes of one customer as they were sent, with the time from which they hold.

    Attributes
    ----------
    customer_id : str
        The key of the row of `customers`; it may be merged with others.
    """

    customer_id: str
    values: Mapping[str, str | None]
    as_of: datetime | None = None


class WrittenAttributes(NamedTuple):
    """The customers that are new, and those whose attributes have changed.

    Attributes
    ----------
    changed : dict
        By customer, the names of the attributes whose value at any time is another one than
        before; also of new customers.
    left_accounts : set of str
        The accounts to which a customer belonged before.
    """

    new: set[str]
    changed: dict[str, list[str]]
    left_accounts: set[str]


def write_attributes(
    connection: sa.Connection,
    sent: Sequence[SentAttributes],
    now: datetime,
    account: str | None = None,
) -> WrittenAttributes:
    """Write attributes by the rules of this module; unknown customers are added.

    Parameters
    ----------
    sent
        A later ``as_of`` than ``now``, from a clock that is ahead of ours, counts as ``now``.
    account
        The name of the attribute that is the account (`Domain.account`).
    """
    present = _present(connection, {one.customer_id for one in sent})
    new = {one.customer_id for one in sent} - present.keys()
    known = values_over_time(connection, present)
    changed: dict[str, list[str]] = defaultdict(list)
    # The values to store, by customer and name. A new history is stored whole, and its dict is the
    # one in `known`; of others, only the new values are: a history may have many.
    fresh: dict[tuple[str, str], Values] = {}
    timed = {(one.customer_id, name) for one in sent if one.as_of for name in one.values}
    left: set[str | None] = set()
    for one in sorted(sent, key=lambda one: one.as_of or tables.EPOCH):
        values = present.setdefault(one.customer_id, {})
        names = changed[one.customer_id]
        for name, value in one.values.items():
            if name == account:
                differs = values.get(name) != value
                left |= {values.get(name)} if differs else set()
                values[name] = value
            else:
                histories = known.setdefault(one.customer_id, {})
                about = one.customer_id, name
                if (history := histories.get(name)) is None:
                    history = histories[name] = fresh[about] = _held_from_ever(values.get(name))
                ever = about in timed or (one.customer_id in new and not history)
                at = _from(history, value, one, now, ever)
                if at is None:
                    continue
                differs = _value_at(history, at) != value
                history[at] = fresh.setdefault(about, {})[at] = value
                values[name] = history[max(history)]
            if differs and name not in names:
                names.append(name)
    named = {one: names for one, names in changed.items() if names}
    written = {one: present[one] for one in [*new, *(named.keys() - new)]}
    # A single value that holds from ever is in `customers` alone.
    told = {about: v for about, v in fresh.items() if [*known[about[0]][about[1]]] != [EVER]}
    _store(connection, written, told, account)
    mark_journeys(connection, written)
    return WrittenAttributes(new, named, {one for one in left if one is not None})


def _value_at(values: Values, at_us: int) -> str | None:
    """Return the value of an attribute that holds at a time; None if it is unknown then."""
    before = [one for one in values if one <= at_us]
    return values[max(before)] if before else None


def _from(
    history: Values, value: str | None, sent: SentAttributes, now: datetime, ever: bool
) -> int | None:
    """Return from when the value holds; None if it changes nothing.

    Without a time it holds from ``now`` on, or from ever if the caller says so.

    A value with a time is kept also if it repeats the one before: a late value between the two
    must not take the place of both.
    """
    if sent.as_of is not None or ever:
        at = tables.micros(min(sent.as_of or tables.EPOCH, now))
        return None if at in history and history[at] == value else at
    latest = max(history, default=EVER)
    return None if history.get(latest) == value else max(tables.micros(now), latest)


def _held_from_ever(value: str | None) -> Values:
    return {} if value is None else {EVER: value}


def _present(connection: sa.Connection, keys: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Read the present attributes of the keys that have a row."""
    columns = tables.customers.c
    query = sa.select(columns.customer_id, columns.attributes)
    found = select_in_batches(connection, query, columns.customer_id, keys)
    return {row.customer_id: from_json(row.attributes) for row in found}


def _store(
    connection: sa.Connection,
    present: Mapping[str, Mapping[str, str | None]],
    told: Mapping[tuple[str, str], Values],
    account: str | None,
) -> None:
    """Write the present attributes of some keys, and values of attributes that have changed.

    Parameters
    ----------
    present
        By key of a customer, all its attributes.
    told
        By key and name, values that are not stored yet.
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
        {"customer_id": who, "name": name, "from_at": tables.from_micros(at_us), "value": value}
        for (who, name), values in told.items()
        for at_us, value in values.items()
    ]
    tables.upsert(connection, tables.attribute_changes, changes)
