"""What customers were shown, and what they said to it: the memory of the contact policy.

A contact is one action of one decision that was shown. It moves with its key when customers are
merged or parted, like the decision it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables
from features.ledger.statements import Statement, select_in_batches
from features.ledger.tables import micros


class Contact(NamedTuple):
    """One showing of an action.

    Attributes
    ----------
    shown_us : int
        When, in microseconds since 1970 (UTC): as the ledger keeps it, and as JSON keeps it exact.
    outcomes_at : by outcome name, when it last occurred, in microseconds since 1970
    """

    customer_id: str
    action_id: str
    group: str
    channel: str
    shown_us: int
    outcomes_at: Mapping[str, int]


# Made once: putting the expression together would take longer than the database does.
_COLUMNS = tables.contacts.c
_HISTORY = (
    sa.select(
        _COLUMNS.customer_id,
        _COLUMNS.action_id,
        _COLUMNS.action_group,
        _COLUMNS.channel,
        sa.type_coerce(_COLUMNS.shown_at, sa.BigInteger),
        _COLUMNS.outcomes_at,
    )
    .where(_COLUMNS.shown_at > sa.bindparam("since", type_=tables.UtcMicros))
    .order_by(_COLUMNS.shown_at, _COLUMNS.decision_id, _COLUMNS.action_id)
)
_OF_ONE = Statement(_HISTORY.where(_COLUMNS.customer_id == sa.bindparam("customer")))
_OF_SOME = _HISTORY.where(_COLUMNS.customer_id.in_(sa.bindparam("customers", expanding=True)))
# An imported outcome need not name the action: the decision has only one.
_NAMED = sa.bindparam("action", type_=sa.Text)
_UPDATE_OUTCOMES_AT = (
    sa.update(tables.contacts)
    .where(
        _COLUMNS.decision_id == sa.bindparam("decision"),
        sa.or_(_COLUMNS.action_id == _NAMED, _NAMED == ""),
    )
    .values(outcomes_at=sa.bindparam("kept"))
)


def history(
    connection: sa.Connection, customer_ids: Sequence[str], since: datetime
) -> list[Contact]:
    """Every contact after a moment with one of these customers, the oldest first."""
    rows: Iterable[Any]
    if len(customer_ids) == 1:
        rows = _OF_ONE.rows(connection, {"customer": customer_ids[0], "since": since})
    else:
        rows = connection.execute(_OF_SOME, {"customers": customer_ids, "since": since})
    return [
        Contact(customer_id, action_id, group, channel, shown_us, from_json(text) if text else {})
        for customer_id, action_id, group, channel, shown_us, text in rows
    ]


def note_contacts(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep showings, each once; columns of the table without ``outcomes_at``."""
    return tables.insert_new(
        connection, tables.contacts, [{**row, "outcomes_at": ""} for row in rows]
    )


def update_outcomes_at(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Recompute ``outcomes_at`` of the contacts of these decisions from their outcomes."""
    outcomes, news = tables.outcomes.c, list[dict[str, str]]()
    held: dict[tuple[str, str], list[Any]] = {}
    for row in select_in_batches(
        connection, sa.select(tables.outcomes), outcomes.decision_id, decision_ids
    ):
        held.setdefault((row.decision_id, row.action_id), []).append(row)
    for (decision_id, action_id), rows in held.items():
        gone = {row.retracts or row.revises for row in rows}
        outcomes_at: dict[str, int] = {}
        for row in rows:
            if not row.retracts and row.outcome_id not in gone:
                at_us = max(outcomes_at.get(row.outcome, 0), micros(row.occurred_at))
                outcomes_at[row.outcome] = at_us
        kept = json.dumps(outcomes_at) if outcomes_at else ""
        news.append({"decision": decision_id, "action": action_id, "kept": kept})
    if news:
        connection.execute(_UPDATE_OUTCOMES_AT, news)


SPANS_DAYS = (1, 7, 30)  # of the contact counters


def contact_summary(connection: sa.Connection, customer_id: str, now: datetime) -> dict[str, Any]:
    """What the customer was shown: when last, and how often on each channel and of each action.

    Restated by a merge and its undoing, because contacts are found by who the customer is now.
    """
    last_at: datetime | None = None
    counts: dict[str, dict[str, dict[str, int]]] = {"channels": {}, "actions": {}}
    for contact in history(connection, [customer_id], tables.EPOCH):
        last_at = tables.from_micros(contact.shown_us)
        for of, name in (("channels", contact.channel), ("actions", contact.action_id)):
            kept = counts[of].setdefault(name, {"ever": 0} | _spans())
            kept["ever"] += 1
            for days in SPANS_DAYS:
                kept[f"{days}d"] += last_at > now - timedelta(days=days)
    return {"last_at": last_at, **counts}


def _spans() -> dict[str, int]:
    return {f"{days}d": 0 for days in SPANS_DAYS}
