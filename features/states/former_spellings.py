"""Links keys that were stored in a former spelling with the spelling of today (`spelling`).

Rows keep the key under which they came. So a key that would be spelled otherwise today is linked
with its spelling of today, and its customer is found by both. A customer who was forgotten under a
former spelling left only a hash, which cannot be spelled anew; `tombstones.forgotten` tries the
decomposed Unicode form, and misses other former spellings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.profiles import all_accounts_of, update_account_members
from features.errors import InvalidKey
from features.identity.holders import base_key
from features.identity.keys import ANONYMOUS_RANK, KeyNormalizer
from features.identity.links import link, resolve
from features.identity.tombstones import forgotten
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.state_rows import delete_states, request_refold

RULES = "keys are spelled by"  # key of `meta`: the hash of the rules by which all keys are spelled
SPELLING = 1  # raised when `spelling` changes the spelling of keys
CAUSE = "one spelling"
PAIRS = 20  # pairs that one transaction links; a merge may move many rows


def link_former_spellings(ledger: Ledger, domain: Domain, now: datetime) -> int:
    """Link each key in a former spelling with the spelling of today; only once for a ledger.

    It is repeated when the domain file changes how identifiers are normalized. It reads all keys,
    about 1 s for each million events. Customers who are merged are folded again. A pair whose link
    people have undone stays apart. Size limits of customers do not hold: both are one key.

    Returns
    -------
    int
        The number of keys in a former spelling.
    """
    rules = _rules(domain)
    if ledger.read(lambda connection: tables.get_meta(connection, RULES)) == rules:
        return 0
    normalizer = KeyNormalizer(domain)
    pairs = ledger.read(lambda connection: _former_spellings(connection, normalizer))
    for begin in range(0, len(pairs), PAIRS):
        some = pairs[begin : begin + PAIRS]

        def write(connection: sa.Connection, some: Sequence[tuple[str, str]] = some) -> None:
            for pair in some:
                _link(connection, normalizer, pair, now)

        ledger.write_now(write)
    ledger.write_now(lambda connection: tables.set_meta(connection, RULES, rules))
    return len(pairs)


def _rules(domain: Domain) -> str:
    named = [f"{name} {known.normalize}" for name, known in sorted(domain.identifiers.items())]
    digest = hashlib.sha256("\n".join(named).encode()).hexdigest()
    return f"{SPELLING} {digest[:16]}"


def _former_spellings(
    connection: sa.Connection, normalizer: KeyNormalizer
) -> list[tuple[str, str]]:
    """Find the stored keys that would be spelled otherwise today; pairs of both spellings."""
    columns = (
        tables.identities.c.key,
        *(table.c.customer_id for table in (tables.customers, tables.events, tables.decisions)),
    )
    pairs = []
    for (key,) in connection.execute(sa.union(*(sa.select(column) for column in columns))):
        if base_key(key) != key:  # a node of a device, which callers cannot send
            continue
        try:
            [spelled] = normalizer.each([key])
        except InvalidKey:  # nobody can send it any more
            continue
        if spelled != key:
            pairs.append((key, spelled))
    return sorted(pairs)


def _link(
    connection: sa.Connection, normalizer: KeyNormalizer, pair: tuple[str, str], now: datetime
) -> None:
    if forgotten(connection, pair):  # a link would store the key of a forgotten customer again
        return
    if normalizer.rank(pair[0]) == ANONYMOUS_RANK and _copy_logins(connection, *pair):
        return
    if resolve(connection, [pair[0]]) == resolve(connection, [pair[1]]):
        return
    # The former spelling comes first: it is the older key.
    merge = link(connection, normalizer, pair, CAUSE, now)
    if merge is None:
        return
    delete_states(connection, [merge.loser])
    accounts = all_accounts_of(connection, [merge.survivor])
    update_account_members(connection, [merge.survivor, merge.loser])
    if merge.loser_had_data:
        request_refold(connection, [merge.survivor, *sorted(accounts)], now)


def _copy_logins(connection: sa.Connection, former: str, spelled: str) -> bool:
    """Give the holders of a device to its new spelling; the rows stay under the same nodes.

    Returns
    -------
    bool
        Whether the device has holders. Both spellings are left as they are if both have some.
    """
    columns = tables.logins.c
    held = [
        row._asdict()
        for row in connection.execute(
            sa.select(tables.logins).where(columns.key.in_([former, spelled]))
        )
    ]
    if held and all(row["key"] == former for row in held):
        tables.insert_new(connection, tables.logins, [row | {"key": spelled} for row in held])
    return bool(held)
