"""Attributes of customers, and the account to which a business customer belongs.

A merged customer has the attributes of all its keys. Where they disagree, the key that names the
customer takes precedence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.statements import Statement, as_json, in_batches, select_in_batches, texts_of

ACCOUNT = "account "  # prefix of the key of an account; no customer id may have a space

# Built once: building the expression would take longer than the database takes to answer it.
_MEMBER = tables.account_members.c
_ACCOUNT = Statement(
    sa.select(_MEMBER.account).where(_MEMBER.customer_id == sa.bindparam("customer"))
)
_MEMBERS = Statement(
    sa.select(_MEMBER.customer_id)
    .where(_MEMBER.account == sa.bindparam("account"))
    .order_by(_MEMBER.customer_id)
)
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_REMOVE_MEMBERS = sa.delete(tables.account_members).where(_MEMBER.customer_id.in_(_KEYS))
_CONTACTS = tables.contacts.c
_ACCOUNT_OF_CONTACT = (
    sa.select(_MEMBER.account).where(_MEMBER.customer_id == _CONTACTS.customer_id).scalar_subquery()
)
_UPDATE_CONTACTS = (
    sa.update(tables.contacts)
    .where(
        _CONTACTS.customer_id.in_(_KEYS), _CONTACTS.account.is_distinct_from(_ACCOUNT_OF_CONTACT)
    )
    .values(account=_ACCOUNT_OF_CONTACT)
)

_FACTS, _NAMES = tables.customers.c, tables.identities.c
_SOME = sa.select(texts_of("keys").c.value)
_ATTRIBUTES = (
    Statement(
        sa.select(_NAMES.customer_id, _FACTS.attributes)
        .join_from(tables.identities, tables.customers, _FACTS.customer_id == _NAMES.key)
        .where(_NAMES.customer_id.in_(_SOME))
        .order_by(_NAMES.rank, _NAMES.serial)
    ),
    Statement(
        sa.select(_FACTS.customer_id, _FACTS.attributes).where(
            _FACTS.customer_id.in_(_SOME), ~sa.exists().where(_NAMES.key == _FACTS.customer_id)
        )
    ),
)


def account_key(account: str) -> str:
    """Return the key under which the events of an account are folded."""
    return ACCOUNT + account


def attributes_of(connection: sa.Connection, customer_id: str) -> dict[str, str]:
    """Read the attributes of a customer by name; unknown attributes are left out."""
    return attributes_of_each(connection, [customer_id])[customer_id]


def attributes_of_each(
    connection: sa.Connection, customer_ids: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Read the attributes of some customers by name, in two queries."""
    found: dict[str, dict[str, str]] = {one: {} for one in customer_ids}
    keys = as_json(found)
    for statement in _ATTRIBUTES:  # the naming key first, so earlier values win
        for customer_id, attributes in statement.rows(connection, {"keys": keys}):
            found[customer_id] = from_json(attributes) | found[customer_id]
    return found


def account_of(connection: sa.Connection, customer_id: str) -> str | None:
    """Find the account of a customer; None if there is none.

    It is the account of the first of the customer's keys that has one.
    """
    row = _ACCOUNT.first(connection, {"customer": customer_id})
    return None if row is None else str(row[0])


def accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, str]:
    """Find the account key of each customer who belongs to an account."""
    found = _members(connection, customer_ids)
    return {one: account_key(account) for one, account in found.items()}


def all_accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> set[str]:
    """Find the account keys of every key of some customers.

    When customers are merged or split, the events of these accounts change.
    """
    return {
        account_key(account) for _, account in _accounts_of_keys(connection, list(customer_ids))
    }


def members_of(connection: sa.Connection, key: str) -> list[str]:
    """Find the customers of an account, by its key."""
    account = key.removeprefix(ACCOUNT)
    return [row[0] for row in _MEMBERS.rows(connection, {"account": account})]


def update_account_members(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Store again to which accounts some customers belong, also with their contacts.

    To be called in the transaction that adds attributes of customers, merges, splits or erases
    them. It takes a number of queries that does not depend on the number of keys.

    Parameters
    ----------
    keys
        Keys of the changed customers. Those who were merged away may be among them.
    """
    named = set(keys)
    if not named:
        return
    behind = resolve_each(connection, named)
    customers = named | set(behind.values())
    accounts: dict[str, str] = {}
    for customer_id, account in _accounts_of_keys(connection, customers):
        accounts.setdefault(customer_id, account)
    stored = _members(connection, customers)
    # A key that was merged away is a customer no more.
    gone = [one for one in stored if one not in accounts]
    new = [
        {"customer_id": one, "account": account}
        for one, account in accounts.items()
        if stored.get(one) != account
    ]
    for some in in_batches(gone):
        connection.execute(_REMOVE_MEMBERS, {"keys": some})
    if new:
        tables.upsert(connection, tables.account_members, new)
    for some in in_batches(customers):
        connection.execute(_UPDATE_CONTACTS, {"keys": some})


def _members(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, str]:
    """Find the account of each customer who belongs to one."""
    columns = tables.account_members.c
    found = select_in_batches(
        connection, sa.select(tables.account_members), columns.customer_id, customer_ids
    )
    return {row.customer_id: row.account for row in found}


def _accounts_of_keys(
    connection: sa.Connection, customer_ids: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield each customer with the accounts of its keys, that of the naming key first."""
    facts, keys = tables.customers.c, tables.identities.c
    named = facts.account != ""
    linked = (
        sa.select(keys.customer_id, facts.account)
        .join(tables.customers, facts.customer_id == keys.key)
        .where(named)
        .order_by(keys.rank, keys.serial)
    )
    never_linked = sa.select(facts.customer_id, facts.account).where(
        named, ~sa.exists().where(keys.key == facts.customer_id)
    )
    for query, column in ((linked, keys.customer_id), (never_linked, facts.customer_id)):
        for row in select_in_batches(connection, query, column, customer_ids):
            yield row.customer_id, row.account
