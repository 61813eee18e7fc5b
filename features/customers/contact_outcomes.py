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
    sa.update(tables.contacts).where(*_OF_OUTCOME).values(outcomes_at=sa.bindparam("kept"))
)


def add_outcome_at(connection: sa.Connection, outcome: Mapping[str, Any]) -> None:
    """Update ``outcomes_at`` of the contact of an outcome that was just inserted.

    Parameters
    ----------
    outcome
        Its row. Only an outcome that retracts or revises another one makes it necessary to read
        the other outcomes of the decision.
    """
    if outcome["retracts"] or outcome["revises"]:
        update_outcomes_at(connection, [outcome["decision_id"]])
        return
    values = {"decision": outcome["decision_id"], "action": outcome["action_id"]}
    found = connection.execute(_OUTCOMES_AT, values).first()
    if found is None:  # `no_action` is no contact
        return
    outcomes_at: dict[str, int] = from_json(found.outcomes_at) if found.outcomes_at else {}
    name, at_us = outcome["outcome"], micros(outcome["occurred_at"])
    if outcomes_at.get(name, 0) < at_us:
        kept = json.dumps(outcomes_at | {name: at_us})
        connection.execute(_UPDATE_OUTCOMES_AT, values | {"kept": kept})


def update_outcomes_at(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Recompute ``outcomes_at`` of the contacts of these decisions from their outcomes."""
    outcomes, updates = tables.outcomes.c, list[dict[str, str]]()
    read = (outcomes.decision_id, outcomes.action_id, outcomes.outcome_id, outcomes.outcome)
    at_us = sa.type_coerce(outcomes.occurred_at, sa.BigInteger).label("at_us")
    query = sa.select(*read, at_us, outcomes.retracts, outcomes.revises)
    by_contact: dict[tuple[str, str], list[Any]] = {}
    for row in select_in_batches(connection, query, outcomes.decision_id, decision_ids):
        by_contact.setdefault((row.decision_id, row.action_id), []).append(row)
    for (decision_id, action_id), rows in by_contact.items():
        replaced = {row.retracts or row.revises for row in rows}
        outcomes_at: dict[str, int] = {}
        for row in rows:
            if not row.retracts and row.outcome_id not in replaced:
                outcomes_at[row.outcome] = max(outcomes_at.get(row.outcome, 0), row.at_us)
        kept = json.dumps(outcomes_at) if outcomes_at else ""
        updates.append({"decision": decision_id, "action": action_id, "kept": kept})
    if updates:
        connection.execute(_UPDATE_OUTCOMES_AT, updates)
