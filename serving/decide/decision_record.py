"""Selects actions and appends the decision, in the one ledger transaction that makes it final.

The appended row holds the answer and all that making the decision again or evaluating it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from features.business.catalog import NO_ACTION
from features.customers.contacts import Contact, history, note_contacts
from features.customers.profiles import account_key, account_of, members_of
from features.customers.tombstones import resolve_customer, subject_of
from features.errors import DecisionConflict
from features.ledger import tables
from features.ledger.statements import Statement, list_parameters, list_values
from features.outcomes.silence import queue_silences
from serving.contract.decisions import Decision
from serving.decide.choice import select
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import (
    CompleteDecision,
    DecisionInputs,
    LockedInputs,
    ScoredActions,
)
from training.arrays import Bools

_COLUMNS = (
    *("decision_id", "subject", "customer_id", "decided_at", "channel", "action_id"),
    *("probability", "arm", "served", "activated_at", "window_ends_at"),
    *("features", "record", "answer"),
)
_APPEND = Statement(tables.decisions.insert(), _COLUMNS)


def select_and_append(
    connection: sa.Connection, setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions
) -> Decision | None:
    """Select actions and append the decision; None if the keys lead to another customer by now.

    A decision that was already made under the same ``decision_id`` is returned as it was.

    Raises
    ------
    DecisionConflict
        If ``decision_id`` was used for another customer or channel.
    """
    if resolve_customer(connection, inputs.keys) != inputs.customer_id:
        return None
    if inputs.request.decision_id:  # an id that we drew is new
        earlier = _earlier(connection, inputs)
        if earlier is not None:
            return earlier
    locked = read_locked(
        connection, setup, inputs.customer_id, inputs.decided_at, scored.eligibility.out
    )
    selected = select(setup, inputs, scored, locked)
    subject = subject_of(connection, inputs.keys, inputs.customer_id)
    append_decision(connection, CompleteDecision(setup, inputs, scored, locked, selected, subject))
    return selected.decision


def read_locked(
    connection: sa.Connection, setup: DecisionSetup, customer_id: str, now: datetime, out: Bools
) -> LockedInputs:
    """Read contacts and pacing states while nobody else can write them.

    Parameters
    ----------
    out : shape (n_actions,)
        Actions that are removed already; the pacing states that only they draw on are not read.
    """
    contacts = contacts_of(connection, setup, customer_id, now)
    return LockedInputs(contacts, _paces_of(connection, setup, out))


def contacts_of(
    connection: sa.Connection, setup: DecisionSetup, customer_id: str, now: datetime
) -> list[Contact]:
    """Read the contacts that the contact policy counts, the oldest first."""
    policy = setup.contact_policy
    if not policy.days:
        return []
    people = [customer_id]
    if policy.per_account and (account := account_of(connection, customer_id)):
        people += [one for one in members_of(connection, account_key(account)) if one not in people]
    return history(connection, people, now - timedelta(days=policy.days))


def append_decision(connection: sa.Connection, complete: CompleteDecision) -> None:
    """Append a decision; where it is shown at once, also its contacts and what it spent."""
    setup, inputs, selected = complete.setup, complete.inputs, complete.selected
    decision, served = selected.decision, inputs.request.activate
    shown, now = shown_actions(decision), decision.decided_at
    days = {name: setup.compiled.catalog.actions[name].attribution_days for name in shown}
    first = decision.actions[0]
    row = {
        "decision_id": decision.decision_id,
        "subject": complete.subject,
        "customer_id": decision.customer_id,
        "decided_at": now,
        "channel": inputs.request.channel,
        "action_id": first.action_id,
        "probability": first.probability,
        "arm": decision.arm,
        "served": served,
        "activated_at": now if served else None,
        "window_ends_at": now + timedelta(days=max(days.values(), default=0.0)),
        "features": inputs.row.tobytes(),
        "record": to_json(_record(complete, days)).decode(),
        "answer": decision.as_json,
    }
    _APPEND.run(connection, row)
    if served and shown:
        note_contacts(connection, contact_rows(setup, row, shown, now))
        queue_silences(connection, decision.decision_id, shown, now)
        keep_paces(connection, selected.pacing_result.changed)


def _record(complete: CompleteDecision, days: Mapping[str, float]) -> dict[str, Any]:
    """The JSON beside the answer: what `select` and `score` need to make the decision again."""
    setup, inputs, locked = complete.setup, complete.inputs, complete.locked
    experts, index = complete.scored.prediction.expert_predictions, setup.compiled.index
    return {
        "request": inputs.request.model_dump(mode="json", exclude_defaults=True),
        "consents": inputs.consents,
        "contacts": [(one.customer_id == inputs.customer_id, *one[1:]) for one in locked.contacts],
        "paces": locked.paces,
        "catalog": setup.compiled.catalog.fingerprint,
        "features_layout": setup.model_input.fingerprint,
        "attribution_days": days,
        "removed": complete.selected.rules,
        # Compared with the outcomes when they come: the experts' weights follow from the errors.
        "experts": {name: experts[:, index[name]].tolist() for name in days},
        **_candidates(complete),
    }


def _candidates(complete: CompleteDecision) -> dict[str, Any]:
    """The candidates of the first slot, with acceptance, priority and probability."""
    compiled, scored, selected = complete.setup.compiled, complete.scored, complete.selected
    names = (*compiled.actions, NO_ACTION)
    held = selected.candidates.tolist()
    no_action = len(compiled.actions)
    acceptance, priority = scored.prediction.acceptance.tolist(), scored.priority.tolist()
    return {
        "candidates": [names[index] for index in held],
        "acceptance": [0.0 if index == no_action else acceptance[index] for index in held],
        "priority": [0.0 if index == no_action else priority[index] for index in held],
        "probabilities": selected.probabilities.tolist(),
    }


def locked_again(record: Mapping[str, Any], customer_id: str) -> LockedInputs:
    """Take the locked inputs of a logged decision from its record.

    Colleagues' customer ids are not in the record; they are empty here.
    """
    contacts = [Contact(customer_id if own else "", *rest) for own, *rest in record["contacts"]]
    return LockedInputs(contacts, record["paces"])


def contact_rows(
    setup: DecisionSetup, decision: Mapping[str, Any], shown: Sequence[str], shown_at: datetime
) -> list[dict[str, Any]]:
    """Make a row of the contacts table for each shown action of a row of the decisions table."""
    whose = ("decision_id", "subject", "customer_id", "channel")
    return [
        {name: decision[name] for name in whose}
        | {
            "action_id": action,
            "shown_at": shown_at,
            "action_group": setup.compiled.catalog.actions[action].group,
        }
        for action in shown
    ]


def keep_paces(connection: sa.Connection, changed: Mapping[str, Any]) -> None:
    """Write the pacing states that spending has changed."""
    rows = [{"name": name, "state": to_json(state).decode()} for name, state in changed.items()]
    tables.upsert(connection, tables.paces, rows)


def shown_actions(decision: Decision) -> list[str]:
    """List the actions that a decision puts before the customer."""
    return [one.action_id for one in decision.actions if one.action_id != NO_ACTION]


def _paces_of(connection: sa.Connection, setup: DecisionSetup, out: Bools) -> dict[str, Any]:
    names = setup.pacer.names(out)
    if not names:
        return {}
    rows = _paces(len(names)).rows(connection, list_values("name", names))
    return {name: from_json(state) for name, state in rows}


@cache
def _paces(names: int) -> Statement:
    columns = tables.paces.c
    query = sa.select(columns.name, columns.state)
    return Statement(query.where(columns.name.in_(list_parameters("name", names))))


def _earlier(connection: sa.Connection, inputs: DecisionInputs) -> Decision | None:
    """Find the decision that was already made under the caller's id."""
    columns, channel = tables.decisions.c, inputs.request.channel
    query = sa.select(columns.answer, columns.customer_id, columns.channel)
    found = connection.execute(query.where(columns.decision_id == inputs.decision_id)).first()
    if found is None:
        return None
    if (found.customer_id, found.channel) != (inputs.customer_id, channel) or found.answer is None:
        raise DecisionConflict(
            f"decision_id {inputs.decision_id!r} was used for customer {found.customer_id!r} "
            f"on {found.channel!r}.",
            expected="one id for one decision",
            remedy="Send a new decision_id, or none.",
        )
    return Decision.model_validate_json(found.answer)
