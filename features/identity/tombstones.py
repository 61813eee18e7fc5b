"""Tombstones of forgotten customers: keyed hashes that recognise a key without revealing it."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from features.errors import CustomerForgotten
from features.identity.links import resolve, resolve_each
from features.ledger import tables
from features.ledger.statements import Statement, select_in_batches

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


# Built once: building the expression would take longer than the database takes to answer it.
_RESOLVE = Statement(
    sa.select(
        sa.select(tables.identities.c.customer_id)
        .where(tables.identities.c.key == sa.bindparam("key"))
        .scalar_subquery(),
        sa.exists(sa.select(tables.tombstones.c.key_hash)),
    )
)


def resolve_customer(connection: sa.Connection, keys: Sequence[str]) -> str:
    """Find the customer of some keys, and refuse forgotten ones.

    In the usual case, one key and no tombstones, it takes one query.

    Raises
    ------
    CustomerForgotten
        If one of the keys belongs to a forgotten customer.
    """
    [(customer_id, some_forgotten)] = _RESOLVE.rows(connection, {"key": keys[0]})
    if some_forgotten:
        refuse_forgotten(connection, keys)
    if customer_id is None and len(keys) > 1:
        return resolve(connection, keys)
    return str(customer_id or keys[0])


def subject_of(connection: sa.Connection, keys: Sequence[str], customer_id: str) -> str:
    """Choose the key under which a row about a customer is stored: the first of its own keys.

    Under another key the row would go to another customer when links are undone.
    """
    if len(keys) == 1:
        return keys[0]
    behind = resolve_each(connection, keys)
    return next((key for key in keys if behind.get(key, key) == customer_id), customer_id)


def add_tombstones(connection: sa.Connection, keys: Iterable[str], at: datetime) -> None:
    """Refuse these keys from now on: store their hashes."""
    rows = [{"key_hash": one, "forgotten_at": at} for one in hash_keys(connection, keys)]
    tables.insert_new(connection, tables.tombstones, rows)


def readmit(connection: sa.Connection, keys: Iterable[str]) -> int:
    """Remove the tombstones of these keys; say how many of the keys had one."""
    forms = [form for key in keys for form in _forms(key)]
    refused = tables.tombstones.c.key_hash.in_(hash_keys(connection, forms))
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
