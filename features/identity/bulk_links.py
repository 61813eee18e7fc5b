"""Links many pairs of keys at once: a few statements for all of them.

The result is that of `identity.link`, called for one pair after the other. The merges are computed
in memory. A new key that has no rows yet merges no customers: it becomes a key of the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.holders import base_key
from features.identity.keys import ANONYMOUS_RANK, KeyNormalizer
from features.identity.links import Merge, rename_customer
from features.identity.relocation import AT_ONCE, Past, past_of
from features.ledger import tables
from features.ledger.statements import Statement, as_json, pairs_of, texts_of

NEW = 1 << 62  # serial of the first new key: any key of the ledger is older

_IDENTITIES, _LINKS = tables.identities.c, tables.links.c
_NAMING = tables.identities.alias()
_KEYS, _PAIRS = texts_of("keys"), pairs_of("pairs")
_CUSTOMERS_OF = Statement(
    sa.select(_IDENTITIES.key, _IDENTITIES.customer_id, _NAMING.c.rank, _NAMING.c.serial)
    .join_from(tables.identities, _NAMING, _NAMING.c.key == _IDENTITIES.customer_id)
    .where(_IDENTITIES.key.in_(sa.select(_KEYS.c.value)))
)
_LINKED = Statement(
    sa.select(_LINKS.left, _LINKS.right).where(
        sa.tuple_(_LINKS.left, _LINKS.right).in_(sa.select(_PAIRS.c.one, _PAIRS.c.other))
    )
)
_OF_CUSTOMERS = (
    *(tables.events, tables.decisions, tables.contacts),
    *(tables.customers, tables.journey_states),
)
_SIZES = Statement(
    sa.select(_IDENTITIES.customer_id, sa.func.count())
    .where(_IDENTITIES.customer_id.in_(sa.select(_KEYS.c.value)))
    .where(_IDENTITIES.rank < ANONYMOUS_RANK)
    .group_by(_IDENTITIES.customer_id)
)
_WITH_ROWS = Statement(
    sa.select(_KEYS.c.value).where(
        sa.or_(
            *(
                sa.exists(sa.select(1).where(one.c.customer_id == _KEYS.c.value))
                for one in _OF_CUSTOMERS
            )
        )
    )
)
_INSERT_KEY = Statement(sa.insert(tables.identities), ("key", "customer_id", "rank"))
# The time is converted once for all links.
_AT_US = sa.bindparam("at_us", type_=sa.BigInteger)
_INSERT_LINK = Statement(
    sa.insert(tables.links).values(linked_at=_AT_US), ("left", "right", "cause", "at_us")
)


def link_all(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    causes: Mapping[tuple[str, str], str],
    at: datetime,
) -> list[Merge]:
    """Record that the two keys of each pair are one person, and merge their customers.

    A link that was undone is not made again. One that would make a customer with too many keys
    (`IdentityRules`) is not made either, but noted for people to decide.

    Parameters
    ----------
    causes
        By pair of keys, the evidence. The order of the pairs matters: it is the age of new keys.

    Returns
    -------
    list of Merge
        The merges in their order, without those of new keys that have no rows.
    """
    merging = _Merging(connection, normalizer, [pair for pair in causes if pair[0] != pair[1]])
    if not merging.pairs:
        note_candidates(connection, merging.refused, at)
        return []
    merges = _merges_of_rows(connection, merging)
    _INSERT_KEY.run_many(
        connection,
        [
            {"key": key, "customer_id": merging.customer(key), "rank": merging.names[key][0]}
            for key in merging.new
        ],
    )
    note_candidates(connection, merging.refused, at)
    at_us = tables.micros(at)
    links = [
        {"left": min(pair), "right": max(pair), "cause": causes[pair], "at_us": at_us}
        for pair in merging.pairs
    ]
    _INSERT_LINK.run_many(connection, links)
    at_most = AT_ONCE
    for _, loser in merging.merged:
        if loser in merging.with_rows:
            survivor = merging.customer(loser)
            at_most -= rename_customer(connection, loser, survivor, at_most)
    return merges


class _Merging:
    """The customers of some keys while their links are added, in memory.

    Attributes
    ----------
    pairs
        Pairs that were never linked.
    new
        Keys that were never linked, in the order of their age.
    names : dict
        Of keys that name or could name a customer: rank and serial, as pairs. The lowest wins.
    merged
        Pairs of survivor and loser, in the order of the merges.
    survivor_of
        The customer whom each loser became; that one may have lost later.
    with_rows
        Customers and new keys that have rows in the ledger.
    refused
        Pairs that people have to decide.
    """

    def __init__(
        self, connection: sa.Connection, normalizer: KeyNormalizer, pairs: list[tuple[str, str]]
    ) -> None:
        keys = dict.fromkeys(key for pair in pairs for key in pair)
        known = _CUSTOMERS_OF.rows(connection, {"keys": as_json(keys)})
        self._owners: dict[str, str] = {key: customer_id for key, customer_id, *_ in known}
        self.names = {customer_id: (rank, serial) for _, customer_id, rank, serial in known}
        self.with_rows = {*self.names}
        unknown = [key for key in keys if key not in self._owners]
        if unknown:
            found = _WITH_ROWS.rows(connection, {"keys": as_json(unknown)})
            self.with_rows |= {key for (key,) in found}
        self._normalizer = normalizer
        self.new: list[str] = []
        self.pairs: list[tuple[str, str]] = []
        self.merged: list[tuple[str, str]] = []
        self.survivor_of: dict[str, str] = {}
        self.refused: list[MergeCandidate] = []
        linked = self._linked(connection, pairs)
        fresh = [pair for pair in pairs if (min(pair), max(pair)) not in linked]
        joins = any(not any(map(normalizer.is_anonymous, pair)) for pair in fresh)
        self._sizes = self._sizes_of(connection) if joins else {}
        for pair in fresh:
            if (min(pair), max(pair)) not in linked:  # else it is twice among the pairs
                linked.add((min(pair), max(pair)))
                self._add(pair)

    def customer(self, key: str) -> str:
        """Return the present customer of a key or of a former customer."""
        customer_id = self._owners.get(key, key)
        while customer_id in self.survivor_of:
            above = self.survivor_of[customer_id]
            # Shorten the way for the next search (Tarjan 1975).
            self.survivor_of[customer_id] = self.survivor_of.get(above, above)
            customer_id = above
        return customer_id

    def _linked(
        self, connection: sa.Connection, pairs: list[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Find the pairs that were ever linked. Both of their keys are known."""
        known = [(min(pair), max(pair)) for pair in pairs if self._owners.keys() >= {*pair}]
        if not known:
            return set()
        return {(one, other) for one, other in _LINKED.rows(connection, {"pairs": as_json(known)})}

    def _sizes_of(self, connection: sa.Connection) -> dict[str, int]:
        """Count the named keys of customers who are in the ledger."""
        found = _SIZES.rows(connection, {"keys": as_json(self.names)}) if self.names else []
        return dict.fromkeys(self.names, 0) | dict(found)

    def _size(self, customer_id: str) -> int:
        """Return the number of named keys of a customer. Devices merge nobody: they do not count.

        A key that was never linked is a customer of one key.
        """
        return self._sizes.get(customer_id, 1 - self._normalizer.is_anonymous(customer_id))

    def _refusal(self, pair: tuple[str, str]) -> MergeCandidate | None:
        """Return a candidate if the merged customer would have too many keys."""
        one, other = map(self.customer, pair)
        sizes = self._size(one), self._size(other)
        if one == other or 0 in sizes:
            return None
        size, rules = sum(sizes), self._normalizer.rules
        weak = [key for key in pair if self._normalizer.kind(key) == "personal"]
        # A new e-mail address of a customer is one key more; a known one may be of several people.
        known = [key for key in weak if key in self._owners or key in self.with_rows]
        left, right = map(base_key, pair)
        if size > rules.largest:
            return MergeCandidate.of(left, right, base_key((weak or pair)[-1]), "size")
        if known and size > rules.largest_personal:
            return MergeCandidate.of(left, right, known[0], "personal")
        return None

    def _add(self, pair: tuple[str, str]) -> None:
        if refused := self._refusal(pair):
            self.refused.append(refused)
            return
        self.pairs.append(pair)
        for key in pair:
            if key not in self._owners:
                self._owners[key] = key
                self.names[key] = (self._normalizer.rank(key), NEW + len(self.new))
                self.new.append(key)
        one, other = map(self.customer, pair)
        if one != other:
            survivor, loser = sorted((one, other), key=self.names.__getitem__)
            self.survivor_of[loser] = survivor
            self.merged.append((survivor, loser))
            self._sizes[survivor] = self._size(survivor) + self._size(loser)


def _merges_of_rows(connection: sa.Connection, merging: _Merging) -> list[Merge]:
    """Describe the merges in which the loser has rows, before any row is moved."""
    pasts: dict[str, Past] = {}

    def past(customer_id: str) -> Past:
        if customer_id not in pasts:
            known = customer_id in merging.with_rows
            pasts[customer_id] = past_of(connection, customer_id) if known else Past(None, False)
        return pasts[customer_id]

    merges, with_rows = list[Merge](), {*merging.with_rows}
    for survivor, loser in merging.merged:
        if loser not in with_rows:
            continue
        with_rows.add(survivor)
        (one_at, one_has), (other_at, other_has) = past(survivor), past(loser)
        merges.append(Merge(survivor, loser, other_has, one_at, other_at))
        times = [at for at in (one_at, other_at) if at is not None]
        pasts[survivor] = Past(min(times, default=None), one_has or other_has)
    return merges
