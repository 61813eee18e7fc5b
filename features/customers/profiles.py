"""Slow facts about customers: attributes, and the account that a business customer belongs to.

A customer who was merged from several has the facts of all of them; where they disagree, those
of the key that names the customer win.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.identity import keys_of, resolve_each
from features.ledger import tables

ACCOUNT = "account "  # begins the key of an account; no id of a customer may have a space


def account_key(account: str) -> str:
    """The key under which an account is folded."""
    return ACCOUNT + account


def attributes_of(connection: sa.Connection, customer_id: str) -> dict[str, str]:
    """Attributes by name; what nobody told is not there."""
    found: dict[str, str] = {}
    for row in _rows(connection, customer_id):
        found = from_json(row.attributes) | found
    return found


def all_attributes(connection: sa.Connection) -> dict[str, dict[str, str]]:
    """`attributes_of` for every customer of whom the table of customers tells, in one query."""
    told, keys = tables.customers.c, tables.identities.c
    query = (
        sa.select(told.customer_id, told.attributes, keys.customer_id.label("behind"))
        .outerjoin(tables.identities, keys.key == told.customer_id)
        .order_by(keys.rank, keys.serial, told.customer_id)
    )
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(query):  # the best key first, so what is there already wins
        owner = row.behind or row.customer_id
        found[owner] = from_json(row.attributes) | found.get(owner, {})
    return found


def account_of(connection: sa.Connection, customer_id: str) -> str | None:
    """The account a customer belongs to."""
    accounts = (row.account for row in _rows(connection, customer_id))
    return next((account for account in accounts if account), None)


def accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, str]:
    """The key of the account of each customer who belongs to one."""
    found = ((one, account_of(connection, one)) for one in customer_ids)
    return {one: account_key(account) for one, account in found if account}


def all_accounts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> set[str]:
    """The keys of all accounts that any key of the customers was ever said to belong to: those
    whose events change when customers are merged or parted."""
    told = (row.account for one in customer_ids for row in _rows(connection, one))
    return {account_key(account) for account in told if account}


def members_of(connection: sa.Connection, key: str) -> list[str]:
    """The customers of an account, by its key."""
    account = key.removeprefix(ACCOUNT)
    columns = tables.customers.c
    query = sa.select(columns.customer_id).where(columns.account == account)
    named = list(connection.execute(query).scalars())
    behind = resolve_each(connection, named)
    candidates = dict.fromkeys(behind.get(name, name) for name in named)
    return [one for one in candidates if account_of(connection, one) == account]


def _rows(connection: sa.Connection, customer_id: str) -> list[Any]:
    """What the table of customers says, the best key first."""
    keys = keys_of(connection, customer_id)
    found = connection.execute(
        sa.select(tables.customers).where(tables.customers.c.customer_id.in_(keys))
    )
    by_key = {row.customer_id: row for row in found}
    return [by_key[key] for key in keys if key in by_key]
