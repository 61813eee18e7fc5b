"""Moves the rows of a device to another holder, for the time during which that one held it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.identity.holders import FORGOTTEN
from features.identity.relocation import BEGIN, END
from features.ledger import tables
from features.ledger.derived_tables import mark_customers
from features.ledger.statements import Row, Statement, as_json, texts_of


class Reassignment(NamedTuple):
    """Rows went from one customer to another, because somebody else held the device then.

    Attributes
    ----------
    first_at
        The time of the first event that went; None if no event did.
    """

    source: str
    target: str
    first_at: datetime | None


_IDENTITIES, _LISTED = tables.identities.c, tables.relocations.c
_EVENTS, _DECISIONS, _CONTACTS = tables.events.c, tables.decisions.c, tables.contacts.c
_NODE = sa.bindparam("node", type_=sa.Text)
_PLACES = sa.select(texts_of("places").c.value)
_FROM_US = sa.bindparam("from_us", type_=sa.BigInteger)
_UNTIL_US = sa.bindparam("until_us", type_=sa.BigInteger)
_TO = {
    "subject": sa.bindparam("to_node", type_=sa.Text),
    "customer_id": sa.bindparam("to_customer", type_=sa.Text),
}
_OWNER = Statement(sa.select(_IDENTITIES.customer_id).where(_IDENTITIES.key == _NODE))
_HELD_UP = Statement(sa.select(_LISTED.customer_id).where(_LISTED.subject == _NODE))
_TIMES = {tables.events: _EVENTS.occurred_at, tables.decisions: _DECISIONS.decided_at}
_US = {table: sa.type_coerce(column, sa.BigInteger) for table, column in _TIMES.items()}
_WHERE = {
    table: sa.and_(
        table.c.customer_id.in_(_PLACES),
        table.c.subject == _NODE,
        at_us >= _FROM_US,
        at_us < _UNTIL_US,
    )
    for table, at_us in _US.items()
}
_ROWS_AT = {
    table: Statement(sa.select(at_us).where(_WHERE[table]).order_by(_TIMES[table]))
    for table, at_us in _US.items()
}
_FIRST_AT = {
    table: Statement(sa.select(sa.func.min(at_us)).where(_WHERE[table]))
    for table, at_us in _US.items()
}
# A contact goes with its decision, whatever the time at which it was shown.
_MOVE_CONTACTS = Statement(
    sa.update(tables.contacts)
    .where(
        _CONTACTS.decision_id.in_(
            sa.select(_DECISIONS.decision_id).where(_WHERE[tables.decisions]).correlate(None)
        )
    )
    .values(_TO)
)
_MOVE = {table: Statement(sa.update(table).where(_WHERE[table]).values(_TO)) for table in _TIMES}


def owner_of(connection: sa.Connection, node: str) -> str:
    """Find the customer of a key or a node."""
    row = _OWNER.first(connection, {"node": node})
    return node if row is None else str(row[0])


def reassign(
    connection: sa.Connection, source: str, target: str, from_us: int = BEGIN, until_us: int = END
) -> list[Reassignment]:
    """Move the events, decisions and contacts of a node in a span of time to another node.

    Parameters
    ----------
    source, target
        Nodes of one device.
    from_us, until_us
        The span, microseconds since 1970, without its end.

    Returns
    -------
    list of Reassignment
        At most one; none if no row was moved, or both nodes are of one customer.
    """
    values: dict[str, Any] = {"node": source, "places": as_json(_places(connection, source))}
    values |= {"from_us": from_us, "until_us": until_us}
    firsts = {table: _only(_FIRST_AT[table].rows(connection, values)) for table in _TIMES}
    if not any(first_us is not None for first_us in firsts.values()):
        return []
    before, after = owner_of(connection, source), owner_of(connection, target)
    values |= {"to_node": target, "to_customer": after}
    _MOVE_CONTACTS.run(connection, values)
    for table in _TIMES:
        _MOVE[table].run(connection, values)
    mark_customers(connection, {before, after})
    if before == after:
        return []
    first_us = firsts[tables.events]
    return [Reassignment(before, after, None if first_us is None else tables.from_micros(first_us))]


def settle(
    connection: sa.Connection, source: str, logins: Sequence[tuple[int, str]]
) -> list[Reassignment]:
    """Move all rows of a node to the nodes that held the device at the time of each.

    Rows of a time at which a forgotten customer held it stay: they are nobody else's.

    Parameters
    ----------
    logins
        Time (microseconds since 1970) and node of each login that counts, in order; at least one.
        The first of them also has what happened before.
    """
    values: dict[str, Any] = {"node": source, "places": as_json(_places(connection, source))}
    values |= {"from_us": BEGIN, "until_us": END}
    times = sorted(
        at_us for table in _TIMES for (at_us,) in _ROWS_AT[table].rows(connection, values)
    )
    done: list[Reassignment] = []
    for from_us, until_us, node in _spans(logins):
        place = bisect_left(times, from_us)
        if node not in (source, FORGOTTEN) and place < len(times) and times[place] < until_us:
            done += reassign(connection, source, node, from_us, until_us)
    return done


def _spans(logins: Sequence[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """Divide all time into the spans of the holders; the first one begins with time."""
    begins = [BEGIN, *(at_us for at_us, _ in logins[1:])]
    nodes = [node for _, node in logins]
    ends = [*begins[1:], END]
    return [span for span in zip(begins, ends, nodes, strict=True) if span[0] < span[1]]


def _places(connection: sa.Connection, node: str) -> list[str]:
    """The customers under whom rows of a node are stored."""
    moved = [place for (place,) in _HELD_UP.rows(connection, {"node": node})]
    return [owner_of(connection, node), *moved]


def _only(rows: Sequence[Row]) -> int | None:
    [(value,)] = rows
    return None if value is None else int(value)
