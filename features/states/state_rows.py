"""Rows of the table `journey_states`: read, dropped so that they are folded again, and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.states.checkpoints import delete_all_checkpoints

# Built once: building the expressions would take longer than the database takes to answer them.
OF_KEYS = tables.journey_states.c.customer_id.in_(sa.bindparam("keys", expanding=True))
_STATES_OF = sa.select(tables.journey_states).where(OF_KEYS)
NO_STATE: dict[str, Any] = {"state": None, "last_at": None, "last_event_id": None}


def stored_states(connection: sa.Connection, keys: Iterable[str]) -> dict[str, Any]:
    """Read the rows of some customers and accounts, by key."""
    found = connection.execute(_STATES_OF, {"keys": list(keys)})
    return {row.customer_id: row for row in found}


def request_refold(connection: sa.Connection, keys: Iterable[str], now: datetime) -> None:
    """Drop the states and checkpoints of customers whose past has changed somewhere."""
    keys = list(dict.fromkeys(keys))
    delete_all_checkpoints(connection, keys)
    drop_states(connection, keys, now)


def drop_states(connection: sa.Connection, keys: Sequence[str], now: datetime) -> None:
    """Drop the states of customers, so that they are folded again from their checkpoints."""
    stored = stored_states(connection, keys)
    blank = {"restated_at": now, "online": False, "profile_online": False, "problem": None}
    generations = {key: stored[key].generation + 1 if key in stored else 1 for key in keys}
    rows = [
        {"customer_id": key, "generation": number, **NO_STATE, **blank}
        for key, number in generations.items()
    ]
    if rows:
        tables.upsert(connection, tables.journey_states, rows)


def delete_states(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Delete the states and checkpoints of customers who do not exist any more."""
    keys = list(keys)
    gone = tables.journey_states.c.customer_id.in_(keys)
    connection.execute(sa.delete(tables.journey_states).where(gone))
    delete_all_checkpoints(connection, keys)
