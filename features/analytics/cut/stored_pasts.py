"""Reads what happened to customers from the ledger: events, shown decisions, and facts.

All customers are read in parts of about `PART_EVENTS` events, each in a transaction of its own: one
of two minutes would keep SQLite from emptying its log of writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from features.analytics.cut.customer_cutter import CustomerPasts
from features.analytics.cut.customer_facts import facts_of
from features.analytics.cut.cutting import PastEvent, Shown
from features.identity.relocation import is_any_relocating
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Row, Statement, as_json, texts_of
from features.states.stored_events import KNOWN_AT, events_in_fold_order, events_of

PART_EVENTS = 100_000
KNOWN_EVENTS = 10_000  # of a part that is read for a request, which may be stopped between parts
LAST_ID = "\U0010ffff"  # sorts after the ids of all customers

_EVENT, _CONTACT = tables.events.c, tables.contacts.c
_AFTER, _LAST = sa.bindparam("after", type_=sa.Text), sa.bindparam("last", type_=sa.Text)
_AS_OF_US = sa.bindparam("as_of_us", type_=sa.BigInteger)
_KEYS = sa.select(texts_of("keys").c.value)
_SHOWN_US: sa.ColumnElement[int] = sa.type_coerce(_CONTACT.shown_at, sa.BigInteger)
_HAPPENED = sa.type_coerce(_EVENT.occurred_at, sa.BigInteger) <= _AS_OF_US
_EVENTS_AFTER = Statement(
    events_in_fold_order()
    .where(_EVENT.customer_id > _AFTER, _HAPPENED)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_KNOWN_AFTER = Statement(
    events_in_fold_order()
    .where(_EVENT.customer_id > _AFTER, _HAPPENED, KNOWN_AT <= _AS_OF_US)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_EVENTS_OF = Statement(events_in_fold_order().where(_EVENT.customer_id.in_(_KEYS), _HAPPENED))
# The actions of one decision are shown at one time on one channel.
_SHOWN = (
    sa.select(_CONTACT.customer_id, _SHOWN_US.label("us"), _CONTACT.channel, _CONTACT.decision_id)
    .where(_SHOWN_US <= _AS_OF_US)
    .distinct()
    .order_by(_CONTACT.customer_id, sa.literal_column("us"), _CONTACT.decision_id)
)
_SHOWN_BETWEEN = Statement(
    _SHOWN.where(_CONTACT.customer_id > _AFTER, _CONTACT.customer_id <= _LAST)
)
_SHOWN_TO = Statement(_SHOWN.where(_CONTACT.customer_id.in_(_KEYS)))


def past_of(
    connection: sa.Connection, customer_ids: Collection[str], as_of_us: int
) -> CustomerPasts:
    """Read what happened to some customers until a moment."""
    values = {"keys": as_json(customer_ids), "as_of_us": as_of_us}
    if is_any_relocating(connection):
        events: list[PastEvent] = [
            (one, *row[1:])
            for one in sorted(customer_ids)
            for row in events_of(connection, one)
            if row[3] <= as_of_us
        ]
    else:
        events = _EVENTS_OF.rows(connection, values)
    shown = _by_customer(_SHOWN_TO.rows(connection, values))
    return _with_facts(connection, events, shown)


def all_pasts(ledger: Ledger, as_of_us: int) -> Iterator[CustomerPasts]:
    """Read what happened to all customers until a moment, in the order of their names.

    No events may be relocated meanwhile, as those of a customer are read where they are stored.
    """
    after: str | None = ""
    while after is not None:
        past, after = ledger.read(lambda c, after=after: _part(c, after, as_of_us, PART_EVENTS))  # type: ignore[misc]
        yield past


def known_pasts(ledger: Ledger, at_us: int, left_out: Collection[str]) -> Iterator[CustomerPasts]:
    """Read what happened and was known at a moment, but of some customers; see `all_pasts`."""
    after: str | None = ""
    while after is not None:
        past, after = ledger.read(
            lambda c, after=after: _part(  # type: ignore[misc]
                c, after, at_us, KNOWN_EVENTS, _KNOWN_AFTER, left_out
            )
        )
        yield past


def _part(
    connection: sa.Connection,
    after: str,
    as_of_us: int,
    most: int,
    statement: Statement = _EVENTS_AFTER,
    left_out: Collection[str] = (),
) -> tuple[CustomerPasts, str | None]:
    """Read the next customers; also the last one of them, None if there are no others."""
    values = {"after": after, "as_of_us": as_of_us}
    events = statement.rows(connection, values | {"most": most})
    while len(events) == most and events[0][0] == events[-1][0]:  # one customer with more events
        most *= 8
        events = statement.rows(connection, values | {"most": most})
    last = None
    if len(events) == most:
        cut_off = events[-1][0]
        while events[-1][0] == cut_off:  # the events of the last one may not be all
            events.pop()
        last = events[-1][0]
    shown = _by_customer(_SHOWN_BETWEEN.rows(connection, values | {"last": last or LAST_ID}))
    if left_out:
        events = [row for row in events if row[0] not in left_out]
        shown = {name: own for name, own in shown.items() if name not in left_out}
    return _with_facts(connection, events, shown), last


def _with_facts(
    connection: sa.Connection, events: list[PastEvent], shown: dict[str, list[Shown]]
) -> CustomerPasts:
    past = CustomerPasts(events, shown, {})
    return past._replace(facts=facts_of(connection, past.customers))


def _by_customer(rows: list[Row]) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for customer_id, at_us, channel, _ in rows:
        found.setdefault(customer_id, []).append((at_us, channel))
    return found
