"""Reads which attributes customers had at any moment.

A merged customer has the attributes of all its keys. Where they disagree at a moment, the key that
names the customer takes precedence, as in `profiles`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables
from features.ledger.statements import select_in_batches

# By the time from which it holds, in microseconds since 1970: the value of one attribute.
Values = dict[int, str | None]
EVER = 0
_Keys = dict[str, list[tuple[str, dict[str, str]]]]  # by customer, its keys with their attributes

_FACTS, _NAMES = tables.customers.c, tables.identities.c
_LINKED = (
    sa.select(_NAMES.customer_id, _FACTS.customer_id.label("key"), _FACTS.attributes)
    .join_from(tables.identities, tables.customers, _FACTS.customer_id == _NAMES.key)
    .order_by(_NAMES.rank, _NAMES.serial)
)
_NEVER_LINKED = sa.select(
    _FACTS.customer_id, _FACTS.customer_id.label("key"), _FACTS.attributes
).where(~sa.exists().where(_NAMES.key == _FACTS.customer_id))


class AttributeVersion(NamedTuple):
    """The attributes of a customer from a time on, until the next version."""

    from_us: int  # microseconds since 1970; 0 for the first version, which holds from ever
    attributes: dict[str, str]


class PastValue(NamedTuple):
    """A value of an attribute and the time from which it holds; a time of None means from ever.

    A value of None means that the attribute is unknown from then on.
    """

    name: str
    value: str | None
    from_at: datetime | None


def attribute_versions(
    connection: sa.Connection, customer_ids: Iterable[str]
) -> dict[str, list[AttributeVersion]]:
    """Read the versions of the attributes of some customers, in order of time.

    Returns
    -------
    dict
        Each customer has at least one version, which holds from ever.
    """
    keys: _Keys = {one: [] for one in customer_ids}
    for query, column in ((_LINKED, _NAMES.customer_id), (_NEVER_LINKED, _FACTS.customer_id)):
        for row in select_in_batches(connection, query, column, [*keys]):
            keys[row.customer_id].append((row.key, from_json(row.attributes)))
    changes = values_over_time(connection, [key for own in keys.values() for key, _ in own])
    return {customer_id: _versions(own, changes) for customer_id, own in keys.items()}


def versions_of_keys(
    connection: sa.Connection, keys: Mapping[str, Sequence[str]]
) -> dict[str, list[AttributeVersion]]:
    """Read the versions that customers have with some keys, by customer; see `attribute_versions`.

    Parameters
    ----------
    keys
        Of each customer, in the order in which they take precedence.
    """
    named = [key for own in keys.values() for key in own]
    query = sa.select(_FACTS.customer_id, _FACTS.attributes)
    present = {
        row.customer_id: from_json(row.attributes)
        for row in select_in_batches(connection, query, _FACTS.customer_id, named)
    }
    changes = values_over_time(connection, named)
    return {
        customer_id: _versions([(key, present[key]) for key in own if key in present], changes)
        for customer_id, own in keys.items()
    }


def all_attribute_versions(connection: sa.Connection) -> dict[str, list[AttributeVersion]]:
    """Read the versions of the attributes of every customer in the table of customers."""
    keys: _Keys = defaultdict(list)
    for query in (_LINKED, _NEVER_LINKED):
        for row in connection.execute(query):
            keys[row.customer_id].append((row.key, from_json(row.attributes)))
    changes = values_over_time(connection)
    return {customer_id: _versions(own, changes) for customer_id, own in keys.items()}


def attributes_at(versions: Sequence[AttributeVersion], at_us: int) -> dict[str, str]:
    """Return the attributes at a moment, in microseconds since 1970."""
    return versions[max(bisect_right(versions, at_us, key=attrgetter("from_us")) - 1, 0)].attributes


def attribute_history(connection: sa.Connection, customer_id: str) -> list[PastValue]:
    """Read all values that the attributes of a customer had, the latest first."""
    versions = attribute_versions(connection, [customer_id])[customer_id]
    found = [PastValue(name, value, None) for name, value in versions[0].attributes.items()]
    for before, after in pairwise(versions):
        at = tables.from_micros(after.from_us)
        found += [
            PastValue(name, after.attributes.get(name), at)
            for name in before.attributes | after.attributes
            if before.attributes.get(name) != after.attributes.get(name)
        ]
    found.sort(key=attrgetter("name"))
    return sorted(found, key=lambda one: one.from_at or tables.EPOCH, reverse=True)


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


def _versions(
    keys: Sequence[tuple[str, dict[str, str]]], changes: Mapping[str, Mapping[str, Values]]
) -> list[AttributeVersion]:
    """Make the versions of a customer from its keys; the one that names the customer first."""
    known: list[dict[str, str | None]] = [{**present} for _, present in keys]
    steps: dict[int, list[Any]] = {EVER: []}
    for own, (key, _) in zip(known, keys, strict=True):
        for name, values in changes.get(key, {}).items():
            own[name] = None  # until its first value
            for at_us, value in values.items():
                steps.setdefault(at_us, []).append((own, name, value))
    versions: list[AttributeVersion] = []
    for at_us in sorted(steps):
        for own, name, value in steps[at_us]:
            own[name] = value
        merged = {n: v for own in reversed(known) for n, v in own.items() if v is not None}
        if not versions or versions[-1].attributes != merged:
            versions.append(AttributeVersion(at_us, merged))
    return versions
