"""Writes a batch of parsed rows to the ledger, without rows about forgotten customers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.customers.attribute_writer import (
    SentAttributes,
    WrittenAttributes,
    write_attributes,
)
from features.customers.contact_outcomes import update_outcomes_at
from features.customers.contacts import note_contacts
from features.customers.profiles import account_key, all_accounts_of, update_account_members
from features.errors import InvalidEvent
from features.identity.holders import FORGOTTEN, nodes_at
from features.identity.joining import join_loaded
from features.identity.keys import KeyNormalizer
from features.identity.links import resolve_each, restated_by
from features.identity.tombstones import forgotten
from features.ingest.append_events import append_events
from features.ingest.cells import Row
from features.ingest.checks.stored_rows import with_other_content
from features.ingest.contract_tables import Business, ParsedRows, contacts_of
from features.ingest.load_report import (
    BEFORE_DECISION,
    FORGOTTEN_ROWS,
    OTHER_ACTION,
    OTHER_CONTENT,
    LeftOut,
    of_no_decision,
)
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions
from features.ledger.statements import select_in_batches
from features.outcomes.recorded_outcomes import recorded_time
from features.rewards.event_days import EventRules, mark_loaded
from features.states.state_rows import (
    delete_states,
    drop_states,
    republish_attributes,
    request_refold,
)

TABLE = "the table of customers"  # cause of its links


class WrittenBatch(NamedTuple):
    """The numbers of new rows and of changed customers, and why each other row was left out."""

    new: int
    changed: int
    left_out: list[LeftOut]


def write_batch(
    connection: sa.Connection, parsed: ParsedRows, business: Business, now: datetime
) -> WrittenBatch:
    """Write a batch in the caller's transaction.

    Attributes of customers are brought up to date. Other rows that are in the ledger stay as they
    are.
    """
    kept, left_out = _without_forgotten(connection, parsed, business.normalizer, now)
    account = business.domain.account
    people = _write_customers(connection, kept.rows.pop(tables.customers, []), account, now)
    inserted = 0
    for table, rows in kept.rows.items():
        count = tables.insert_new(connection, table, rows)
        if count < len(rows):
            left_out += with_other_content(connection, table, rows)
        inserted += count
    shown = contacts_of(kept.rows.get(tables.decisions, ()), business.catalog)
    note_contacts(connection, shown)
    outcomes = kept.rows.get(tables.outcomes, ())
    update_outcomes_at(connection, sorted({row["decision_id"] for row in outcomes}))
    _mark_rewards(connection, outcomes)
    joined = join_loaded(connection, business.normalizer, kept.links, TABLE, now)
    done = append_events(connection, business.normalizer, kept.events, now, imported=True)
    mark_loaded(connection, EventRules.of(business.domain), done.new_events)
    left_out += [_refused_event(error) for error in done.refused.values()]
    merged_away = {one.loser for one in (*joined.merges, *done.merges)}
    reassigned = {name for one in (*joined.reassigned, *done.reassigned) for name in one[:2]}
    if account:
        named = people.new | {*people.changed} | merged_away | reassigned
        update_account_members(connection, named)
    customer_of = resolve_each(connection, people.new | {*people.changed})
    changed = {one.survivor for one in joined.merges} | restated_by(done.merges) | reassigned
    changed |= {*done.new_events} | {customer_of.get(key, key) for key in people.new}
    updated = {customer_of.get(key, key) for key in people.changed} - changed
    moved = [customer_of.get(one, one) for one, names in people.changed.items() if account in names]
    accounts = {account_key(one) for one in people.left_accounts}
    accounts |= all_accounts_of(connection, [*moved, *changed])
    delete_states(connection, merged_away)
    request_refold(connection, _with_features(connection, (changed - merged_away) | accounts), now)
    _republish(connection, sorted(updated), now)
    new_events = sum(map(len, done.new_events.values()))
    new, updated_n = len(people.new), len({*people.changed} - people.new)
    return WrittenBatch(inserted + new + new_events, updated_n, left_out)


def _write_customers(
    connection: sa.Connection, rows: Sequence[Row], account: str | None, now: datetime
) -> WrittenAttributes:
    sent = [
        SentAttributes(row["customer_id"], from_json(row["attributes"]), row.get("as_of"))
        for row in rows
    ]
    return write_attributes(connection, sent, now, account)


def _without_forgotten(
    connection: sa.Connection, parsed: ParsedRows, normalizer: KeyNormalizer, now: datetime
) -> tuple[ParsedRows, list[LeftOut]]:
    """Leave out rows about forgotten customers; `append_events` refuses events about them."""
    erased = forgotten(connection, parsed.keys)
    held = _holders_of(connection, parsed, normalizer, now)
    subjects = {*parsed.keys} - erased if tables.decisions in parsed.rows else set[str]()
    customer_of = resolve_each(connection, subjects | {*held.values()})
    decided = _decisions_of(connection, parsed.rows.get(tables.outcomes, ()))
    kept, left_out = ParsedRows(events=parsed.events), list[LeftOut]()
    for table, rows in parsed.rows.items():
        for row in rows:
            subject: str = row.get("subject") or row.get("customer_id") or ""
            subject = held.get((subject, row.get("decided_at", now)), subject)
            if subject in erased or (table is not tables.outcomes and subject == FORGOTTEN):
                sentence = f"a row of {table.name} is about a forgotten customer"
                left_out.append(LeftOut(FORGOTTEN_ROWS, sentence))
            elif table is tables.outcomes:
                fitted = _fitted(row, decided.get(row["decision_id"]))
                if isinstance(fitted, LeftOut):
                    left_out.append(fitted)
                else:
                    kept.rows.setdefault(table, []).append(fitted)
            else:
                if table is tables.decisions:
                    customer_id = customer_of.get(subject, subject)
                    row = row | {"subject": subject, "customer_id": customer_id}
                elif table is tables.customers and subject != row["customer_id"]:
                    row = row | {"customer_id": customer_of.get(subject, subject)}
                kept.rows.setdefault(table, []).append(row)
    for customer_id, identifier in parsed.links:
        if identifier in erased and customer_id not in erased:
            sentence = f"an identifier of {customer_id!r} is of a forgotten customer"
            left_out.append(LeftOut(FORGOTTEN_ROWS, sentence))
    kept.links = [pair for pair in parsed.links if not erased & {*pair}]
    return kept, left_out


def _holders_of(
    connection: sa.Connection, parsed: ParsedRows, normalizer: KeyNormalizer, now: datetime
) -> dict[tuple[Any, Any], str]:
    """Find the nodes of devices: at the time of each decision, and now for attributes."""
    moments = [(row["subject"], row["decided_at"]) for row in parsed.rows.get(tables.decisions, ())]
    moments += [(row["customer_id"], now) for row in parsed.rows.get(tables.customers, ())]
    return nodes_at(connection, [one for one in moments if normalizer.is_anonymous(one[0])])


def _decisions_of(connection: sa.Connection, outcomes: Sequence[Row]) -> dict[str, Any]:
    """The decisions that the outcomes name and the ledger has, by id."""
    columns = tables.decisions.c
    imported = columns.record.is_(None).label("imported")
    query = sa.select(columns.decision_id, columns.action_id, columns.activated_at, imported)
    query = query.where(columns.decision_id.in_({row["decision_id"] for row in outcomes}))
    return {row.decision_id: row for row in connection.execute(query)}


def _fitted(row: Row, decision: Any) -> Row | LeftOut:
    """Fit an outcome to its decision: its action, and its time by a clock that may be behind."""
    if decision is None:
        return of_no_decision(row["decision_id"])
    named, at, shown_at = row["action_id"], row["occurred_at"], decision.activated_at
    if decision.imported and named not in ("", decision.action_id):
        sentence = f"action_id is {named!r} and that of the decision {decision.action_id!r}"
        return LeftOut(OTHER_ACTION, sentence)
    counts_at = recorded_time(at, shown_at) if shown_at is not None else at
    if counts_at is None:
        sentence = f"occurred_at is {at.isoformat()}, the decision of {shown_at.isoformat()}"
        return LeftOut(BEFORE_DECISION, sentence)
    # An outcome need not name the action: an imported decision has only one.
    action_id = named or decision.action_id
    return row | {"action_id": action_id, "occurred_at": counts_at, "received_at": counts_at}


def _refused_event(error: InvalidEvent) -> LeftOut:
    is_known = error.field == "event_id"
    return LeftOut(OTHER_CONTENT if is_known else FORGOTTEN_ROWS, str(error))


def _mark_rewards(connection: sa.Connection, outcomes: Sequence[Row]) -> None:
    """Mark our own decisions with new outcomes, and decisions that may share one with them."""
    columns = tables.decisions.c
    served = sa.select(columns.decision_id).where(columns.served)
    decided = {row["decision_id"] for row in outcomes}
    found = select_in_batches(connection, served, columns.decision_id, decided)
    shared = {row["decision_id"] for row in outcomes if row["shared_id"] is not None}
    mark_decisions(connection, sorted(shared | {row.decision_id for row in found}))


def _with_features(connection: sa.Connection, keys: Iterable[str]) -> list[str]:
    """Find the customers and accounts, among these, whose features are stored and wrong now."""
    if tables.get_meta(connection, tables.FEATURES_BUILT) is not None:
        return sorted(keys)
    # Nothing was built. A server may have computed some states from its own events.
    column = tables.journey_states.c.customer_id
    found = select_in_batches(connection, sa.select(column), column, keys)
    return [row.customer_id for row in found]


def _republish(connection: sa.Connection, customer_ids: Sequence[str], now: datetime) -> None:
    """Mark customers whose attributes have changed, but not their past."""
    without_state = republish_attributes(connection, customer_ids, now)
    drop_states(connection, _with_features(connection, without_state), now)
