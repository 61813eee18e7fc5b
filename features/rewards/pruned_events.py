"""Keeps the value of events that retention deletes: their margin by day, and who had left.

It is kept by the key under which the events happened, so a merge or a split takes it along. The
definitions of the day of deletion hold for it for good. A late event that is older than what was
deleted has a margin, and changes nobody's leaving.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.derived_tables import mark_event_days
from features.ledger.statements import among, select_in_batches
from features.rewards.decision_rewards import DAY_US
from features.rewards.event_days import EventRules, margin_of
from features.rewards.event_rows import (
    EventDay,
    Moment,
    PrunedEvents,
    add_up,
    leaving_changes,
    pack_event_days,
    unpack_event_days,
)
from features.rewards.reward_state import read_state

_PRUNED, _EVENT = tables.pruned_event_days.c, tables.events.c
_AT_US = sa.type_coerce(_EVENT.occurred_at, sa.BigInteger).label("at_us")
_ANY = sa.select(sa.literal(1)).select_from(tables.pruned_event_days).limit(1)
_DELETED = sa.select(_EVENT.subject, _AT_US, _EVENT.type, _EVENT.properties)


def read_pruned(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, PrunedEvents]:
    """Read what is kept of the deleted events of some customers, under all their keys.

    Returns
    -------
    dict
        Customers without deleted events are left out.
    """
    if connection.execute(_ANY).first() is None:
        return {}
    ids = list(customer_ids)
    names = tables.identities.c
    query = sa.select(names.key, names.customer_id)
    linked = select_in_batches(connection, query, names.customer_id, ids)
    owners = {key: key for key in ids} | {row.key: row.customer_id for row in linked}
    days, last = defaultdict[str, list[EventDay]](list), dict[str, Moment]()
    rows = select_in_batches(
        connection, sa.select(tables.pruned_event_days), _PRUNED.customer_id, owners
    )
    for row in rows:
        owner = owners[row.customer_id]
        days[owner] += unpack_event_days(row.days)
        if row.last_at is not None:
            moment = tables.micros(row.last_at), bool(row.last_is_back)
            last[owner] = max(last.get(owner, moment), moment)
    return {
        owner: PrunedEvents(tuple(add_up(some)), last.get(owner)) for owner, some in days.items()
    }


def keep_pruned(connection: sa.Connection, rules: EventRules, event_ids: Sequence[str]) -> None:
    """Keep the value of events; in the transaction that deletes them, before they are deleted.

    Nothing else changes by the deletion. But a first sum that has not come to a customer yet would
    not find one without events: such customers are marked.
    """
    query = _DELETED.where(among(_EVENT.event_id, event_ids), _EVENT.type.in_(rules.types))
    rows = connection.execute(query.order_by(_EVENT.occurred_at, _EVENT.event_id)).all()
    subjects = {row.subject for row in rows}
    owners = {key: key for key in subjects} | resolve_each(connection, subjects)
    kept: dict[str, list[EventDay]] = {key: [] for key in subjects}
    last, moments = dict[str, Moment](), defaultdict[str, dict[Moment, str]](dict)
    for row in rows:
        if row.type in rules.margins:
            value = margin_of(rules.margins[row.type], row.properties)
            kept[row.subject].append(EventDay(row.at_us // DAY_US, 0, value))
        if row.type in rules.types_of_leaving:
            moment = row.at_us, row.type in rules.back
            moments[owners[row.subject]][moment] = row.subject
            last[row.subject] = max(last.get(row.subject, moment), moment)
    before = read_pruned(connection, moments)
    for owner, some in moments.items():
        known = before[owner].last if owner in before else None
        newest = max(some)
        # The silence after the newest one may still end: its change is computed from what is left.
        for at_us, change in leaving_changes(some, rules.silent_us, known, newest[0]):
            kept[some.get((at_us, change < 0), some[newest])].append(
                EventDay(at_us // DAY_US, change, 0.0)
            )
    _add(connection, kept, last)
    if read_state(connection).events.after is not None:
        first = {owners[row.subject]: row.at_us // DAY_US for row in reversed(rows)}
        mark_event_days(connection, sorted(first.items()))


def _add(
    connection: sa.Connection, kept: dict[str, list[EventDay]], last: dict[str, Moment]
) -> None:
    """Add to the rows of some keys."""
    query, column = sa.select(tables.pruned_event_days), _PRUNED.customer_id
    stored = {row.customer_id: row for row in select_in_batches(connection, query, column, kept)}
    rows: list[dict[str, Any]] = []
    for key, days in sorted(kept.items()):
        row, moment = stored.get(key), last.get(key)
        if row is not None:
            days = days + unpack_event_days(row.days)
            if row.last_at is not None:
                former = tables.micros(row.last_at), bool(row.last_is_back)
                moment = max(moment or former, former)
        rows.append(
            {
                "customer_id": key,
                "days": pack_event_days(add_up(days)),
                "last_at": None if moment is None else tables.from_micros(moment[0]),
                "last_is_back": None if moment is None else moment[1],
            }
        )
    if rows:
        tables.upsert(connection, tables.pruned_event_days, rows)
