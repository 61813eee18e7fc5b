"""Identity resolution: links between keys decide which keys are one customer.

A *key* is a customer id or an identifier (`keys`). A customer is a connected component of the
graph of keys and links. It is named by its key with the lowest rank; of equal ranks, by the
oldest key. Events and decisions keep the key they happened under (``subject``), so a link that is
undone gives each side back exactly its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.errors import IdentityUnknown
from features.identity.holders import base_key, present_nodes
from features.identity.keys import KeyNormalizer
from features.identity.relocation import AT_ONCE, past_of, place
from features.ledger import tables
from features.ledger.statements import Statement, among, as_json, texts_of


class Merge(NamedTuple):
    """Two customers became one: ``loser`` is ``survivor`` now.

    Attributes
    ----------
    loser_had_data
        False if ``loser`` had no events and no attributes of its own, such as a cookie that was
        never seen before. Then the features of ``survivor`` have not changed.
    survivor_first_at, loser_first_at
        Time of the first event of each before the merge; None without events. It may be too early
        while events are relocated.
    """

    survivor: str
    loser: str
    loser_had_data: bool
    survivor_first_at: datetime | None = None
    loser_first_at: datetime | None = None


_IDENTITIES = tables.identities.c
_KEYS = sa.select(texts_of("keys").c.value)
_CUSTOMERS_OF = Statement(
    sa.select(_IDENTITIES.key, _IDENTITIES.customer_id).where(_IDENTITIES.key.in_(_KEYS))
)
_KEYS_OF = Statement(
    sa.select(_IDENTITIES.key)
    .where(_IDENTITIES.customer_id == sa.bindparam("who", type_=sa.Text))
    .order_by(_IDENTITIES.rank, _IDENTITIES.serial)
)
_CHANGE_CUSTOMER = Statement(
    sa.update(tables.identities)
    .where(_IDENTITIES.key.in_(_KEYS))
    .values(customer_id=sa.bindparam("owner", type_=sa.Text))
)


def restated_by(merges: Sequence[Merge]) -> set[str]:
    """Return the customers who gained events or attributes by some merges, in their order."""
    restated: set[str] = set()
    for merge in merges:
        # A customer who gained something and is merged away becomes part of the survivor.
        if merge.loser_had_data or merge.loser in restated:
            restated.add(merge.survivor)
        restated.discard(merge.loser)
    return restated


def resolve(connection: sa.Connection, keys: Sequence[str]) -> str:
    """Find the customer whom these keys name now.

    Returns
    -------
    str
        The customer of the first key that was ever linked; else the first key itself: a key that
        was never linked is its own customer. A device stands for its present holder.
    """
    nodes = present_nodes(connection, keys)
    known = resolve_each(connection, nodes.values())
    return next((known[nodes[key]] for key in keys if nodes[key] in known), keys[0])


def resolve_each(connection: sa.Connection, keys: Iterable[str]) -> dict[str, str]:
    """Find the customer of each key that was ever linked."""
    return dict(_CUSTOMERS_OF.rows(connection, {"keys": as_json({*keys})}))


def keys_of(connection: sa.Connection, customer_id: str) -> list[str]:
    """List the keys of a customer, beginning with the key that names it."""
    found = [key for (key,) in _KEYS_OF.rows(connection, {"who": customer_id})]
    return found or [customer_id]


def links_of(connection: sa.Connection, keys: Sequence[str]) -> list[Any]:
    """List every link of one of the keys, undone links too, the oldest first."""
    columns = tables.links.c
    touched = sa.or_(among(columns.left, keys), among(columns.right, keys))
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
    query = sa.select(columns.undone_at, columns.linked_at).where(
        columns.left == left, columns.right == right
    )
    earlier = connection.execute(query).all()
    holds = any(one.undone_at is None for one in earlier)
    if left == right or holds or (earlier and not again):
        return None
    # The history keeps a row for each time; it must not write over one of the same instant.
    at = max([at, *(one.linked_at + timedelta(microseconds=1) for one in earlier)])
    row = {"left": left, "right": right, "cause": cause, "linked_at": at}
    tables.insert_new(connection, tables.links, [row])
    nodes = [{"key": key, "customer_id": key, "rank": normalizer.rank(key)} for key in pair]
    for node in nodes:  # one by one: their order is their age
        tables.insert_new(connection, tables.identities, [node])
    behind = set(resolve_each(connection, pair).values())
    if len(behind) == 1:
        return None
    survivor, loser = _by_rank(connection, behind)
    past, lost = past_of(connection, survivor), past_of(connection, loser)
    rename_customer(connection, loser, survivor)
    return Merge(survivor, loser, lost.has_data, past.first_at, lost.first_at)


def rename_customer(
    connection: sa.Connection, loser: str, survivor: str, at_most: int = AT_ONCE
) -> int:
    """Give all keys of a customer, and the rows under them, to another customer.

    Returns
    -------
    int
        The number of events, and decisions as events, that were moved; see `relocation.place`.
    """
    keys = keys_of(connection, loser)
    _CHANGE_CUSTOMER.run(connection, {"keys": as_json(keys), "owner": survivor})
    return place(connection, loser, keys, survivor, at_most)


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
            f"No link holds between {base_key(left)!r} and {base_key(right)!r}.",
            expected="two keys that a link of /v1/customer names",
            remedy="Ask /v1/customer for the customer's links and name one of those.",
        )
    # Not `resolve`: the key of a device would stand for its present holder.
    customer_id = resolve_each(connection, [left])[left]
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
        columns.undone_at.is_(None), among(columns.left, keys)
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
    _CHANGE_CUSTOMER.run(connection, {"keys": as_json(part), "owner": part[0]})
    place(connection, customer_id, part, part[0], AT_ONCE)


def _by_rank(connection: sa.Connection, keys: Iterable[str]) -> list[str]:
    columns = tables.identities.c
    query = sa.select(columns.key).where(among(columns.key, keys))
    return list(connection.execute(query.order_by(columns.rank, columns.serial)).scalars())
