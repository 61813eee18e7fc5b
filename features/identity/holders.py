"""Finds who holds a device: the anonymous key of somebody who logged in on it.

The customer who logged in last holds the device, until the next login of somebody else. Whoever
logged in first also holds what happened before. The rows of a device in the hands of one holder are
stored under a *node*, a key of the graph of links: the device's own key for the first holder, and
one that also names the holder for each other. A node is linked to its holder like any key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.columns import micros
from features.ledger.statements import Statement, as_json, pairs_of, texts_of

FORGOTTEN = ""  # the node of a holder who was forgotten
_LOGINS = tables.logins.c
_KEYS, _MOMENTS = texts_of("keys"), pairs_of("moments")
_VALID = _LOGINS.void.is_(sa.false())
_LAST_FIRST = (_LOGINS.at.desc(), _LOGINS.event_id.desc())
_AT_US: sa.ColumnElement[int] = sa.type_coerce(_LOGINS.at, sa.BigInteger)


def _node(where: Any, *order: Any) -> Any:
    return sa.select(_LOGINS.node).where(_VALID, where).order_by(*order).limit(1).scalar_subquery()


def latest_node(key: Any) -> Any:
    """Make the expression for the node of a device's present holder; null for any other key."""
    return _node(_LOGINS.key == key, *_LAST_FIRST)


_LATEST = Statement(sa.select(_KEYS.c.value, latest_node(_KEYS.c.value)))
_MOMENT_US = sa.cast(_MOMENTS.c.other, sa.BigInteger)
_OF_DEVICE = _LOGINS.key == _MOMENTS.c.one
_HELD_AT = Statement(
    sa.select(
        _MOMENTS.c.one,
        _MOMENTS.c.other,
        sa.func.coalesce(
            _node(sa.and_(_OF_DEVICE, _AT_US <= _MOMENT_US), *_LAST_FIRST),
            _node(_OF_DEVICE, _LOGINS.at, _LOGINS.event_id),
        ),
    )
)


def base_key(node: str) -> str:
    """Return the key that a node stands for, as callers know it; other keys are their own."""
    return node.partition(" ")[0]


def base_keys(nodes: Iterable[str]) -> list[str]:
    """Return the keys that some nodes stand for, each once."""
    return list(dict.fromkeys(map(base_key, nodes)))


def node_for(key: str, holder: str) -> str:
    """Make the node of a device for a holder who is not the first; no caller can send a space."""
    return f"{key} {holder}"


def present_nodes(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Find the node of each key's present holder; a key that nobody logged in on is its own."""
    return {
        key: key if node is None else node
        for key, node in _LATEST.rows(connection, {"keys": as_json(keys)})
    }


def nodes_at(
    connection: sa.Connection, moments: Iterable[tuple[str, Any]]
) -> dict[tuple[str, Any], str]:
    """Find the node of each device at a time; a key that nobody logged in on is its own.

    Parameters
    ----------
    moments
        Pairs of a key and an aware UTC time.
    """
    asked = {(key, str(micros(at))): (key, at) for key, at in moments}
    if not asked:
        return {}
    rows = _HELD_AT.rows(connection, {"moments": as_json(asked)})
    return {asked[key, at_us]: key if node is None else node for key, at_us, node in rows}
