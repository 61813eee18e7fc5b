"""Stores logins on devices, and gives a device to whoever logged in on it last; see `holders`.

Logins may come in any order. A late one takes the device over for the time until the next login, so
who is a customer does not depend on the order in which events arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.identity.candidates import MergeCandidate
from features.identity.holders import FORGOTTEN, node_for
from features.identity.keys import KeyNormalizer
from features.identity.links import keys_of, links_of
from features.identity.reassignment import Reassignment, reassign
from features.identity.relocation import BEGIN, END
from features.ledger import tables
from features.ledger.statements import Statement, as_json, pairs_of, texts_of

LINK = "link"  # first word of the source of a login that no event made; no event id has a space
SHARED = 5  # holders; a device with more is public, and is no sign that two of them are one


class Login(NamedTuple):
    """A named key was seen on a device.

    Attributes
    ----------
    key
        The anonymous key of the device.
    at_us
        Microseconds since 1970.
    source
        The id of the event, or `LINK` and the holder. Of two logins at one time, the one with the
        larger source is later.
    holder
        The first named key of the event.
    cause
        The evidence, for people.
    """

    key: str
    at_us: int
    source: str
    holder: str
    cause: str


class _Stored(NamedTuple):
    """A device and a holder as they are stored before some logins."""

    node: str | None  # null: this holder is new to the device
    void: bool
    used: bool  # anybody logged in on the device before
    last: tuple[int, str]  # time and source of the last login that counts
    last_node: str | None
    owner: str | None  # the customer to whom links give the device's own key


_LOGINS = tables.logins.c
_AT_US: sa.ColumnElement[int] = sa.type_coerce(_LOGINS.at, sa.BigInteger)
_VALID = _LOGINS.void.is_(sa.false())
_PAIRS = pairs_of("pairs")
_KEY = sa.bindparam("key", type_=sa.Text)
_HERE_US, _HERE = sa.bindparam("here_us", type_=sa.BigInteger), sa.bindparam("here", type_=sa.Text)


def _one(column: Any, where: Any, *order: Any) -> Any:
    return sa.select(column).where(where).order_by(*order).limit(1).scalar_subquery()


_OF_PAIR = sa.and_(_LOGINS.holder == _PAIRS.c.other, _LOGINS.key == _PAIRS.c.one)
_VALID_OF_DEVICE = sa.and_(_LOGINS.key == _PAIRS.c.one, _VALID)
_LAST_FIRST = (_LOGINS.at.desc(), _LOGINS.event_id.desc())
_STORED = Statement(
    sa.select(
        *(_PAIRS.c.one, _PAIRS.c.other),
        *(_one(column, _OF_PAIR) for column in (_LOGINS.node, _LOGINS.void)),
        sa.exists(sa.select(_LOGINS.key).where(_LOGINS.key == _PAIRS.c.one)),
        *(
            _one(column, _VALID_OF_DEVICE, *_LAST_FIRST)
            for column in (_AT_US, _LOGINS.event_id, _LOGINS.node)
        ),
        _one(tables.identities.c.customer_id, tables.identities.c.key == _PAIRS.c.one),
    )
)
_BEFORE = Statement(
    sa.select(_AT_US, _LOGINS.holder, _LOGINS.node)
    .where(_LOGINS.key == _KEY, _VALID, _AT_US <= _HERE_US)
    .where(sa.or_(_AT_US < _HERE_US, _LOGINS.event_id < _HERE))
    .order_by(*_LAST_FIRST)
    .limit(1)
)
_AFTER = Statement(
    sa.select(_AT_US, _LOGINS.holder, _LOGINS.node)
    .where(_LOGINS.key == _KEY, _VALID, _AT_US >= _HERE_US)
    .where(sa.or_(_AT_US > _HERE_US, _LOGINS.event_id > _HERE))
    .order_by(_LOGINS.at, _LOGINS.event_id)
    .limit(1)
)
_SOME_HOLDERS = sa.select(_LOGINS.holder).where(_LOGINS.key == _KEY).distinct().limit(SHARED + 1)
_HOLDERS_N = Statement(sa.select(sa.func.count()).select_from(_SOME_HOLDERS.subquery()))


class NewLogins:
    """Logins that are about to be stored; first their links are made, then they are stored.

    Attributes
    ----------
    links : dict
        By pair of a holder and its node, the evidence; to be linked before `store`.
    """

    def __init__(
        self, connection: sa.Connection, normalizer: KeyNormalizer, logins: Iterable[Login]
    ) -> None:
        self._by_device: dict[str, list[Login]] = {}
        for login in logins:
            self._by_device.setdefault(login.key, []).append(login)
        pairs = {(one.key, one.holder) for some in self._by_device.values() for one in some}
        found = _STORED.rows(connection, {"pairs": as_json(pairs)}) if pairs else []
        self._stored = {
            (key, holder): _Stored(node, void, used, (last_us or 0, last_source or ""), *last)
            for key, holder, node, void, used, last_us, last_source, *last in found
        }
        self._nodes: dict[tuple[str, str], str] = {}
        self.links: dict[tuple[str, str], str] = {}
        self._add_linked_holders(connection, normalizer)
        for key, some in self._by_device.items():
            for login in some:
                self._name(key, login)

    def _add_linked_holders(self, connection: sa.Connection, normalizer: KeyNormalizer) -> None:
        """Add a login from ever for devices that links alone gave to a named customer.

        Such links were made while the domain file said that the namespace names people.
        """
        unused = {key: one.owner for (key, _), one in self._stored.items() if not one.used}
        for key, owner in unused.items():
            if owner is None:
                continue
            linked = [row for row in links_of(connection, [key]) if row.undone_at is None]
            # The link that gave the device away comes first: it ends with that link.
            keys = [one for row in linked for one in (row.left, row.right)]
            keys += keys_of(connection, owner)
            holder = next((one for one in keys if not normalizer.is_anonymous(one)), None)
            if holder is not None:
                pair, cause = (key, holder), "linked before the first login"
                self._stored[pair] = _Stored(key, False, True, (0, ""), None, owner)
                first = Login(key, tables.micros(tables.EPOCH), "", holder, cause)
                self._by_device[key].insert(0, first)

    def _name(self, key: str, login: Login) -> None:
        pair = (key, login.holder)
        if pair not in self._nodes:
            stored = self._stored[pair]
            first = not stored.used and login.holder == self._by_device[key][0].holder
            self._nodes[pair] = stored.node or (key if first else node_for(*pair))
            self.links[login.holder, self._nodes[pair]] = login.cause

    def store(self, connection: sa.Connection) -> tuple[list[Reassignment], list[MergeCandidate]]:
        """Store the logins; the rows that went to another customer, and pairs of holders."""
        plain = {key for key, some in self._by_device.items() if self._changes_nothing(key, some)}
        rows = [
            self._row(one) for key, some in self._by_device.items() if key in plain for one in some
        ]
        tables.insert_new(connection, tables.logins, rows)
        moved: list[Reassignment] = []
        candidates: list[MergeCandidate] = []
        for key in [key for key in self._by_device if key not in plain]:
            for login in self._by_device[key]:
                if tables.insert_new(connection, tables.logins, [self._row(login)]):
                    moved += self._take_over(connection, login, candidates)
        return moved, candidates

    def _changes_nothing(self, key: str, some: Sequence[Login]) -> bool:
        """Return whether the device is in the hands of these holders already, or is new."""
        if len({one.holder for one in some}) > 1:
            return False
        stored = self._stored[key, some[0].holder]
        if not stored.used or stored.void:
            return True
        is_held = stored.node is not None and stored.node == stored.last_node
        return is_held and min((one.at_us, one.source) for one in some) >= stored.last

    def _row(self, login: Login) -> dict[str, Any]:
        pair = login.key, login.holder
        return {
            "key": login.key,
            "at": tables.from_micros(login.at_us),
            "event_id": login.source,
            "holder": login.holder,
            "node": self._nodes[pair],
            "void": bool(self._stored[pair].void),
        }

    def _take_over(
        self, connection: sa.Connection, login: Login, candidates: list[MergeCandidate]
    ) -> list[Reassignment]:
        """Give the device to the holder of a login that was just stored, until the next login."""
        node = self._nodes[login.key, login.holder]
        if self._stored[login.key, login.holder].void:
            return []
        here = {"key": login.key, "here_us": login.at_us, "here": login.source}
        before, after = (one.first(connection, here) for one in (_BEFORE, _AFTER))
        candidates += self._candidates(connection, login, before, after)
        if before is not None:
            source, from_us = before[2], login.at_us
        else:  # the first holder also has what happened before
            source, from_us = after[2] if after else login.key, BEGIN
        if source in (node, FORGOTTEN):
            return []
        until_us = END if after is None else after[0]
        return reassign(connection, source, node, from_us, until_us)

    def _candidates(
        self, connection: sa.Connection, login: Login, *neighbours: Any
    ) -> list[MergeCandidate]:
        """Pair a holder with those before and after, unless the device is public."""
        others = {one[1] for one in neighbours if one is not None} - {login.holder, ""}
        if not others:
            return []
        [(holders_n,)] = _HOLDERS_N.rows(connection, {"key": login.key})
        if holders_n > SHARED:
            return []
        return [MergeCandidate.of(login.holder, one, login.key, "device") for one in sorted(others)]


_LATER = tables.logins.alias()
_DELETE_OLD = Statement(
    sa.delete(tables.logins).where(
        _LOGINS.holder.in_(sa.select(texts_of("holders").c.value)),
        _AT_US < _HERE_US,
        sa.exists(
            sa.select(_LATER.c.at).where(
                _LATER.c.key == _LOGINS.key,
                _LATER.c.holder == _LOGINS.holder,
                _LATER.c.at > _LOGINS.at,
                sa.type_coerce(_LATER.c.at, sa.BigInteger) < _HERE_US,
            )
        ),
    )
)


def delete_old_logins(connection: sa.Connection, holders: Iterable[str], before_us: int) -> None:
    """Delete the logins of some holders that say nothing of the time from a moment on.

    The last one of each holder on each device before that moment stays: it tells who held the
    device then, and its node.

    Parameters
    ----------
    before_us
        Microseconds since 1970.
    """
    _DELETE_OLD.run(connection, {"holders": as_json(holders), "here_us": before_us})
