"""Deletes rows about who the forgotten customers are: links, candidates, logins, moves of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from features.identity.holders import FORGOTTEN, base_key
from features.identity.tombstones import hash_keys, readmit
from features.ledger import tables
from features.ledger.statements import Row, Statement, among, as_json, pairs_of, texts_of

# Begin the ids of logins of forgotten customers: they sort before and after all ids of events.
FIRST, LAST = " ", "\U0010ffff"
_LOGINS = tables.logins.c
_KEYS = sa.select(texts_of("keys").c.value)
_DEVICES = sa.select(texts_of("devices").c.value)
_THEIRS = Statement(sa.select(tables.logins).where(_LOGINS.holder.in_(_KEYS)))
_OTHERS = (
    sa.select(_LOGINS.key)
    .where(_LOGINS.key.in_(_DEVICES), _LOGINS.holder.not_in(_KEYS), _LOGINS.holder != FORGOTTEN)
    .distinct()
)
_VALID = _LOGINS.void.is_(sa.false())
_OF_OTHERS, _HELD_BY_OTHERS = Statement(_OTHERS), Statement(_OTHERS.where(_VALID))
_MOMENTS = pairs_of("moments")
_AT_ONE_TIME = Statement(
    sa.select(
        *(_MOMENTS.c.one, _MOMENTS.c.other),
        *(sa.func.min(_LOGINS.event_id), sa.func.max(_LOGINS.event_id)),
    )
    .join_from(
        _MOMENTS,
        tables.logins,
        (_LOGINS.key == _MOMENTS.c.one)
        & (sa.type_coerce(_LOGINS.at, sa.BigInteger) == sa.cast(_MOMENTS.c.other, sa.BigInteger)),
    )
    .where(_VALID, _LOGINS.node != FORGOTTEN)
    .group_by(_MOMENTS.c.one, _MOMENTS.c.other)
)
_DELETE = Statement(sa.delete(tables.logins).where(_LOGINS.holder.in_(_KEYS)))
# A link that people undid stays undone, even if the device is forgotten meanwhile.
_DELETE_DEVICES = Statement(sa.delete(tables.logins).where(_LOGINS.key.in_(_DEVICES), _VALID))


def erase_identity_rows(
    connection: sa.Connection, keys: Sequence[str], shared: Collection[str] = ()
) -> None:
    """Delete links, merge candidates and changed attributes that name one of the keys.

    A candidate goes with either of its two keys, and with the identifier that both used.
    `identities` and the other tables with a customer's rows are deleted in `erase_rows`.

    Parameters
    ----------
    shared
        Devices among the keys that others have logged in on (`release_devices`): candidates of
        these others stay.
    """
    own = [key for key in keys if key not in shared]
    links, candidates = tables.links.c, tables.merge_candidates.c
    changes = tables.attribute_changes.c
    for table, columns in (
        (tables.links, (links.left, links.right)),
        (tables.merge_candidates, (candidates.left, candidates.right)),
        (tables.attribute_changes, (changes.customer_id,)),
    ):
        for column in columns:  # one by one: each of them has an index
            connection.execute(sa.delete(table).where(among(column, keys)))
    connection.execute(sa.delete(tables.merge_candidates).where(among(candidates.via, own)))


def stop_moving(connection: sa.Connection, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Stop moving rows of the keys (`relocation`).

    Returns
    -------
    list of tuple
        Pairs of a customer under whom rows are still stored, and the key that they are of.
    """
    moved = tables.relocations.c
    query = sa.select(moved.customer_id, moved.subject).where(among(moved.subject, keys))
    found = connection.execute(query.where(~among(moved.customer_id, keys))).all()
    connection.execute(sa.delete(tables.relocations).where(among(moved.subject, keys)))
    return [(row.customer_id, row.subject) for row in found]


def release_devices(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Delete the logins of forgotten customers; must be called before their tombstones are added.

    If others have logged in on a device, what happens on it while a forgotten customer held it
    stays refused: a login without a name, and with a hashed id of its event, keeps the time.

    Parameters
    ----------
    keys
        All keys and nodes of the customers.

    Returns
    -------
    set of str
        The devices, among those of the customers, that others have held or hold, too.
    """
    logins = _THEIRS.rows(connection, {"keys": as_json(keys)})
    devices = sorted({row[0] for row in logins} | {base_key(key) for key in keys})
    values = {"keys": as_json(keys), "devices": as_json(devices)}
    shared = {key for (key,) in _HELD_BY_OTHERS.rows(connection, values)}
    _DELETE.run(connection, {"keys": values["keys"]})
    own = [key for key in map(base_key, keys) if key not in shared]
    _DELETE_DEVICES.run(connection, {"devices": as_json(own)})
    kept = [row for row in logins if row[0] in shared and not row[5]]
    ids = hash_keys(connection, [row[2] for row in kept])
    rows = [
        {"key": key, "at": tables.from_micros(at_us), "event_id": place + hashed, "void": False}
        | {"holder": FORGOTTEN, "node": FORGOTTEN}
        for (key, at_us, *_), hashed, place in zip(
            kept, ids, _places(connection, kept), strict=True
        )
        if place is not None
    ]
    tables.insert_new(connection, tables.logins, rows)
    return shared


def _places(connection: sa.Connection, logins: Sequence[Row]) -> list[str | None]:
    """Place logins among those of others at the same time: `FIRST` or `LAST`, as they were.

    None is for a login between two others: nobody held the device by it.
    """
    moments = {(key, str(at_us)) for key, at_us, *_ in logins}
    found = _AT_ONE_TIME.rows(connection, {"moments": as_json(moments)})
    others = {(key, int(at_us)): ids for key, at_us, *ids in found}
    places: list[str | None] = []
    for key, at_us, event_id, *_ in logins:
        first, last = others.get((key, at_us), (event_id, event_id))
        places.append(FIRST if event_id <= first else LAST if event_id > last else None)
    return places


def undone_nodes(connection: sa.Connection, keys: Sequence[str]) -> list[str]:
    """List the nodes that name some holders whose link with a device was undone.

    They belong to nobody, but their names tell the holder's key.
    """
    logins = _THEIRS.rows(connection, {"keys": as_json(keys)})
    return [node for key, _, _, _, node, void in logins if void and node != key]


def devices_of_others(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Find the devices, among some keys, that somebody who was not forgotten logged in on."""
    values = {"keys": as_json([]), "devices": as_json(keys)}
    return {key for (key,) in _OF_OTHERS.rows(connection, values)}


def reopen_devices(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Let others log in on the devices of a forgotten customer.

    What happens on them before the next login stays refused.
    """
    for key in sorted(keys):
        readmit(connection, [key])
        row = {"key": key, "at": tables.EPOCH, "event_id": "", "void": False}
        row |= {"holder": FORGOTTEN, "node": FORGOTTEN}
        tables.insert_new(connection, tables.logins, [row])
