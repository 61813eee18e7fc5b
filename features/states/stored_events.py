"""Reads stored events in the order in which they are folded: by time, then by event id.

The key of an account stands for the events of all its members. While events are moved to another
customer (`relocation`), those of a customer are read where they are stored.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.customers.profiles import ACCOUNT
from features.identity.relocation import belongs_to, is_any_relocating, is_under, sources_of
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
# The time from which an event was known, microseconds since 1970. An imported event has no time
# of its own, and counts as known when it occurred.
KNOWN_AT = sa.type_coerce(
    sa.func.coalesce(_COLUMNS.received_at, _COLUMNS.occurred_at), sa.BigInteger
)


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
_IN_ORDER = (_COLUMNS.occurred_at, _COLUMNS.event_id)
# By kind of key and way of reading: the events of a customer, of an account, those of a customer
# that are stored under another one, and those of an account while some are moved.
_OF = {
    (False, False): _COLUMNS.customer_id == _KEY,
    (True, False): _COLUMNS.customer_id.in_(_MEMBERS),
    (False, True): sa.and_(
        _COLUMNS.customer_id == sa.bindparam("place", type_=sa.Text),
        is_under(tables.events, sa.select(_KEY)),
    ),
    (True, True): belongs_to(tables.events, _MEMBERS),
}
_AFTER = {
    way: Statement(
        sa.select(*_ROW)
        .where(of, _is_after())
        .order_by(*_IN_ORDER)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )
    for way, of in _OF.items()
}
_COUNT = {
    way: Statement(
        sa.select(sa.func.count()).select_from(tables.events).where(of, _is_after(), _is_until())
    )
    for way, of in _OF.items()
}


def events_after(connection: sa.Connection, key: str, position: Position, most: int) -> list[Row]:
    """Read the events of a customer or account after a position, at most ``most``.

    Rows are id, type, channel, time (microseconds since 1970) and properties (JSON).
    """
    values: dict[str, Any] = {"after_us": position.at_us, "after_id": position.event_id}
    found = _from_places(connection, _AFTER, key, values | {"most": most})
    if len(found) == 1:
        return found[0]
    return list(islice(heapq.merge(*found, key=itemgetter(3, 0)), most))


def count_events(connection: sa.Connection, key: str, after: Position, until: Position) -> int:
    """Count the events of a customer or account after one position, up to another."""
    values: dict[str, Any] = {"after_us": after.at_us, "after_id": after.event_id}
    values |= {"until_us": until.at_us, "until_id": until.event_id}
    return sum(int(count) for [(count,)] in _from_places(connection, _COUNT, key, values))


def _from_places(
    connection: sa.Connection,
    statements: Mapping[tuple[bool, bool], Statement],
    key: str,
    values: dict[str, Any],
) -> list[list[Row]]:
    """Run a statement for each customer under whom events of ``key`` are stored."""
    is_account, moving = key.startswith(ACCOUNT), is_any_relocating(connection)
    values["key"] = key.removeprefix(ACCOUNT)
    statement = statements[is_account, moving]
    if is_account or not moving:
        return [statement.rows(connection, values)]
    places = [key, *sources_of(connection, key)]
    return [statement.rows(connection, values | {"place": place}) for place in places]


def events_of(connection: sa.Connection, key: str, *more: sa.ColumnElement[Any]) -> Iterator[Any]:
    """Read all events of a customer or account; see `events_after`. ``more`` columns come last."""
    is_account, moving = key.startswith(ACCOUNT), is_any_relocating(connection)
    mine = _OF[is_account, moving]
    if moving and not is_account:
        mine = belongs_to(tables.events, sa.select(_KEY))
    query = sa.select(*_ROW, *more).where(mine).order_by(*_IN_ORDER)
    yield from connection.execute(query, {"key": key.removeprefix(ACCOUNT)})


def events_in_fold_order(*more: sa.ColumnElement[Any]) -> Any:
    """Make the query for all events in the order of folding.

    Rows are customer, type, channel, time (microseconds since 1970), properties (JSON), and then
    ``more`` columns.
    """
    query = sa.select(_COLUMNS.customer_id, *_ROW[1:], *more)
    return query.order_by(_COLUMNS.customer_id, _COLUMNS.occurred_at, _COLUMNS.event_id)
