"""Marks events that a guardrail may have to count, in the transaction that appends them.

A mark is seen once its transaction has ended, so no event is missed that was received before
another one and came into the ledger after it. Loaded events are history, and are not marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.catalog_rules import LEAVING
from features.business.domain import Domain
from features.journeys.events import Event
from features.ledger import tables

EVENT, SILENCE = "event", "silence"  # the kinds of marks
STEPS = "guardrail steps"  # key of `meta`


class HarmEvents(NamedTuple):
    """The events that guardrails count.

    Attributes
    ----------
    types : frozenset of str
        The types of event that are harm themselves.
    ended_by_silence : str
        The type of event after which a silence counts as leaving; empty if none does.
    silent : timedelta
        The length of that silence.
    """

    types: frozenset[str] = frozenset()
    ended_by_silence: str = ""
    silent: timedelta = timedelta()

    @classmethod
    def of(cls, catalog: Catalog, domain: Domain) -> HarmEvents:
        """Read them from the guardrails of a catalogue."""
        counted = {one.counts for one in catalog.guardrails.values()}
        types, churn = counted - {LEAVING}, domain.churn
        if LEAVING not in counted or churn is None:
            return cls(frozenset(types))
        if churn.when == "happens":
            return cls(frozenset({*types, churn.event}))
        return cls(frozenset(types), churn.event, timedelta(days=churn.silent_days or 0))


def mark_harm(
    connection: sa.Connection,
    harm: HarmEvents,
    new_events: Mapping[str, Iterable[Event]],
    now: datetime,
) -> None:
    """Mark the new events that guardrails count, by customer.

    A customer whose silence would be leaving has one mark: it is due when the silence that follows
    the event has lasted long enough. Later events leave it as it is, so that most events of that
    type write nothing; when it is due, the last event of then is looked up.
    """
    if not harm.types and not harm.ended_by_silence:
        return
    rows = []
    for customer_id, some in new_events.items():
        for event in some:
            row = {"customer_id": customer_id}
            if event.type in harm.types:
                rows.append({"kind": EVENT, "key": event.event_id, **row, "due_at": now})
            if event.type == harm.ended_by_silence:
                due_at = event.occurred_at + harm.silent
                rows.append({"kind": SILENCE, "key": customer_id, **row, "due_at": due_at})
    tables.insert_new(connection, tables.guardrail_marks, rows)


def read_step(connection: sa.Connection) -> int:
    """The number of the last step of counting that was written."""
    return int(tables.get_meta(connection, STEPS) or 0)


def raise_step(connection: sa.Connection) -> None:
    """Note that the tests of guardrails have changed, or that a customer was forgotten.

    A step of counting that is being computed is not written then.
    """
    tables.set_meta(connection, STEPS, str(read_step(connection) + 1))
