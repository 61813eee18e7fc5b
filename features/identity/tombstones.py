"""Tombstones of forgotten customers: keyed hashes that recognise a key without revealing it."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.errors import CustomerForgotten
from features.identity.holders import FORGOTTEN, latest_node, present_nodes
from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.statements import Statement, among, select_in_batches

_SALT = Statement(
    sa.select(tables.meta.c.value, sa.exists(sa.select(tables.tombstones.c.key_hash))).where(
        tables.meta.c.key == sa.bindparam("key", type_=sa.Text)
    )
)


def forgotten(connection: sa.Connection, keys: Iterable[str]) -> set[str]:
    """Find the keys, among these, of forgotten customers.

    A key is also compared in its decomposed Unicode form, under which it may have been forgotten
    before all keys had one spelling. Other former spellings cannot be found from a hash.
    """
    [(salt, some_forgotten)] = _SALT.rows(connection, {"key": "salt"})
    if not some_forgotten:
        return set()
    hashed = {hash_key(salt, form): key for key in keys for form in _forms(key)}
    column = tables.tombstones.c.key_hash
    return {
        hashed[row[0]] for row in select_in_batches(connection, sa.select(column), column, hashed)
    }


def forgotten_error(key: str, erasure: str = "") -> CustomerForgotten:
    """Make the error for a request about a forgotten customer; may say how far the erasure is."""
    return CustomerForgotten(
        f"{key!r} belongs to a customer who was forgotten{erasure}.",
        expected="somebody else",
        remedy='If they are back and agree, send "readmit": true to /v1/forget.',
    )


def refuse_forgotten(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Refuse keys of a forgotten customer.

    Raises
    ------
    CustomerForgotten
        Names one of the keys.
    """
    for key in forgotten(connection, keys):
        raise forgotten_error(key)


class Found(NamedTuple):
    """A customer who was asked for, and the key under which rows about the customer are stored.

    ``subject`` is the first of the customer's own keys in the request, or the node of a device.
    Under another key the row would go to another customer when links are undone.
    """

    customer_id: str
    subject: str


# Built once: building the expression would take longer than the database takes to answer it.
_KEY = sa.bindparam("key", type_=sa.Text)
_NODE = latest_node(_KEY)
_RESOLVE = Statement(
    sa.select(
        _NODE,
        sa.select(tables.identities.c.customer_id)
        .where(tables.identities.c.key == sa.func.coalesce(_NODE, _KEY))
        .scalar_subquery(),
        sa.exists(sa.select(tables.tombstones.c.key_hash)),
    )
)


def find_customer(connection: sa.Connection, keys: Sequence[str]) -> Found:
    """Find the customer whom some keys name now, and refuse forgotten ones.

    It is the customer of the first key that was ever linked; else the first key is a customer of
    its own. In the usual case, one key and no tombstones, it takes one query.

    Raises
    ------
    CustomerForgotten
        If one of the keys belongs to a forgotten customer.
    """
    [(node, customer_id, some_forgotten)] = _RESOLVE.rows(connection, {"key": keys[0]})
    if node == FORGOTTEN:
        raise forgotten_error(keys[0])
    if some_forgotten:
        refuse_forgotten(connection, keys)
    subject = keys[0] if node is None else str(node)
    if customer_id is None and len(keys) > 1:
        nodes = present_nodes(connection, keys)
        behind = resolve_each(connection, nodes.values())
        subject = next((node for node in nodes.values() if node in behind), subject)
        customer_id = behind.get(subject)
    return Found(str(customer_id or subject), subject)


def add_tombstones(connection: sa.Connection, keys: Iterable[str], at: datetime) -> None:
    """Refuse these keys from now on: store their hashes."""
    rows = [{"key_hash": one, "forgotten_at": at} for one in hash_keys(connection, keys)]
    tables.insert_new(connection, tables.tombstones, rows)


def readmit(connection: sa.Connection, keys: Iterable[str]) -> int:
    """Remove the tombstones of these keys; say how many of the keys had one."""
    forms = [form for key in keys for form in _forms(key)]
    refused = among(tables.tombstones.c.key_hash, hash_keys(connection, forms))
    return connection.execute(sa.delete(tables.tombstones).where(refused)).rowcount


def _forms(key: str) -> tuple[str, ...]:
    """Return a key, and its decomposed Unicode form if that is another text."""
    return (key,) if key.isascii() else (key, unicodedata.normalize("NFD", key))


def hash_keys(connection: sa.Connection, keys: Iterable[str]) -> list[str]:
    """Hash keys as tombstones and model versions store them."""
    salt = str(tables.get_meta(connection, "salt"))
    return [hash_key(salt, key) for key in keys]


def hash_key(salt: str, key: str) -> str:
    """Hash a key with the ledger's salt; without the salt nobody can test names against a hash."""
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()
