"""Tells who was whose customer at a past moment, as it was known then.

Links keep when they were made and undone, so the customers of a moment are the connected components
of the keys and of the links in force. A device was held by whoever had logged in on it last, among
the logins that were known. A login is known from when its event was received, and counts while its
link of the device and the holder is in force.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.identity.holders import FORGOTTEN, base_key
from features.ledger import tables
from features.states.stored_events import KNOWN_AT

_LINK, _LOGIN, _KEY = tables.links.c, tables.logins.c, tables.identities.c
_KEYS = sa.select(_KEY.key, _KEY.customer_id, _KEY.rank, _KEY.serial)
_LINKS = sa.select(_LINK.left, _LINK.right, _LINK.linked_at, _LINK.undone_at)
_LOGIN_US = sa.type_coerce(_LOGIN.at, sa.BigInteger)
_LOGINS = (
    sa.select(
        *(_LOGIN.key, _LOGIN_US, _LOGIN.event_id, _LOGIN.holder, _LOGIN.node, _LOGIN.void),
        KNOWN_AT,
    )
    .join_from(
        tables.logins, tables.events, tables.events.c.event_id == _LOGIN.event_id, isouter=True
    )
    .order_by(_LOGIN.key, _LOGIN.at, _LOGIN.event_id)
)


class _Login(NamedTuple):
    at_us: int
    event_id: str
    node: str


class Groups:
    """Disjoint groups of texts, which can be joined (union by halving of paths)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def first_of(self, text: str) -> str:
        """Return the text that stands for a group."""
        parent = self._parent
        while (above := parent.get(text, text)) != text:
            parent[text] = parent.get(above, above)
            text = above
        return text

    def join(self, one: str, other: str) -> None:
        """Make one group of two."""
        self._parent[self.first_of(one)] = self.first_of(other)


class KnownIdentities:
    """The customers of a moment.

    Parameters
    ----------
    at_us
        The moment, microseconds since 1970.

    Attributes
    ----------
    clusters : list of lists of str
        Customers of now or then with other keys than then; whoever exchanged keys is in one list.
        All other customers have the same keys now.
    """

    def __init__(self, connection: sa.Connection, at_us: int) -> None:
        known = connection.execute(_KEYS).all()
        self._age = {row.key: (row.rank, row.serial) for row in known}
        self._now = {row.key: row.customer_id for row in known}
        self._in_force = _links_in_force(connection, at_us)
        groups = Groups()
        for pair, holds in self._in_force.items():
            if holds:
                groups.join(*pair)
        keys_of: dict[str, list[str]] = {}
        for key in sorted(self._now, key=self._age.__getitem__):
            keys_of.setdefault(groups.first_of(key), []).append(key)
        self._keys = {keys[0]: keys for keys in keys_of.values()}
        self._then = {key: keys[0] for keys in keys_of.values() for key in keys}
        self._logins: dict[str, list[_Login]] = {}
        changed = self._read_logins(connection, at_us)
        self.clusters = self._clusters(changed)

    def customer(self, subject: str, at_us: int) -> str:
        """Return the customer of a row.

        Parameters
        ----------
        subject
            The key under which the row is stored.
        at_us
            When it happened; of a contact, when it was decided.
        """
        logins = self._logins.get(base_key(subject))
        if logins is not None:
            # Of a moment before the first login, too, the first holder is the holder.
            place = max(bisect_right(logins, at_us, key=itemgetter(0)) - 1, 0)
            node = logins[place].node if logins else base_key(subject)
            subject = subject if node == FORGOTTEN else node
        return self._then.get(subject, subject)

    def keys(self, customer_id: str) -> list[str]:
        """List the keys of a customer of then, beginning with the one that names it."""
        return self._keys.get(customer_id, [customer_id])

    def _read_logins(self, connection: sa.Connection, at_us: int) -> list[list[str]]:
        """Read the logins that counted; return the nodes of each device with other ones now."""
        nodes: dict[str, dict[str, None]] = {}
        changed: dict[str, None] = {}
        for key, login_us, event_id, holder, node, void, known_us in connection.execute(_LOGINS):
            counted = self._logins.setdefault(key, [])
            nodes.setdefault(key, {key: None})[node] = None
            pairs = [tuple(sorted((holder, one))) for one in (node, key)]
            links = [self._in_force[pair] for pair in pairs if pair in self._in_force]
            if known_us is None:  # people made it, or its event is gone
                counts = node == FORGOTTEN or any(links)
            else:  # a link may have been refused, as the customer has too many keys
                counts = known_us <= at_us and (not links or any(links))
            if counts:
                counted.append(_Login(login_us, event_id, node))
            if counts == void:
                changed[key] = None
        return [list(nodes[key]) for key in changed]

    def _clusters(self, devices: Iterable[list[str]]) -> list[list[str]]:
        groups, changed = Groups(), dict[str, None]()
        for key, now in self._now.items():
            then = self._then[key]
            if then != now:
                groups.join(then, now)
                changed |= {then: None, now: None}
        for nodes in devices:
            owners = [self._now.get(node, node) for node in nodes if node != FORGOTTEN]
            owners += [self._then.get(node, node) for node in nodes if node != FORGOTTEN]
            for owner in owners:
                groups.join(owner, owners[0])
                changed[owner] = None
        found: dict[str, list[str]] = {}
        for customer in sorted(changed):
            found.setdefault(groups.first_of(customer), []).append(customer)
        return list(found.values())


def _links_in_force(connection: sa.Connection, at_us: int) -> dict[Any, bool]:
    """Tell of each pair that had been linked by a moment whether it still was."""
    found: dict[Any, bool] = {}
    for left, right, linked_at, undone_at in connection.execute(_LINKS):
        if tables.micros(linked_at) <= at_us:
            holds = undone_at is None or tables.micros(undone_at) > at_us
            found[left, right] = found.get((left, right), False) or holds
    return found
