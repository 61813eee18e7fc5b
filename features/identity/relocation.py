"""Moves events, decisions and contacts to the customer to whom their key belongs now.

They are stored under the customer of their key (``subject``). After a merge or a split, few rows
move at once. Many would hold the ledger's lock for seconds, so they stay where they are, and the
table `relocations` lists their customer and keys; `relocate_some` moves them in small steps, each
in a transaction of its own. Contacts always move at once, as caps are computed from them.

A row is *misplaced* if it is not stored under the customer of its key. Every misplaced row is
listed, with an ``after_us`` before its time. New rows are never misplaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.derived_tables import mark_customers, mark_journeys
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, as_json, texts_of

AT_ONCE = 400  # events that one transaction may move for its merges and splits
EVENTS_PER_DECISION = 5  # a decision, of 8 KB, takes as long to move as so many events
BEGIN, END = -(1 << 62), 1 << 62  # before and after all times, in microseconds since 1970


class Past(NamedTuple):
    """The rows of a customer before a merge."""

    first_at: datetime | None  # of the events; it may be too early during a relocation
    has_data: bool  # there are events or attributes


_LISTED, _IDENTITIES, _FACTS = tables.relocations.c, tables.identities.c, tables.customers.c
_TIMES = {
    tables.events: tables.events.c.occurred_at,
    tables.decisions: tables.decisions.c.decided_at,
    tables.contacts: tables.contacts.c.shown_at,
}
_IDS = {tables.events: tables.events.c.event_id, tables.decisions: tables.decisions.c.decision_id}
_US = {table: sa.type_coerce(column, sa.BigInteger) for table, column in _TIMES.items()}
_WHO = sa.bindparam("who", type_=sa.Text)
_AFTER_US = sa.bindparam("after_us", type_=sa.BigInteger)
_UNTIL_US = sa.bindparam("until_us", type_=sa.BigInteger)
_LIMIT = sa.bindparam("limit", type_=sa.Integer)
_KEYS = sa.select(texts_of("keys").c.value)


def _count(table: sa.Table) -> Any:
    some = sa.select(table.c.subject).where(table.c.customer_id == _WHO).limit(_LIMIT)
    return sa.select(sa.func.count()).select_from(some.subquery()).scalar_subquery()


_PAST = Statement(
    sa.select(
        sa.select(_US[tables.events])
        .where(tables.events.c.customer_id == _WHO)
        .order_by(_TIMES[tables.events])
        .limit(1)
        .scalar_subquery(),
        sa.or_(
            sa.exists(sa.select(_FACTS.account).where(_FACTS.customer_id == _WHO)),
            sa.exists(
                sa.select(_FACTS.account).where(
                    _FACTS.customer_id == _IDENTITIES.key, _IDENTITIES.customer_id == _WHO
                )
            ),
        ),
    )
)
_COUNTS = Statement(sa.select(_count(tables.events), _count(tables.decisions)))
_INCOMING = Statement(
    sa.select(_LISTED.customer_id, sa.func.min(_LISTED.after_us))
    .join_from(tables.relocations, tables.identities, _IDENTITIES.key == _LISTED.subject)
    .where(_IDENTITIES.customer_id == _WHO, _LISTED.customer_id != _WHO)
    .group_by(_LISTED.customer_id)
)
_TIMES_AFTER = {
    table: Statement(
        sa.select(_US[table])
        .where(table.c.customer_id == _WHO, _US[table] > _AFTER_US)
        .order_by(_TIMES[table])
        .limit(_LIMIT)
    )
    for table in _IDS
}
_MISPLACED = {
    table: sa.and_(
        table.c.customer_id == _WHO,
        _IDENTITIES.key == table.c.subject,
        _IDENTITIES.customer_id != _WHO,
    )
    for table in _TIMES
}
# No row can conflict. By default SQLite would copy each changed page, to undo this statement alone.
_PLACE = {
    table: Statement(
        sa.update(table)
        .prefix_with("OR FAIL", dialect="sqlite")
        .where(_MISPLACED[table], _US[table] > _AFTER_US, _US[table] <= _UNTIL_US)
        .values(customer_id=_IDENTITIES.customer_id)
    )
    for table in _TIMES
}
_PLACE_SOME_OF_INSTANT = {
    table: Statement(
        sa.update(table)
        .where(
            _IDENTITIES.key == table.c.subject,
            column.in_(
                sa.select(column)
                .where(_MISPLACED[table], _US[table] == _UNTIL_US)
                .limit(_LIMIT)
                .correlate(None)
            ),
        )
        .values(customer_id=_IDENTITIES.customer_id)
    )
    for table, column in _IDS.items()
}
_ANY_LISTED = Statement(sa.select(sa.exists(sa.select(_LISTED.subject))))
_FIRST_LISTED = Statement(
    sa.select(_LISTED.customer_id, sa.func.min(_LISTED.after_us))
    .group_by(_LISTED.customer_id)
    .order_by(_LISTED.customer_id)
    .limit(1)
)
_LISTED_OF_SOME = Statement(
    sa.select(_LISTED.customer_id, _IDENTITIES.customer_id)
    .join_from(tables.relocations, tables.identities, _IDENTITIES.key == _LISTED.subject)
    .where(sa.or_(_LISTED.customer_id.in_(_KEYS), _IDENTITIES.customer_id.in_(_KEYS)))
    .distinct()
)
_ADVANCE = Statement(
    sa.update(tables.relocations)
    .where(_LISTED.customer_id == _WHO, _LISTED.after_us < _UNTIL_US)
    .values(after_us=_UNTIL_US)
)
_UNLIST = Statement(sa.delete(tables.relocations).where(_LISTED.customer_id == _WHO))
_UNLIST_KEYS = Statement(
    sa.delete(tables.relocations).where(_LISTED.customer_id == _WHO, _LISTED.subject.in_(_KEYS))
)


def past_of(connection: sa.Connection, customer_id: str) -> Past:
    """Describe the rows of a customer."""
    [(first_us, facts)] = _PAST.rows(connection, {"who": customer_id})
    times = [] if first_us is None else [first_us]
    if is_any_relocating(connection):
        for source, after_us in _INCOMING.rows(connection, {"who": customer_id}):
            values = {"who": source, "after_us": after_us, "limit": 1}
            times += [at_us for (at_us,) in _TIMES_AFTER[tables.events].rows(connection, values)]
    first_at = tables.from_micros(min(times)) if times else None
    return Past(first_at, bool(facts or times))


def place(
    connection: sa.Connection, customer_id: str, keys: Sequence[str], owner: str, at_most: int
) -> int:
    """Move the rows of some keys, after their customer in `identities` was changed, or list them.

    Parameters
    ----------
    customer_id
        The customer to whom the keys belonged until now.
    owner
        The customer to whom the keys belong now.
    at_most
        The number of events that may be moved at once; see `EVENTS_PER_DECISION`.

    Returns
    -------
    int
        The number of events, and decisions as events, that were looked at; 0 if they were listed.
    """
    mark_journeys(connection, {customer_id, owner})  # also those with attributes alone
    _place(connection, tables.contacts, customer_id)
    [(events_n, decisions_n)] = _COUNTS.rows(connection, {"who": customer_id, "limit": at_most + 1})
    rows_n = int(events_n + EVENTS_PER_DECISION * decisions_n)
    if is_any_relocating(connection):
        # Rows of these keys that have not left the present customer are in their place again.
        _UNLIST_KEYS.run(connection, {"who": owner, "keys": as_json(keys)})
    if rows_n <= at_most:
        if rows_n:
            for table in (tables.events, tables.decisions):
                _place(connection, table, customer_id)
            _unlist(connection, customer_id, owner)
        return rows_n
    listed = [{"customer_id": customer_id, "subject": key, "after_us": BEGIN} for key in keys]
    tables.upsert(connection, tables.relocations, listed)
    return 0


def relocate_some(connection: sa.Connection, rows: int = 500) -> bool:
    """Move misplaced rows of the first listed customer.

    Parameters
    ----------
    rows
        Number of events that are looked at, at most; and of decisions, a fifth of it.

    Returns
    -------
    bool
        True if any rows are still listed.
    """
    first = _FIRST_LISTED.first(connection, {})
    if first is None:
        return False
    customer_id, after_us = first
    limits = {tables.events: rows, tables.decisions: max(rows // EVENTS_PER_DECISION, 1)}
    until_us = min(
        _place_some(connection, table, customer_id, after_us, limit)
        for table, limit in limits.items()
    )
    if until_us == END:
        _unlist(connection, customer_id)
    else:
        _ADVANCE.run(connection, {"who": customer_id, "until_us": until_us})
    return is_any_relocating(connection)


def is_relocating(connection: sa.Connection, customer_ids: Iterable[str]) -> set[str]:
    """Find the customers, among these, to whom or from whom rows are still to be moved."""
    if not is_any_relocating(connection):
        return set()
    asked = {*customer_ids}
    found = _LISTED_OF_SOME.rows(connection, {"keys": as_json(sorted(asked))})
    return asked & {one for pair in found for one in pair}


def sources_of(connection: sa.Connection, customer_id: str) -> list[str]:
    """List the other customers under whom rows of a customer are still stored."""
    return [source for source, _ in _INCOMING.rows(connection, {"who": customer_id})]


def is_any_relocating(connection: sa.Connection) -> bool:
    """Return whether rows of any customer are still to be moved."""
    [(any_listed,)] = _ANY_LISTED.rows(connection, {})
    return bool(any_listed)


def relocate_all(ledger: Ledger) -> None:
    """Move all misplaced rows, in small steps."""
    while ledger.write_now(relocate_some):
        continue


def belongs_to(table: sa.Table, customers: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Make the condition that an event or a decision is of some customers, wherever it is stored.

    While rows are relocated, `customer_id` alone finds too few or too many of them.
    """
    keys = sa.select(_IDENTITIES.key).where(_IDENTITIES.customer_id.in_(customers))
    sources = sa.select(_LISTED.customer_id).where(_LISTED.subject.in_(keys))
    return table.c.customer_id.in_(sa.union(customers, sources)) & is_under(table, customers)


def is_under(table: sa.Table, customers: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Make the condition that the key of an event or a decision belongs to some customers."""
    keys = sa.select(_IDENTITIES.key).where(_IDENTITIES.customer_id.in_(customers))
    linked = sa.exists(sa.select(_IDENTITIES.key).where(_IDENTITIES.key == table.c.subject))
    return table.c.subject.in_(keys) | (table.c.subject.in_(customers) & ~linked)


def _unlist(connection: sa.Connection, customer_id: str, *owners: str) -> None:
    """Note that no row of a customer is misplaced, and mark what is summed from its rows."""
    pairs = _LISTED_OF_SOME.rows(connection, {"keys": as_json([customer_id])})
    mark_customers(connection, {customer_id, *owners, *(one for pair in pairs for one in pair)})
    _UNLIST.run(connection, {"who": customer_id})


def _place(
    connection: sa.Connection,
    table: sa.Table,
    customer_id: str,
    after_us: int = BEGIN,
    until_us: int = END,
) -> None:
    values = {"who": customer_id, "after_us": after_us, "until_us": until_us}
    _PLACE[table].run(connection, values)


def _place_some(
    connection: sa.Connection, table: sa.Table, customer_id: str, after_us: int, limit: int
) -> int:
    """Move misplaced rows among the next ones; return the time up to which none is left."""
    values = {"who": customer_id, "after_us": after_us, "limit": limit + 1}
    times = [at_us for (at_us,) in _TIMES_AFTER[table].rows(connection, values)]
    if len(times) > limit and times[0] == times[-1]:
        values |= {"until_us": times[0], "limit": limit}
        moved = _PLACE_SOME_OF_INSTANT[table].count(connection, values)
        return times[0] if moved < limit else after_us
    until_us = times[-1] - 1 if len(times) > limit else END
    if times:
        _place(connection, table, customer_id, after_us, until_us)
    return until_us
