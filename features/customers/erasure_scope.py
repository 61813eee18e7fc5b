"""Finds whom an erasure would erase, and asks for confirmation if they are several.

An erasure cannot be undone. Customers who were merged by mistake would all be erased with the one
who asked for it, so whoever asks has to name them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from features.errors import IdentityUnknown, InvalidKey, NotConfirmed
from features.identity.holders import base_key
from features.identity.keys import KINDS, KeyNormalizer
from features.identity.links import keys_of
from features.identity.tombstones import find_customer
from features.ledger import tables
from features.ledger.statements import among

SHOWN = 20  # named keys in the sentence of an error; the answer holds all


class Confirmation(NamedTuple):
    """The named keys that a caller has repeated to confirm an erasure; none at first."""

    normalizer: KeyNormalizer
    repeated: Collection[str] = ()

    def check(self, customers: Collection[Sequence[str]]) -> None:
        """Refuse to erase several named keys that the caller has not repeated.

        Parameters
        ----------
        customers
            The keys of each customer who would be erased.

        Raises
        ------
        NotConfirmed
            If there are several named keys, or if others were repeated.
        """
        named = sorted({base_key(key) for keys in customers for key in self._named(keys)})
        if set(self.repeated) == set(named) or (len(named) == 1 and not self.repeated):
            return
        happened = f"The erasure would erase {len(named):,} customers who were merged into one: "
        if len(named) == 1:
            happened = "The erasure would erase one customer: "
        elif len(customers) > 1:
            happened = f"The erasure would erase {len(named):,} customers: "
        more = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
        raise NotConfirmed(
            f"{happened}{', '.join(map(repr, named[:SHOWN]))}{more}. Nothing was erased.",
            expected="a confirmation that names exactly these",
            remedy="Repeat them as 'confirm', or undo wrong links with /v1/unlink first.",
            named=named,
        )

    def _named(self, keys: Sequence[str]) -> list[str]:
        """Return the keys of the strongest kind that a customer has."""
        kinds = {key: KINDS.index(self.normalizer.kind(key)) for key in keys}
        return [key for key in keys if kinds[key] == min(kinds.values())]


def asked_keys(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    customer_id: str | None,
    identifiers: Iterable[str],
) -> tuple[str, ...]:
    """Normalize the keys of somebody to show or to erase, as `KeyNormalizer.asked` does.

    A placeholder is a key here if something is stored under each key that was sent. So customers
    from before placeholders were refused can be shown and erased.

    Raises
    ------
    InvalidKey
        If a key cannot be used, or one is a placeholder and nothing is stored under one of them.
    CustomerForgotten
        If one is a placeholder, and a key belongs to a forgotten customer.
    """
    sent = tuple(identifiers)
    try:
        return normalizer.asked(customer_id, sent)
    except InvalidKey as refused:
        stored = normalizer.with_placeholders()
        for key in stored.keys(customer_id, sent):
            try:
                customers_of(connection, [key])
            except IdentityUnknown:
                raise refused from None
        return stored.asked(customer_id, sent)


def customers_of(connection: sa.Connection, keys: Sequence[str]) -> dict[str, list[str]]:
    """Find the known customers of some keys, each with all its keys.

    Raises
    ------
    IdentityUnknown
        If nothing is stored under any of the keys.
    """
    # Each key by itself: the keys may belong to several customers.
    found = dict.fromkeys(find_customer(connection, [key]).customer_id for key in keys)
    customers = {customer_id: keys_of(connection, customer_id) for customer_id in found}
    known = {one: theirs for one, theirs in customers.items() if _is_known(connection, theirs)}
    if not known:
        raise IdentityUnknown(
            f"Nothing is stored under {', '.join(map(repr, keys))}.",
            expected="a customer id or an identifier of somebody with events, decisions or "
            "attributes",
            remedy="Check the spelling. Nothing was changed, and nobody was forgotten.",
        )
    return known


def subjects_of(connection: sa.Connection, keys: Sequence[str]) -> list[str]:
    """Find the keys under which rows of some keys are stored: of a device, its present node."""
    return [find_customer(connection, [key]).subject for key in keys]


def _is_known(connection: sa.Connection, keys: Sequence[str]) -> bool:
    columns = [
        tables.identities.c.key,
        *(
            table.c.customer_id
            for table in (tables.events, tables.decisions, tables.customers, tables.journey_states)
        ),
    ]
    asked = (sa.select(sa.exists().where(among(column, keys))) for column in columns)
    return any(connection.execute(query).scalar() for query in asked)
