"""Identity resolution: links between keys decide which keys are one customer.

A *key* is a customer id or an identifier (`keys`). A customer is a connected component of the
graph of keys and links. It is named by its key with the lowest rank; of equal ranks, by the
oldest key. Events and decisions keep the key they happened under (``subject``), so a link that is
undone gives each side back exactly its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.customers.keys import KeyNormalizer
from features.errors import IdentityUnknown
from features.ledger import tables
from features.ledger.statements import select_in_batches


class Merge(NamedTuple):
    """Two customers became one: ``loser`` is ``survivor`` now.

    ``loser_had_data`` is false if ``loser`` had no events and no attributes of its own, such as a
    cookie that was never seen before. Then the features of ``survivor`` have not changed.
    """

    survivor: str
    loser: str
    loser_had_data: bool


def resolve(connection: sa.Connection, keys: Sequence[str]) -> str:
    """Find the customer whom these keys name.

    Returns
    -------
    str
        The customer of the first key that was ever linked; else the first key itself: a key that
        was never linked is its own customer.
    """
    known = resolve_each(connection, keys)
    return next((known[key] for key in keys if key in known), keys[0])


def resolve_each(connection: sa.Connection, keys: Iterable[str]) -> dict[str, str]:
    """Find the customer of each key that was ever linked."""
    columns = tables.identities.c
    query = sa.select(columns.key, columns.customer_id)
    found = select_in_batches(connection, query, columns.key, keys)
    return {row.key: row.customer_id for row in found}


def keys_of(connection: sa.Connection, customer_id: str) -> list[str]:
    """List the keys of a customer, beginning with the key that names it."""
    columns = tables.identities.c
    query = sa.select(columns.key).where(columns.customer_id == customer_id)
    found = connection.execute(query.order_by(columns.rank, columns.serial)).scalars()
    return list(found) or [customer_id]


def links_of(connection: sa.Connection, keys: Sequence[str]) -> list[Any]:
    """List every link of one of the keys, undone links too, the oldest first."""
    columns = tables.links.c
    touched = sa.or_(columns.left.in_(keys), columns.right.in_(keys))
    query = sa.select(tables.links).where(touched)
    return list(connection.execute(query.order_by(columns.linked_at, columns.left, columns.right)))


def link(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pair: tuple[str, str],
    cause: str,
    at: datetime,
    again: bool = False,
) -> Merge | None:
    """Record that two keys are one person, and merge their customers.

    Parameters
    ----------
    cause : str
        The evidence; kept with the link.
    again : bool
        Make a link again that was undone. A person may ask for this. An event may not: the next
        page view would undo the undoing.

    Returns
    -------
    Merge or None
        None if nobody was merged.
    """
    left, right = sorted(pair)
    columns = tables.links.c
    query = sa.select(columns.undone_at).where(columns.left == left, columns.right == right)
    earlier = connection.execute(query).first()
    if left == right or (earlier and (earlier.undone_at is None or not again)):
        return None
    row = {"left": left, "right": right, "cause": cause, "linked_at": at}
    tables.upsert(connection, tables.links, [row | {"undone_at": None, "undone_cause": None}])
    nodes = [{"key": key, "customer_id": key, "rank": normalizer.rank(key)} for key in pair]
    for node in nodes:  # one by one: their order is their age
        tables.insert_new(connection, tables.identities, [node])
    behind = set(resolve_each(connection, pair).values())
    if len(behind) == 1:
        return None
    survivor, loser = _by_rank(connection, behind)
    facts = tables.customers.c.customer_id.in_(keys_of(connection, loser))
    loser_had_data = connection.execute(sa.select(sa.exists().where(facts))).scalar_one()
    for table in (tables.identities, tables.events, tables.decisions, tables.contacts):
        moved = sa.update(table).where(table.c.customer_id == loser)
        count = connection.execute(moved.values(customer_id=survivor)).rowcount
        loser_had_data = loser_had_data or (table is tables.events and count > 0)
    return Merge(survivor, loser, loser_had_data)


def link_all(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pairs: Sequence[tuple[str, str]],
    cause: str,
    at: datetime,
) -> list[Merge]:
    """Link many pairs of a customer id and an identifier; return the merges of customers.

    The result is that of `link`, called for one pair after the other. A new identifier merges no
    customers, so most links are inserted in one statement.
    """
    pairs = [pair for pair in pairs if pair[0] != pair[1]]
    known = resolve_each(connection, {key for pair in pairs for key in pair})
    times = Counter(identifier for _, identifier in pairs) + Counter({one for one, _ in pairs})
    unlinked = [key for key in times if key not in known]
    used = {key for key in unlinked if times[key] > 1} | _with_rows(connection, unlinked)
    new: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    nodes: dict[str, str] = {}  # in the order in which `link` would insert them: it is their age
    for pair in pairs:
        customer_id, identifier = pair
        behind = known.get(customer_id, customer_id)
        isolated = identifier not in known and identifier not in used
        isolated = isolated and normalizer.rank(identifier) >= normalizer.rank(behind)
        (new if isolated else rest).append(pair)
        nodes.setdefault(customer_id, behind)
        nodes.setdefault(identifier, behind if isolated else identifier)
    rows = [
        {"key": key, "customer_id": behind, "rank": normalizer.rank(key)}
        for key, behind in nodes.items()
        if key not in known
    ]
    tables.insert_new(connection, tables.identities, rows)
    sides = {"cause": cause, "linked_at": at}
    links = [{"left": min(pair), "right": max(pair)} | sides for pair in new]
    tables.insert_new(connection, tables.links, links)
    merged = (link(connection, normalizer, pair, cause, at) for pair in rest)
    return [pair for pair in merged if pair]


def unlink(connection: sa.Connection, pair: tuple[str, str], cause: str, at: datetime) -> list[str]:
    """Undo a link: each side gets back the events and decisions that happened under its keys.

    Returns
    -------
    list of str
        The customers after the split; empty if the keys are still connected otherwise.

    Raises
    ------
    IdentityUnknown
        If there is no such link, or it was undone already.
    """
    left, right = sorted(pair)
    columns = tables.links.c
    holds = columns.undone_at.is_(None)
    undo = sa.update(tables.links).where(columns.left == left, columns.right == right, holds)
    if not connection.execute(undo.values(undone_at=at, undone_cause=cause)).rowcount:
        raise IdentityUnknown(
            f"No link holds between {left!r} and {right!r}.",
            expected="two keys that a link of /v1/customer names",
            remedy="Ask /v1/customer for the customer's links and name one of those.",
        )
    customer_id = resolve(connection, [left])
    parts = _components(connection, keys_of(connection, customer_id))
    if len(parts) == 1:
        return []
    for part in parts:
        _split_off(connection, customer_id, part)
    return [part[0] for part in parts]


def _components(connection: sa.Connection, keys: list[str]) -> list[list[str]]:
    """Compute the connected components of some keys, each in the order of ``keys``."""
    columns = tables.links.c
    query = sa.select(columns.left, columns.right).where(
        columns.undone_at.is_(None), columns.left.in_(keys)
    )
    group = {key: {key} for key in keys}
    for left, right in connection.execute(query):
        if group[left] is not group[right]:
            group[left] |= group[right]
            for key in group[right]:
                group[key] = group[left]
    firsts = dict.fromkeys(next(key for key in keys if key in group[one]) for one in keys)
    return [[key for key in keys if key in group[first]] for first in firsts]


def _split_off(connection: sa.Connection, customer_id: str, part: list[str]) -> None:
    """Move some keys, and what happened under them, to a customer of their own."""
    if part[0] == customer_id:
        return
    for table, key in (
        (tables.identities, tables.identities.c.key),
        (tables.events, tables.events.c.subject),
        (tables.decisions, tables.decisions.c.subject),
        (tables.contacts, tables.contacts.c.subject),
    ):
        mine = sa.update(table).where(table.c.customer_id == customer_id, key.in_(part))
        connection.execute(mine.values(customer_id=part[0]))


def _with_rows(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Find the keys, never linked, that have events, decisions or attributes."""
    kept = tables.events, tables.decisions, tables.customers
    columns = [table.c.customer_id for table in kept]
    asked = (
        select_in_batches(connection, sa.select(column).distinct(), column, keys)
        for column in columns
    )
    return {row[0] for found in asked for row in found}


def _by_rank(connection: sa.Connection, keys: Iterable[str]) -> list[str]:
    columns = tables.identities.c
    query = sa.select(columns.key).where(columns.key.in_(list(keys)))
    return list(connection.execute(query.order_by(columns.rank, columns.serial)).scalars())
