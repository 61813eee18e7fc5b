"""Marks the rewards that have to be summed again, in the transaction that changed what they sum.

A mark is one small row. `outcomes.reward_steps` computes the marked rows later, outside of the
lock.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from features.ledger.statements import Statement

DECISION, CUSTOMER, EVENTS = "decision", "customer", "events"
ANY_DAY = -1
_MARK = Statement(
    sa.text(
        "INSERT INTO reward_marks (kind, key, day, number) VALUES (:kind, :key, :day, 1) "
        "ON CONFLICT (kind, key, day) DO UPDATE SET number = reward_marks.number + 1"
    )
)


def mark_decisions(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Mark decisions whose outcomes or showing changed, and those that share outcomes with them."""
    for decision_id in decision_ids:
        _MARK.run(connection, {"kind": DECISION, "key": decision_id, "day": ANY_DAY})


def mark_customers(connection: sa.Connection, customer_ids: Iterable[str]) -> None:
    """Mark all days of customers whose decisions or events came, went or were loaded."""
    for customer_id in customer_ids:
        _MARK.run(connection, {"kind": CUSTOMER, "key": customer_id, "day": ANY_DAY})


def mark_event_days(connection: sa.Connection, days: Iterable[tuple[str, int]]) -> None:
    """Mark customers and days (since 1970, UTC) on which events with a value came."""
    for customer_id, day in days:
        _MARK.run(connection, {"kind": EVENTS, "key": customer_id, "day": day})
