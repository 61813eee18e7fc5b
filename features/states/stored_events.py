"""Reads stored events in the order in which they are folded: by time, then by event id.

The key of an account stands for the events of all its members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.customers.profiles import ACCOUNT, members_of
from features.ledger import tables
from features.ledger.statements import Row, Statement

MICROS = 1e6


class Position(NamedTuple):
    """The place of an event in the order of folding."""

    at_us: int
    event_id: str


START = Position(-(2**62), "")  # before every event
LAST_ID = "\U0010ffff"  # sorts after every event id of an instant

_COLUMNS = tables.events.c
# As integers: making 10 million datetimes would take longer than the fold.
_AT = sa.type_coerce(_COLUMNS.occurred_at, sa.BigInteger)
_ROW = (_COLUMNS.event_id, _COLUMNS.type, _COLUMNS.channel, _AT, _COLUMNS.properties)


def _bound(name: str) -> tuple[sa.BindParameter[int], sa.BindParameter[str]]:
    return sa.bindparam(f"{name}_us", type_=sa.BigInteger), sa.bindparam(
        f"{name}_id", type_=sa.Text
    )


def _is_after() -> sa.ColumnElement[bool]:
    at_us, event_id = _bound("after")
    return sa.and_(at_us <= _AT, sa.or_(at_us < _AT, event_id < _COLUMNS.event_id))


def _is_until() -> sa.ColumnElement[bool]:
    at_us, event_id = _bound("until")
    return sa.and_(at_us >= _AT, sa.or_(at_us > _AT, event_id >= _COLUMNS.event_id))


_KEY = sa.bindparam("key", type_=sa.Text)
_MEMBERS = sa.select(tables.account_members.c.customer_id).where(
    tables.account_members.c.account == _KEY
)
_OF = {False: _COLUMNS.customer_id == _KEY, True: _COLUMNS.customer_id.in_(_MEMBERS)}
_AFTER = {
    account: Statement(
        sa.select(*_ROW)
        .where(of, _is_after())
        .order_by(_COLUMNS.occurred_at, _COLUMNS.event_id)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .offset(sa.literal_column("0"))
    )
    for account, of in _OF.items()
}
_COUNT = {
    account: Statement(
        sa.select(sa.func.count()).select_from(tables.events).where(of, _is_after(), _is_until())
    )
    for account, of in _OF.items()
}


def events_after(connection: sa.Connection, key: str, position: Position, most: int) -> list[Row]:
    """Read the events of a customer or account after a position, at most ``most``.

    Rows are id, type, channel, time (microseconds since 1970) and properties (JSON).
    """
    values = _values(key) | {"after_us": position.at_us, "after_id": position.event_id}
    return _AFTER[key.startswith(ACCOUNT)].rows(connection, values | {"most": most})


def count_events(connection: sa.Connection, key: str, after: Position, until: Position) -> int:
    """Count the events of a customer or account after one position, up to another."""
    values = _values(key) | {"after_us": after.at_us, "after_id": after.event_id}
    values |= {"until_us": until.at_us, "until_id": until.event_id}
    [(count,)] = _COUNT[key.startswith(ACCOUNT)].rows(connection, values)
    return int(count)


def events_of(connection: sa.Connection, key: str) -> Iterator[Any]:
    """Read all events of a customer or account; see `events_after`."""
    customers = members_of(connection, key) if key.startswith(ACCOUNT) else [key]
    query = (
        sa.select(*_ROW)
        .where(_COLUMNS.customer_id.in_(customers))
        .order_by(_COLUMNS.occurred_at, _COLUMNS.event_id)
    )
    yield from connection.execute(query)


def events_in_fold_order() -> Any:
    """Make the query for all events in the order of folding.

    Rows are customer, type, channel, time (microseconds since 1970) and properties (JSON).
    """
    query = sa.select(
        _COLUMNS.customer_id, _COLUMNS.type, _COLUMNS.channel, _AT, _COLUMNS.properties
    )
    return query.order_by(_COLUMNS.customer_id, _COLUMNS.occurred_at, _COLUMNS.event_id)


def _values(key: str) -> dict[str, Any]:
    return {"key": key.removeprefix(ACCOUNT)}
