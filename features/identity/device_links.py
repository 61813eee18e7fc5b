"""Links devices with customers for people, who may also undo it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.identity.candidates import note_candidates
from features.identity.holders import base_key
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge, link, links_of, unlink
from features.identity.logins import LINK, Login, NewLogins
from features.identity.reassignment import Reassignment, settle
from features.ledger import tables
from features.ledger.statements import Statement


class DeviceLink(NamedTuple):
    """The changes of linking a device with a customer, or of undoing it."""

    changed: bool  # of two customers
    merge: Merge | None
    reassigned: list[Reassignment]


_LOGINS = tables.logins.c
_KEY = sa.bindparam("key", type_=sa.Text)
_OF_DEVICE = _LOGINS.key == _KEY
_NODES = Statement(
    sa.select(_LOGINS.holder, _LOGINS.node, _LOGINS.void).where(_OF_DEVICE).distinct()
)
_VALID = Statement(
    sa.select(sa.type_coerce(_LOGINS.at, sa.BigInteger), _LOGINS.node)
    .where(_OF_DEVICE, _LOGINS.void.is_(sa.false()))
    .order_by(_LOGINS.at, _LOGINS.event_id)
)


def link_device(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pair: tuple[str, str],
    cause: str,
    at: datetime,
) -> DeviceLink:
    """Record that a device is a customer's.

    If nobody held the device, what happened on it before is the customer's, too. If somebody did,
    the customer holds it from now on. A link that was undone holds again as if it always had.

    Parameters
    ----------
    pair
        The device and the named key.
    """
    key, holder = pair
    known = {one: (node, bool(void)) for one, node, void in _NODES.rows(connection, {"key": key})}
    node, void = known.get(holder, ("", False))
    merge, reassigned = None, list[Reassignment]()
    if node:
        merge = link(connection, normalizer, (holder, node), cause, at, again=True)
    if void:
        _set_void(connection, pair, False)
        reassigned += _settle(connection, key, {key, *(one for one, _ in known.values())})
    login = Login(key, tables.micros(at), f"{LINK} {holder}", holder, cause)
    is_held = bool(node) and _valid(connection, key)[-1][1] == node
    new = NewLogins(connection, normalizer, [] if is_held else [login])
    for linked in new.links:
        merge = link(connection, normalizer, linked, cause, at, again=True) or merge
    taken_over, candidates = new.store(connection)
    reassigned += taken_over
    note_candidates(connection, candidates, at)
    return DeviceLink(bool(merge or reassigned), merge, reassigned)


def unlink_device(
    connection: sa.Connection, pair: tuple[str, str], cause: str, at: datetime
) -> tuple[list[str], list[Reassignment]]:
    """Undo a link of a device and a customer: the logins of that customer count no more.

    What happened on the device in these hands goes to whoever holds it without them.

    Returns
    -------
    list of str, list of Reassignment
        The customers after the split, as of `links.unlink`, and the rows that went on.

    Raises
    ------
    IdentityUnknown
        If there is no such link, or it was undone already.
    """
    key, holder = pair
    rows = _NODES.rows(connection, {"key": key})
    node = next((node for one, node, _ in rows if one == holder), key)
    # A key that was linked before it was anonymous may be linked with the holder directly, too.
    ends = [{row.left, row.right} for row in links_of(connection, [node, key]) if not row.undone_at]
    held = [one for one in dict.fromkeys((node, key)) if {one, holder} in ends]
    if not held:
        unlink(connection, (node, holder), cause, at)  # refuses, before anything is written
    _set_void(connection, pair, True)
    # Before the node is split off: a node without a holder is nobody, and must get no state.
    reassigned = _settle(connection, key, {node})
    customers = [one for each in held for one in unlink(connection, (each, holder), cause, at)]
    return [one for one in customers if one == base_key(one)], reassigned


def _settle(connection: sa.Connection, key: str, nodes: set[str]) -> list[Reassignment]:
    logins = _valid(connection, key)
    return [one for node in sorted(nodes) for one in settle(connection, node, logins)]


def _valid(connection: sa.Connection, key: str) -> list[tuple[int, str]]:
    """Read time and node of the logins that count; without any, the device is its own customer."""
    return [(at_us, node) for at_us, node in _VALID.rows(connection, {"key": key})] or [
        (tables.micros(tables.EPOCH), key)
    ]


def _set_void(connection: sa.Connection, pair: tuple[str, str], void: bool) -> None:
    key, holder = pair
    mine = sa.update(tables.logins).where(_LOGINS.key == key, _LOGINS.holder == holder)
    connection.execute(mine.values(void=void))
