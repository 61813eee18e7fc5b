"""Contacts: the showings of actions and the outcomes of each, as the contact policy reads them.

A contact is one action of one decision that was shown. When customers are merged or split, it moves
with its key, as its decision does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.dialects import postgresql, sqlite

from features.ledger import tables
from features.ledger.statements import Statement, as_json, texts_of


class Contact(NamedTuple):
    """One showing of an action.

    Attributes
    ----------
    shown_us : int
        Time of the showing, in microseconds since 1970 (UTC), which JSON represents exactly.
    outcomes_at : by outcome name, when it last occurred, in microseconds since 1970
    """

    customer_id: str
    action_id: str
    group: str
    channel: str
    shown_us: int
    outcomes_at: Mapping[str, int]


# Built once: building the expression would take longer than the database takes to answer it.
_COLUMNS = tables.contacts.c
_CONTACTS = sa.select(
    _COLUMNS.customer_id,
    _COLUMNS.action_id,
    _COLUMNS.action_group,
    _COLUMNS.channel,
    sa.type_coerce(_COLUMNS.shown_at, sa.BigInteger),
    _COLUMNS.outcomes_at,
)
CONTACTS = _CONTACTS.order_by(_COLUMNS.shown_at, _COLUMNS.decision_id, _COLUMNS.action_id)
_REACTED_SINCE = sa.type_coerce(_COLUMNS.outcome_at, sa.BigInteger) > sa.bindparam(
    "reacted_us", type_=sa.BigInteger
)
# In no order: for it, the database would read by the time of showing.
REACTED = _CONTACTS.where(_REACTED_SINCE)
_OF_ONE_REACTED = Statement(REACTED.where(_COLUMNS.customer_id == sa.bindparam("customer")))
_HISTORY = CONTACTS.where(_COLUMNS.shown_at > sa.bindparam("since", type_=tables.UtcMicros))
_OF_ONE = Statement(_HISTORY.where(_COLUMNS.customer_id == sa.bindparam("customer")))
_OF_SOME = _HISTORY.where(_COLUMNS.customer_id.in_(sa.select(texts_of("customers").c.value)))
_MEMBERS = tables.account_members.c


def history(
    connection: sa.Connection, customer_ids: Sequence[str], since: datetime
) -> list[Contact]:
    """Read the contacts of some customers after a moment, the oldest first."""
    rows: Iterable[Any]
    if len(customer_ids) == 1:
        rows = _OF_ONE.rows(connection, {"customer": customer_ids[0], "since": since})
    else:
        rows = connection.execute(_OF_SOME, {"customers": as_json(customer_ids), "since": since})
    return as_contacts(rows)


def late_reactions(
    connection: sa.Connection, customer_id: str, since: datetime, shown_until: datetime
) -> list[Contact]:
    """Read the contacts of a customer up to a time with an outcome after another time.

    An outcome may come long after its showing; a cool-down begins with the outcome.
    """
    values = {"customer": customer_id, "reacted_us": tables.micros(since)}
    found = as_contacts(_OF_ONE_REACTED.rows(connection, values))
    return in_order(one for one in found if one.shown_us <= tables.micros(shown_until))


def in_order(contacts: Iterable[Contact]) -> list[Contact]:
    """Sort contacts, the oldest first."""
    return sorted(contacts, key=lambda one: (one.shown_us, *one[:4]))


def as_contacts(rows: Iterable[Any]) -> list[Contact]:
    """Make contacts of the rows of `CONTACTS`."""
    return [
        Contact(customer_id, action_id, group, channel, shown_us, from_json(text) if text else {})
        for customer_id, action_id, group, channel, shown_us, text in rows
    ]


def note_contacts(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert showings that are not there yet, each with the account of its customer.

    Parameters
    ----------
    rows
        They have all columns but ``outcomes_at``, ``outcome_at`` and ``account``.
    """
    statement = _insert_contact(connection.dialect.name)
    if len(rows) > tables.ROW_BY_ROW:
        return statement.run_many(connection, rows)
    return sum(max(statement.count(connection, row), 0) for row in rows)


@cache
def _insert_contact(dialect: str) -> Statement:
    """Make the insert; the account is looked up by the primary key of its table."""
    looked_up = ("outcomes_at", "outcome_at", "account")
    sent = [column for column in _COLUMNS if column.name not in looked_up]
    values: dict[str, Any] = {one.name: sa.bindparam(one.name, type_=one.type) for one in sent}
    mine = _MEMBERS.customer_id == values["customer_id"]
    values["account"] = sa.select(_MEMBERS.account).where(mine).scalar_subquery()
    values["outcomes_at"] = sa.literal_column("''")
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(tables.contacts)
    return Statement(insert.values(values).on_conflict_do_nothing())


PERIODS_DAYS = (1, 7, 30)  # of the contact counts


def contact_summary(connection: sa.Connection, customer_id: str, now: datetime) -> dict[str, Any]:
    """Summarize the contacts of a customer: the last one, and counts by channel and by action.

    Contacts are found by the customer of today, so a merge or a split changes the summary.
    """
    last_at: datetime | None = None
    counts: dict[str, dict[str, dict[str, int]]] = {"channels": {}, "actions": {}}
    for contact in history(connection, [customer_id], tables.EPOCH):
        last_at = tables.from_micros(contact.shown_us)
        for of, name in (("channels", contact.channel), ("actions", contact.action_id)):
            kept = counts[of].setdefault(name, {"ever": 0} | _zero_counts())
            kept["ever"] += 1
            for days in PERIODS_DAYS:
                kept[f"{days}d"] += last_at > now - timedelta(days=days)
    return {"last_at": last_at, **counts}


def _zero_counts() -> dict[str, int]:
    return {f"{days}d": 0 for days in PERIODS_DAYS}
