"""Rows of the table `journey_states`: read, dropped so that they are folded again, and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import Statement, among, as_json, in_batches, texts_of
from features.states.checkpoints import delete_all_checkpoints

# Built once: building the expressions would take longer than the database takes to answer them.
OF_KEYS = tables.journey_states.c.customer_id.in_(sa.select(texts_of("keys").c.value))
_STATES_OF = sa.select(tables.journey_states).where(OF_KEYS)
_REPUBLISH = (
    sa.update(tables.journey_states)
    .where(OF_KEYS, tables.journey_states.c.state.is_not(None))
    .values(profile_online=False, restated_at=sa.bindparam("at", type_=tables.UtcMicros))
    .returning(tables.journey_states.c.customer_id)
)
_DROP = Statement(
    sa.text(
        "INSERT INTO journey_states (customer_id, online, profile_online, restated_at, generation) "
        "VALUES (:key, FALSE, FALSE, :now_us, 1) ON CONFLICT (customer_id) DO UPDATE SET "
        "state = NULL, last_at = NULL, last_event_id = NULL, problem = NULL, online = FALSE, "
        "profile_online = FALSE, restated_at = excluded.restated_at, "
        "generation = journey_states.generation + 1"
    )
)


def stored_states(connection: sa.Connection, keys: Iterable[str]) -> dict[str, Any]:
    """Read the rows of some customers and accounts, by key."""
    found = connection.execute(_STATES_OF, {"keys": as_json(keys)})
    return {row.customer_id: row for row in found}


def request_refold(connection: sa.Connection, keys: Iterable[str], now: datetime) -> None:
    """Drop the states and checkpoints of customers whose past has changed somewhere."""
    keys = list(dict.fromkeys(keys))
    delete_all_checkpoints(connection, keys)
    drop_states(connection, keys, now)


def drop_states(connection: sa.Connection, keys: Sequence[str], now: datetime) -> None:
    """Drop the states of customers, so that they are folded again from their checkpoints."""
    now_us = tables.micros(now)
    _DROP.run_many(connection, [{"key": key, "now_us": now_us} for key in keys])


def republish_attributes(
    connection: sa.Connection, keys: Sequence[str], now: datetime
) -> list[str]:
    """Mark customers whose attributes have changed: published, and read anew for training.

    Returns
    -------
    list of str
        The customers without a stored state, who are not marked. Drop their states.
    """
    marked: set[str] = set()
    for some in in_batches(keys):
        marked |= {*connection.execute(_REPUBLISH, {"keys": as_json(some), "at": now}).scalars()}
    return [key for key in keys if key not in marked]


def delete_states(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Delete the states and checkpoints of customers who do not exist any more."""
    keys = list(keys)
    gone = among(tables.journey_states.c.customer_id, keys)
    connection.execute(sa.delete(tables.journey_states).where(gone))
    delete_all_checkpoints(connection, keys)
