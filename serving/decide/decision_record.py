"""What is read before a choice and kept of it, in the one transaction that makes it final.

The record holds all that repeating or judging the decision later needs, beside the answer.
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
from features.ledger import tables
from features.ledger.statements import Statement, any_of, numbered
from serving.contract.decisions import Decision
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs, ScoredActions, SelectedActions
from training.arrays import Bools

_COLUMNS = (
    *("decision_id", "subject", "customer_id", "decided_at", "channel", "action_id"),
    *("probability", "arm", "served", "activated_at", "window_ends_at"),
    *("features", "record", "answer"),
)
_APPEND = Statement(tables.decisions.insert(), _COLUMNS)


def contacts_of(
    connection: sa.Connection, setup: DecisionSetup, accounts: bool, customer_id: str, now: datetime
) -> list[Contact]:
    """The contacts that the contact policy looks at."""
    policy = setup.contact_policy
    if not policy.days:
        return []
    people = [customer_id]
    if accounts and policy.per_account and (account := account_of(connection, customer_id)):
        people += [one for one in members_of(connection, account_key(account)) if one not in people]
    return history(connection, people, now - timedelta(days=policy.days))


def paces_of(connection: sa.Connection, setup: DecisionSetup, out: Bools) -> dict[str, Any]:
    """The state of what the actions that are not out yet draw on."""
    names = setup.pacer.names(out)
    if not names:
        return {}
    rows = _paces(len(names)).rows(connection, numbered("name", names))
    return {name: from_json(state) for name, state in rows}


@cache
def _paces(names: int) -> Statement:
    columns = tables.paces.c
    query = sa.select(columns.name, columns.state)
    return Statement(query.where(columns.name.in_(any_of("name", names))))


def keep_paces(connection: sa.Connection, changed: Mapping[str, Any]) -> None:
    """Write what was spent."""
    rows = [{"name": name, "state": to_json(state).decode()} for name, state in changed.items()]
    tables.replace(connection, tables.paces, rows)


def contact_rows(
    setup: DecisionSetup, decision_id: str, subject: str, customer_id: str, channel: str,
    actions: Sequence[str], shown_at: datetime,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row of the contacts table for each action."""
    return [
        {
            "decision_id": decision_id,
            "action_id": name,
            "subject": subject,
            "customer_id": customer_id,
            "shown_at": shown_at,
            "channel": channel,
            "action_group": setup.compiled.catalog.actions[name].group,
        }
        for name in actions
    ]


def append_decision(
    connection: sa.Connection,
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    selected: SelectedActions,
    contacts: Sequence[Contact],
    paces: Mapping[str, Any],
    subject: str,
    fingerprint: str,
) -> None:
    """Append a decision; where it is shown at once, its contacts and what it spent."""
    decision, request = selected.decision, inputs.request
    shown = shown_actions(decision)
    days = {name: setup.compiled.catalog.actions[name].attribution_days for name in shown}
    record = {
        "request": request.model_dump(mode="json", exclude_defaults=True),
        "consents": inputs.consents,
        "contacts": [(one.customer_id == inputs.customer_id, *one[1:]) for one in contacts],
        "paces": paces,
        "catalog": setup.compiled.catalog.fingerprint,
        "features_layout": fingerprint,
        "attribution_days": days,
        "removed": selected.rules,
        "experts": _experts(setup, scored, shown),
        **_candidates(setup, scored, selected),
    }
    first, served = decision.actions[0], request.activate
    now = decision.decided_at
    row = {
        "decision_id": decision.decision_id,
        "subject": subject,
        "customer_id": decision.customer_id,
        "decided_at": now,
        "channel": request.channel,
        "action_id": first.action_id,
        "probability": first.probability,
        "arm": decision.arm,
        "served": served,
        "activated_at": now if served else None,
        "window_ends_at": now + timedelta(days=max(days.values(), default=0.0)),
        "features": inputs.row.tobytes(),
        "record": to_json(record).decode(),
        "answer": decision.as_json,
    }
    _APPEND.run(connection, row)
    if served and shown:
        who = (decision.decision_id, subject, decision.customer_id, request.channel)
        note_contacts(connection, contact_rows(setup, *who, shown, now))
        keep_paces(connection, selected.pacing_result.changed)


def shown_actions(decision: Decision) -> list[str]:
    """What a decision puts before the customer."""
    return [one.action_id for one in decision.actions if one.action_id != NO_ACTION]


def contacts_again(record: Mapping[str, Any], customer_id: str) -> list[Contact]:
    """The contacts that a record holds; colleagues have no name there."""
    return [Contact(customer_id if own else "", *rest) for own, *rest in record["contacts"]]


def _experts(
    setup: DecisionSetup, scored: ScoredActions, shown: Sequence[str]
) -> dict[str, list[float]]:
    """What each expert expected of the shown actions: judged by, when their outcomes come."""
    index = setup.compiled.index
    return {name: scored.prediction.experts[:, index[name]].tolist() for name in shown}


def _candidates(
    setup: DecisionSetup, scored: ScoredActions, selected: SelectedActions
) -> dict[str, Any]:
    """The actions that could be drawn first, and what spoke for each."""
    names = (*setup.compiled.actions, NO_ACTION)
    held = selected.candidates.tolist()
    nothing = len(setup.compiled.actions)
    acceptance, priority = scored.prediction.acceptance.tolist(), scored.priority.tolist()
    return {
        "candidates": [names[index] for index in held],
        "acceptance": [0.0 if index == nothing else acceptance[index] for index in held],
        "priority": [0.0 if index == nothing else priority[index] for index in held],
        "probabilities": selected.probabilities.tolist(),
    }
