"""Keeps with each contact the outcomes that hold, as the contact policy reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.ledger import tables
from features.ledger.statements import select_in_batches
from features.ledger.tables import micros

_COLUMNS = tables.contacts.c
# An imported outcome need not name the action, as an imported decision has only one.
_NAMED = sa.bindparam("action", type_=sa.Text)
_OF_OUTCOME = (
    _COLUMNS.decision_id == sa.bindparam("decision"),
    sa.or_(_COLUMNS.action_id == _NAMED, _NAMED == ""),
)
_OUTCOMES_AT = sa.select(_COLUMNS.outcomes_at).where(*_OF_OUTCOME)
_UPDATE_OUTCOMES_AT = (
    sa.update(tables.contacts)
    .where(*_OF_OUTCOME)
    .values(
        outcomes_at=sa.bindparam("kept"),
        outcome_at=sa.bindparam("last_us", type_=sa.BigInteger),
    )
)

_OUTCOMES, _CHANGES = tables.outcomes.c, sa.alias(tables.outcomes).c
_AT_US = sa.type_coerce(_OUTCOMES.occurred_at, sa.BigInteger)
_CHANGED = sa.select(_OUTCOMES.outcome, _AT_US.label("at_us")).where(
    _OUTCOMES.outcome_id == sa.bindparam("changed")
)
_LATEST = sa.select(sa.func.max(_AT_US)).where(
    _OUTCOMES.decision_id == sa.bindparam("decision"),
    sa.or_(_OUTCOMES.action_id.in_((_NAMED, "")), _NAMED == ""),
    _OUTCOMES.outcome == sa.bindparam("name"),
    _OUTCOMES.retracts.is_(None),
    _OUTCOMES.outcome_id.not_in(
        sa.select(sa.func.coalesce(_CHANGES.retracts, _CHANGES.revises)).where(
            _CHANGES.decision_id == sa.bindparam("decision"),
            sa.or_(_CHANGES.retracts.is_not(None), _CHANGES.revises.is_not(None)),
        )
    ),
)


def add_outcome_at(connection: sa.Connection, outcome: Mapping[str, Any]) -> None:
    """Update ``outcomes_at`` of the contact of an outcome that was just inserted.

    Parameters
    ----------
    outcome
        Its row. Only if it retracts or revises the last outcome of its name, the other outcomes
        of the decision are read.
    """
    values = {"decision": outcome["decision_id"], "action": outcome["action_id"]}
    found = connection.execute(_OUTCOMES_AT, values).first()
    if found is None:  # `no_action` is no contact
        return
    before: dict[str, int] = from_json(found.outcomes_at) if found.outcomes_at else {}
    outcomes_at = {**before}
    if changed_id := outcome["retracts"] or outcome["revises"]:
        changed = connection.execute(_CHANGED, {"changed": changed_id}).one()
        if before.get(changed.outcome, changed.at_us) <= changed.at_us:
            latest = connection.execute(_LATEST, values | {"name": changed.outcome}).scalar()
            outcomes_at.pop(changed.outcome, None)
            if latest is not None:
                outcomes_at[changed.outcome] = latest
    name, at_us = outcome["outcome"], micros(outcome["occurred_at"])
    if not outcome["retracts"]:
        outcomes_at[name] = max(outcomes_at.get(name, 0), at_us)
    if outcomes_at != before:
        connection.execute(_UPDATE_OUTCOMES_AT, values | _kept(outcomes_at))


def update_outcomes_at(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Recompute ``outcomes_at`` of the contacts of these decisions from their outcomes."""
    outcomes, updates = tables.outcomes.c, list[dict[str, Any]]()
    read = (outcomes.decision_id, outcomes.action_id, outcomes.outcome_id, outcomes.outcome)
    at_us = sa.type_coerce(outcomes.occurred_at, sa.BigInteger).label("at_us")
    query = sa.select(*read, at_us, outcomes.retracts, outcomes.revises)
    by_contact: dict[tuple[str, str], list[Any]] = {}
    rows_found = list(select_in_batches(connection, query, outcomes.decision_id, decision_ids))
    unnamed = {row.decision_id for row in rows_found if not row.action_id}  # of one action
    for row in rows_found:
        action_id = "" if row.decision_id in unnamed else row.action_id
        by_contact.setdefault((row.decision_id, action_id), []).append(row)
    for (decision_id, action_id), rows in by_contact.items():
        replaced = {row.retracts or row.revises for row in rows}
        outcomes_at: dict[str, int] = {}
        for row in rows:
            if not row.retracts and row.outcome_id not in replaced:
                outcomes_at[row.outcome] = max(outcomes_at.get(row.outcome, 0), row.at_us)
        updates.append({"decision": decision_id, "action": action_id} | _kept(outcomes_at))
    if updates:
        connection.execute(_UPDATE_OUTCOMES_AT, updates)


def _kept(outcomes_at: Mapping[str, int]) -> dict[str, Any]:
    kept = json.dumps(outcomes_at) if outcomes_at else ""
    return {"kept": kept, "last_us": max(outcomes_at.values(), default=None)}
