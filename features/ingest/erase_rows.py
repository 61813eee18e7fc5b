"""Deletes forgotten customers from the ledger in short transactions, and keeps account of it.

The first transaction adds the tombstones, so nobody reads or writes the customers from then on.
The rows are deleted in the next ones, some hundred in each, so others do not wait.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.decided_actions import without_other_keys
from features.customers.erasure_scope import Confirmation, customers_of, subjects_of
from features.customers.profiles import all_accounts_of
from features.errors import CustomerForgotten
from features.identity.erasing import (
    erase_identity_rows,
    release_devices,
    stop_moving,
    undone_nodes,
)
from features.identity.holders import base_key
from features.identity.links import resolve_each
from features.identity.tombstones import add_tombstones, forgotten, forgotten_error, hash_keys
from features.ingest.erasure_log import (
    DECISION,
    HELD,
    KEY,
    add_erasure,
    erasure_statuses,
    is_erasing_rows,
    note_ids,
    noted_ids,
    update_erasures,
)
from features.ingest.load_tables import LOADED
from features.ledger import tables
from features.ledger.derived_tables import empty_learned_steps, mark_customers
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, among, among_pairs, as_json, texts_of
from features.outcomes.harm_marks import raise_step
from features.rewards.reward_state import forget_rewards
from features.states.state_rows import delete_states, request_refold

RECORDS_WITH_KEYS = "records with keys up to serial"  # key of `meta`
DECISIONS_PER_STEP, EVENTS_PER_STEP = 50, 250  # rows deleted in one transaction: some 5 ms
# Tables that are emptied in steps, and one whose `customer_id` may be somebody else's.
_IN_STEPS = {tables.events, tables.decisions, tables.contacts, tables.relocations}

_DELETE_EVENTS = Statement(
    sa.delete(tables.events).where(tables.events.c.event_id.in_(sa.select(texts_of("ids").c.value)))
)


class ErasedRows(NamedTuple):
    """Counts of the rows deleted from the ledger."""

    events: int = 0
    outcomes: int = 0
    learned: int = 0  # credits that the bandit had learned
    decisions: int = 0
    done: bool = False  # no row is left

    def plus(self, more: ErasedRows) -> ErasedRows:
        """Add the counts of a later step."""
        return ErasedRows(
            self.events + more.events,
            self.outcomes + more.outcomes,
            self.learned + more.learned,
            self.decisions + more.decisions,
            more.done,
        )


def begin_erasure(
    connection: sa.Connection,
    keys: Sequence[str],
    now: datetime,
    confirmation: Confirmation | None = None,
) -> tuple[str, list[str]]:
    """Refuse the keys of some customers from now on, and note the erasure.

    Parameters
    ----------
    confirmation
        Checked before anything is written; None: the erasure needs none.

    Returns
    -------
    str, list of str
        The id of the erasure, and all keys of the customers.

    Raises
    ------
    CustomerForgotten
        If one of the keys was forgotten already; says how far that erasure is.
    IdentityUnknown
        If nothing is stored under any of the keys.
    NotConfirmed
        If there are several named keys, and the caller has not repeated them.
    """
    for key in forgotten(connection, keys):
        raise _forgotten_already(connection, key)
    customers = customers_of(connection, keys)
    if confirmation is not None:
        confirmation.check(customers.values())
    all_keys = list(dict.fromkeys([*chain(*customers.values()), *subjects_of(connection, keys)]))
    accounts = all_accounts_of(connection, customers)
    erasure_id = add_erasure(connection, now)
    undone = undone_nodes(connection, all_keys)
    shared = release_devices(connection, all_keys)
    refused = [key for key in dict.fromkeys(map(base_key, all_keys)) if key not in shared]
    all_keys = list(dict.fromkeys([*all_keys, *undone]))
    note_ids(connection, erasure_id, KEY, dict.fromkeys([*all_keys, *refused]))
    held = [json.dumps(pair) for pair in stop_moving(connection, all_keys)]
    note_ids(connection, erasure_id, HELD, held)
    _delete_small_tables(connection, all_keys)
    erase_identity_rows(connection, all_keys, shared)
    delete_states(connection, all_keys)
    request_refold(connection, sorted(accounts), now)
    add_tombstones(connection, refused, now)
    read_tables_again(connection)
    return erasure_id, all_keys


def erase_some(ledger: Ledger, erasure_id: str, now: datetime) -> ErasedRows:
    """Delete the next rows of an erasure; at the last ones, note that no row is left.

    The rows are found before the transaction: nobody adds rows of a forgotten customer.
    """
    keys, decision_ids, event_ids = ledger.read(lambda c: _next_rows(c, erasure_id))
    last = len(decision_ids) < DECISIONS_PER_STEP and len(event_ids) < EVENTS_PER_STEP

    def erase(connection: sa.Connection) -> ErasedRows:
        # Another process may have deleted the last rows meanwhile, and the customers may be back.
        if not is_erasing_rows(connection, erasure_id):
            return ErasedRows(done=True)
        outcomes, learned = _erase_decisions(connection, keys, decision_ids)
        note_ids(connection, erasure_id, DECISION, decision_ids)
        if event_ids:
            _DELETE_EVENTS.run(connection, {"ids": as_json(event_ids)})
        done = last and empty_learned_steps(connection)
        if done:
            forget_rewards(connection, keys, [])
            raise_step(connection)  # harm that is being counted would be noted after this
            _delete_small_tables(connection, keys)
            _compute_holders_again(connection, erasure_id, now)
            update_erasures(connection, [erasure_id], rows_erased_at=now)
        return ErasedRows(len(event_ids), outcomes, learned, len(decision_ids), done)

    return ledger.write_now(erase)


def _next_rows(
    connection: sa.Connection, erasure_id: str
) -> tuple[list[str], list[str], list[str]]:
    """Read the keys of an erasure, and the ids of the next decisions and events to delete."""
    keys = noted_ids(connection, erasure_id, KEY)
    held = [from_json(pair) for pair in noted_ids(connection, erasure_id, HELD)]
    decisions, events = tables.decisions.c.decision_id, tables.events.c.event_id
    return (
        keys,
        _some(connection, decisions, keys, held, DECISIONS_PER_STEP),
        _some(connection, events, keys, held, EVENTS_PER_STEP),
    )


def remove_other_keys(ledger: Ledger) -> bool:
    """Remove from some old records the keys that may be of others; return whether all are done.

    A former version recorded all keys of a request. Its records are read once, from the newest
    one on, in the background of the first erasures.
    """
    rows, until = ledger.read(_records_with_keys)
    if until is None:
        return True

    def write(connection: sa.Connection) -> None:
        columns = tables.decisions.c
        # Retention may have shortened a record since it was read; then it has no keys any more.
        whole = (columns.serial == sa.bindparam("number")) & columns.answer.is_not(None)
        update = sa.update(tables.decisions).where(whole)
        if rows:
            connection.execute(update.values(record=sa.bindparam("record")), rows)
        if until > 0:
            tables.set_meta(connection, RECORDS_WITH_KEYS, str(until))
        else:
            _delete(connection, tables.meta, tables.meta.c.key == RECORDS_WITH_KEYS)

    ledger.write_now(write)
    return until <= 0


def _records_with_keys(connection: sa.Connection) -> tuple[list[dict[str, Any]], int | None]:
    """Read the next records that have keys to remove, and the serial up to which others may."""
    noted = tables.get_meta(connection, RECORDS_WITH_KEYS)
    if noted is None:
        return [], None
    columns = tables.decisions.c
    query = sa.select(columns.serial, columns.subject, columns.record)
    query = query.where(columns.serial <= int(noted)).order_by(columns.serial.desc())
    rows, found = [], connection.execute(query.limit(DECISIONS_PER_STEP)).all()
    for serial, subject, packed in found:
        record = from_json(packed) if packed else {}
        request = without_other_keys(record.get("request", {}), subject)
        if request != record.get("request", {}):
            rows.append({"number": serial, "record": json.dumps(record | {"request": request})})
    return rows, found[-1].serial - 1 if len(found) == DECISIONS_PER_STEP else 0


def read_tables_again(connection: sa.Connection) -> None:
    """Forget how far tables were loaded, so that the next load reads them from their first row.

    It leaves out the rows of forgotten customers and reports them, and loads those of readmitted
    customers.
    """
    _delete(connection, tables.meta, tables.meta.c.key.startswith(LOADED, autoescape=True))


def _forgotten_already(connection: sa.Connection, key: str) -> CustomerForgotten:
    hashed, stones = hash_keys(connection, [key]), tables.tombstones.c
    at = sa.select(stones.forgotten_at).where(stones.key_hash.in_(hashed)).scalar_subquery()
    statuses = erasure_statuses(connection, tables.erasures.c.asked_at == at)
    return forgotten_error(key, "".join(f"; {one}" for one in statuses))


def _some(
    connection: sa.Connection,
    column: sa.ColumnElement[str],
    keys: Sequence[str],
    held: Sequence[tuple[str, str]],
    most: int,
) -> list[str]:
    """Read the ids of some rows of the keys: of events or of decisions.

    A row that waits to be moved (`relocation`) is stored under another customer than its own: those
    of ``held`` under the first of each pair, and some under the keys that are of others.
    """
    moved, table = tables.relocations.c, column.table
    foreign = sa.select(moved.subject).where(
        among(moved.customer_id, keys), ~among(moved.subject, keys)
    )
    mine = among(table.c.customer_id, keys) & table.c.subject.not_in(foreign)
    if held:
        mine |= among_pairs((table.c.customer_id, table.c.subject), held)
    return list(connection.execute(sa.select(column).where(mine).limit(most)).scalars())


def _compute_holders_again(connection: sa.Connection, erasure_id: str, now: datetime) -> None:
    """Request features and rewards of customers under whom rows were stored: they may be in."""
    holders = {from_json(pair)[0] for pair in noted_ids(connection, erasure_id, HELD)}
    owners = resolve_each(connection, holders)
    customers = {*holders, *owners.values()}
    customers -= forgotten(connection, customers)
    mark_customers(connection, sorted(customers))
    present = sorted({owners.get(one, one) for one in customers})
    request_refold(connection, [*present, *sorted(all_accounts_of(connection, present))], now)


def _erase_decisions(
    connection: sa.Connection, keys: Sequence[str], decision_ids: Sequence[str]
) -> tuple[int, int]:
    """Delete decisions with all that followed; the counts of outcomes and of learned credits."""
    if not decision_ids:
        return 0, 0
    forget_rewards(connection, keys, decision_ids)
    # Other decisions that shared an outcome with the erased ones get a larger share of its credit,
    # so their outcomes are learned again.
    columns, credits = tables.outcomes.c, tables.credits.c
    mine = columns.decision_id.in_(decision_ids)
    shared = sa.select(columns.shared_id).where(mine, columns.shared_id.is_not(None))
    learn_again = sa.update(tables.outcomes).where(columns.shared_id.in_(shared))
    connection.execute(learn_again.values(learned=False))
    counted = credits.decision_id.in_(decision_ids)
    _delete(connection, tables.credits, counted & (credits["count"] == 0))
    learned = _delete(connection, tables.credits, counted)
    outcomes = _delete(connection, tables.outcomes, mine)
    decided = tables.decisions.c
    serials = sa.select(decided.serial).where(decided.decision_id.in_(decision_ids))
    _delete(connection, tables.later_features, tables.later_features.c.serial.in_(serials))
    for table in (tables.contacts, tables.learner_set_aside, tables.decisions):
        _delete(connection, table, table.c.decision_id.in_(decision_ids))
    return outcomes, learned


def _delete_small_tables(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Delete from every table with one row, or few rows, for each customer."""
    for table in tables.metadata.sorted_tables:
        if "customer_id" in table.c and table not in _IN_STEPS:
            _delete(connection, table, among(table.c.customer_id, keys))


def _delete(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.delete(table).where(where)).rowcount
