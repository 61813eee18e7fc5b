"""Attributes of customers, and the account to which a business customer belongs.

A merged customer has the attributes of all its keys. Where they disagree, the key that names the
customer takes precedence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.identity import keys_of, resolve_each
from features.ledger import tables

ACCOUNT = "account "  # prefix of the key of an account; no customer id may have a space


def account_key(account: str) -> str:
    """Return the key under which the events of an account are folded."""
    return ACCOUNT + account


def attributes_of(connection: sa.Connection, customer_id: str) -> dict[str, str]:
    """Read the attributes of a customer by name; unknown attributes are left out."""
    found: dict[str, str] = {}
    for row in _rows(connection, customer_id):
        found = from_json(row.attributes) | found
    return found


def all_attributes(connection: sa.Connection) -> dict[str, dict[str, str]]:
    """Read the attributes of every customer in the table of customers, in one query."""
    facts, keys = tables.customers.c, tables.identities.c
    query = (
        sa.select(facts.customer_id, facts.attributes, keys.customer_id.label("behind"))
        .outerjoin(tables.identities, keys.key == facts.customer_id)
        .order_by(keys.rank, keys.serial, facts.customer_id)
    )
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(query):  # the naming key first, so earlier values win
        owner = row.behind or row.customer_id
        found[owner] = from_json(row.attributes) | found.get(owner, {})
    return found


def account_of(connection: sa.Connection, customer_id: str) -> str | None:
    """Find the account of a customer; None if there is none."""
    accounts = (row.account for row in _rows(connection, customer_id))
    return next((account for account in accounts if account), None)


def accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, str]:
    """Find the account key of each customer who belongs to an account."""
    found = ((one, account_of(connection, one)) for one in customer_ids)
    return {one: account_key(account) for one, account in found if account}


def all_accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> set[str]:
    """Find the account keys of every key of some customers.

    When customers are merged or split, the events of these accounts change.
    """
    accounts = (row.account for one in customer_ids for row in _rows(connection, one))
    return {account_key(account) for account in accounts if account}


def members_of(connection: sa.Connection, key: str) -> list[str]:
    """Find the customers of an account, by its key."""
    account = key.removeprefix(ACCOUNT)
    columns = tables.customers.c
    query = sa.select(columns.customer_id).where(columns.account == account)
    named = list(connection.execute(query).scalars())
    behind = resolve_each(connection, named)
    candidates = dict.fromkeys(behind.get(name, name) for name in named)
    return [one for one in candidates if account_of(connection, one) == account]


def _rows(connection: sa.Connection, customer_id: str) -> list[Any]:
    """Read the rows of a customer's keys, that of the naming key first."""
    keys = keys_of(connection, customer_id)
    found = connection.execute(
        sa.select(tables.customers).where(tables.customers.c.customer_id.in_(keys))
    )
    by_key = {row.customer_id: row for row in found}
    return [by_key[key] for key in keys if key in by_key]
