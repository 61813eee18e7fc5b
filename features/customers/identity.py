"""From identifiers to the one customer behind them, and back if that was a mistake.

A *key* is a customer id or an identifier. Links between keys are the truth; who the customer
behind a key is follows from the links that hold: all keys that hang together are one customer,
named by the key with the lowest rank, the oldest first. Events and decisions keep the key they
happened under (``subject``), so a link that is undone gives each side back exactly its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.domain import Domain
from features.errors import IdentityUnknown, InvalidData, quoted
from features.ledger import tables

# No spaces and no control characters: PostgreSQL keeps no NUL, and nobody can see the others.
ID_PATTERN = r"^[^\s\x00-\x1f\x7f]+$"
ID_LENGTH = 200
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*:[^\s\x00-\x1f\x7f]+")
ASKED = 10_000  # keys in one question: databases take 32,766 variables, or 65,535
NAMED, IDENTIFIED, ANONYMOUS = range(3)  # ranks: a customer id, an identifier, a cookie


class Merge(NamedTuple):
    """Two customers became one: ``loser`` is ``survivor`` now.

    ``loser_had_data`` is false for a key without events or facts of its own, such as a cookie
    that was never seen before, nothing about ``survivor`` has changed.
    """

    survivor: str
    loser: str
    loser_had_data: bool


class KeyNormalizer:
    """Makes the spellings of an identifier one, as the domain file says for each namespace."""

    def __init__(self, domain: Domain) -> None:
        self._namespaces = domain.identifiers

    def identifier(self, text: str) -> str:
        """An identifier as it is kept.

        Raises
        ------
        InvalidData
            If it is not ``namespace:value``, or of a namespace that the business does not have.
        """
        namespace, colon, value = text.strip().partition(":")
        known = self._namespaces.get(namespace)
        if self._namespaces and known is None:
            expected = f"one of the namespaces {', '.join(self._namespaces)}, such as "
            raise _invalid(text, expected + f"{next(iter(self._namespaces))}:123")
        if known and known.normalize == "lower":
            value = value.strip().lower()
        if known and known.normalize == "digits":
            value = re.sub(r"^00", "", re.sub(r"[^0-9]", "", value))
        cleaned = f"{namespace}{colon}{value}"
        if not IDENTIFIER.fullmatch(cleaned) or len(cleaned) > ID_LENGTH:
            raise _invalid(text, "namespace:value, such as card:123")
        return cleaned

    def keys(self, customer_id: str | None, identifiers: Iterable[str]) -> tuple[str, ...]:
        """All keys that a caller names somebody by, the customer id first, each once.

        Raises
        ------
        InvalidData
            If an identifier cannot be used.
        """
        named = [self.customer(customer_id)] if customer_id else []
        return tuple(dict.fromkeys([*named, *map(self.identifier, identifiers)]))

    def each(self, keys: Iterable[str]) -> list[str]:
        """Customer ids and identifiers, in any mixture, as they are kept."""
        return [self.customer(key) for key in keys]

    def customer(self, customer_id: str) -> str:
        """A customer id as it is kept: a stranger's is an identifier, and spelled like one.

        Raises
        ------
        InvalidData
            If it cannot be used.
        """
        if customer_id.partition(":")[0] in self._namespaces:
            return self.identifier(customer_id)
        if not re.fullmatch(ID_PATTERN, customer_id):
            raise _invalid(customer_id, "a text without spaces")
        return customer_id

    def rank(self, key: str) -> int:
        """How good a name for a customer a key is; the lowest is the best."""
        namespace, colon, _ = key.partition(":")
        known = self._namespaces.get(namespace)
        if known is None:
            return IDENTIFIED if colon and not self._namespaces else NAMED
        return ANONYMOUS if known.anonymous else IDENTIFIED


def resolve(connection: sa.Connection, keys: Sequence[str]) -> str:
    """The customer whom these keys name.

    Returns
    -------
    str
        The customer of the first key that was ever linked; else the first key itself, under
        which a stranger is kept until we know more.
    """
    known = resolve_each(connection, keys)
    return next((known[key] for key in keys if key in known), keys[0])


def resolve_each(connection: sa.Connection, keys: Iterable[str]) -> dict[str, str]:
    """The customer behind each key that was ever linked."""
    columns = tables.identities.c
    query = sa.select(columns.key, columns.customer_id)
    found = select_in_batches(connection, query, columns.key, keys)
    return {row.key: row.customer_id for row in found}


def keys_of(connection: sa.Connection, customer_id: str) -> list[str]:
    """All keys of a customer, the one that names it first."""
    columns = tables.identities.c
    query = sa.select(columns.key).where(columns.customer_id == customer_id)
    found = connection.execute(query.order_by(columns.rank, columns.serial)).scalars()
    return list(found) or [customer_id]


def links_of(connection: sa.Connection, keys: Sequence[str]) -> list[Any]:
    """Every link that touches one of the keys, the undone ones too, in the order of making."""
    columns = tables.links.c
    touched = sa.or_(columns.left.in_(keys), columns.right.in_(keys))
    query = sa.select(tables.links).where(touched)
    return list(connection.execute(query.order_by(columns.linked_at, columns.left, columns.right)))


def link(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pair: tuple[str, str],
    cause: str,
    at: datetime,
    again: bool = False,
) -> Merge | None:
    """Note that two keys are one person, and merge the customers behind them.

    Parameters
    ----------
    cause : str
        Why we believe it; kept with the link.
    again : bool
        Whether a link that was undone is made again. People may say so; an event may not, or
        the next page view would undo the undoing.

    Returns
    -------
    Merge or None
        None if nobody was merged.
    """
    left, right = sorted(pair)
    columns = tables.links.c
    query = sa.select(columns.undone_at).where(columns.left == left, columns.right == right)
    earlier = connection.execute(query).first()
    if left == right or (earlier and (earlier.undone_at is None or not again)):
        return None
    row = {"left": left, "right": right, "cause": cause, "linked_at": at}
    tables.upsert(connection, tables.links, [row | {"undone_at": None, "undone_cause": None}])
    nodes = [{"key": key, "customer_id": key, "rank": normalizer.rank(key)} for key in pair]
    for node in nodes:  # one by one: their order is their age
        tables.insert_new(connection, tables.identities, [node])
    behind = set(resolve_each(connection, pair).values())
    if len(behind) == 1:
        return None
    survivor, loser = _by_rank(connection, behind)
    facts = tables.customers.c.customer_id.in_(keys_of(connection, loser))
    loser_had_data = connection.execute(sa.select(sa.exists().where(facts))).scalar_one()
    for table in (tables.identities, tables.events, tables.decisions, tables.contacts):
        moved = sa.update(table).where(table.c.customer_id == loser)
        count = connection.execute(moved.values(customer_id=survivor)).rowcount
        loser_had_data = loser_had_data or (table is tables.events and count > 0)
    return Merge(survivor, loser, loser_had_data)


def link_all(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pairs: Sequence[tuple[str, str]],
    cause: str,
    at: datetime,
) -> list[Merge]:
    """`link` for many pairs of a customer id and an identifier; those that merged customers.

    An identifier that nobody heard of merges nobody, so most are written all at once.
    """
    pairs = [pair for pair in pairs if pair[0] != pair[1]]
    known = resolve_each(connection, {key for pair in pairs for key in pair})
    times = Counter(identifier for _, identifier in pairs) + Counter({one for one, _ in pairs})
    unlinked = [key for key in times if key not in known]
    lived = {key for key in unlinked if times[key] > 1} | _lived(connection, unlinked)
    new: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    nodes: dict[str, str] = {}  # in the order in which `link` would make them: it is their age
    for pair in pairs:
        customer_id, identifier = pair
        behind = known.get(customer_id, customer_id)
        strange = identifier not in known and identifier not in lived
        strange = strange and normalizer.rank(identifier) >= normalizer.rank(behind)
        (new if strange else rest).append(pair)
        nodes.setdefault(customer_id, behind)
        nodes.setdefault(identifier, behind if strange else identifier)
    rows = [
        {"key": key, "customer_id": behind, "rank": normalizer.rank(key)}
        for key, behind in nodes.items()
        if key not in known
    ]
    tables.insert_new(connection, tables.identities, rows)
    sides = {"cause": cause, "linked_at": at}
    links = [{"left": min(pair), "right": max(pair)} | sides for pair in new]
    tables.insert_new(connection, tables.links, links)
    merged = (link(connection, normalizer, pair, cause, at) for pair in rest)
    return [pair for pair in merged if pair]


def unlink(connection: sa.Connection, pair: tuple[str, str], cause: str, at: datetime) -> list[str]:
    """Undo a link; each side gets back the events and decisions that happened under its keys.

    Returns
    -------
    list of str
        The customers there are now, if that parted one; else nothing.

    Raises
    ------
    IdentityUnknown
        If there is no such link, or it was undone already.
    """
    left, right = sorted(pair)
    columns = tables.links.c
    holds = columns.undone_at.is_(None)
    undo = sa.update(tables.links).where(columns.left == left, columns.right == right, holds)
    if not connection.execute(undo.values(undone_at=at, undone_cause=cause)).rowcount:
        raise IdentityUnknown(
            f"No link holds between {left!r} and {right!r}.",
            expected="two keys that a link of /v1/customer names",
            remedy="Ask /v1/customer for the customer's links and name one of those.",
        )
    customer_id = resolve(connection, [left])
    parts = _parts(connection, keys_of(connection, customer_id))
    if len(parts) == 1:
        return []
    for part in parts:
        _name(connection, customer_id, part)
    return [part[0] for part in parts]


def _parts(connection: sa.Connection, keys: list[str]) -> list[list[str]]:
    """The keys that still hang together, each group in the order of ``keys``."""
    columns = tables.links.c
    query = sa.select(columns.left, columns.right).where(
        columns.undone_at.is_(None), columns.left.in_(keys)
    )
    group = {key: {key} for key in keys}
    for left, right in connection.execute(query):
        if group[left] is not group[right]:
            group[left] |= group[right]
            for key in group[right]:
                group[key] = group[left]
    firsts = dict.fromkeys(next(key for key in keys if key in group[one]) for one in keys)
    return [[key for key in keys if key in group[first]] for first in firsts]


def _name(connection: sa.Connection, customer_id: str, part: list[str]) -> None:
    """Give a group of keys, and what happened under them, a customer of its own."""
    if part[0] == customer_id:
        return
    for table, key in (
        (tables.identities, tables.identities.c.key),
        (tables.events, tables.events.c.subject),
        (tables.decisions, tables.decisions.c.subject),
        (tables.contacts, tables.contacts.c.subject),
    ):
        mine = sa.update(table).where(table.c.customer_id == customer_id, key.in_(part))
        connection.execute(mine.values(customer_id=part[0]))


def _lived(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Keys that we know something of, although they were never linked."""
    kept = tables.events, tables.decisions, tables.customers
    columns = [table.c.customer_id for table in kept]
    asked = (
        select_in_batches(connection, sa.select(column).distinct(), column, keys)
        for column in columns
    )
    return {row[0] for found in asked for row in found}


def select_in_batches(
    connection: sa.Connection, query: sa.Select[Any], column: sa.Column[str], keys: Iterable[str]
) -> Iterator[sa.Row[Any]]:
    """The rows whose column is one of many keys, however many."""
    keys = list(keys)
    for begin in range(0, len(keys), ASKED):
        # By name: an expression with each key in it would take longer than the database does.
        some = query.where(column.in_(sa.bindparam("keys", expanding=True)))
        yield from connection.execute(some, {"keys": keys[begin : begin + ASKED]})


def _by_rank(connection: sa.Connection, keys: Iterable[str]) -> list[str]:
    columns = tables.identities.c
    query = sa.select(columns.key).where(columns.key.in_(list(keys)))
    return list(connection.execute(query.order_by(columns.rank, columns.serial)).scalars())


def _invalid(text: str, expected: str) -> InvalidData:
    return InvalidData(
        f"identifiers has {quoted(text)}.",
        expected=expected,
        remedy="Correct it, or describe its namespace under 'identifiers' in the domain file.",
    )
