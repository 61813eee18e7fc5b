"""Appends a decision in the one ledger transaction that makes it final.

The appended row holds the answer and all that making the decision again or evaluating it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from features.business.catalog import NO_ACTION
from features.business.decided_actions import without_other_keys
from features.customers.contacts import note_contacts
from features.errors import DecisionConflict, truncated
from features.identity.links import resolve_each
from features.identity.tombstones import find_customer
from features.ledger import tables
from features.ledger.columns import packed_json
from features.ledger.statements import Statement
from features.ledger.writing.unwaiting import version_of
from features.outcomes.silence import queue_silences
from serving.contract.decisions import Decision, differing_field
from serving.decide.beliefs import pack_beliefs
from serving.decide.choice import select
from serving.decide.decision_setup import DecisionSetup
from serving.decide.limit_inputs import (
    keep_paces,
    read_limit_inputs,
    record_of_account,
    still_valid,
)
from serving.decide.step_results import (
    CompleteDecision,
    DecisionInputs,
    LimitInputs,
    ScoredActions,
)
from serving.policies.stopped_actions import stops_to_json

_COLUMNS = (
    *("decision_id", "subject", "customer_id", "decided_at", "channel", "action_id"),
    *("probability", "arm", "served", "activated_at", "window_ends_at"),
    *("features", "record", "answer", "believed", "slots_shown"),
)
_APPEND = Statement(tables.decisions.insert(), _COLUMNS)


class DecisionRows(NamedTuple):
    """The rows of a decision, made before the transaction that writes them.

    Attributes
    ----------
    decision : mapping
        The row of the decisions table.
    contacts : sequence of mapping
        The rows of the contacts table; empty unless something is shown at once.
    """

    decision: Mapping[str, Any]
    contacts: Sequence[Mapping[str, Any]]


def append_selected(
    connection: sa.Connection, complete: CompleteDecision, rows: DecisionRows
) -> Decision | LimitInputs | None:
    """Append a decision that was selected before the transaction.

    Parameters
    ----------
    complete
        Its inputs are as of before the transaction.
    rows
        Those of ``complete``.

    Returns
    -------
    Decision, LimitInputs or None
        The contacts and pacing states of now, if the selection is not valid any more; None if the
        keys lead to another customer by now. A decision that was already made under the same
        ``decision_id`` is returned as it was.

    Raises
    ------
    DecisionConflict
        If ``decision_id`` was used for another customer, or with another request.
    """
    setup, inputs, scored = complete.setup, complete.inputs, complete.scored
    if _unchanged(connection, inputs):
        _write(connection, rows, complete.selected.pacing_result.changed)
        return complete.selected.decision
    locked = _locked(connection, setup, inputs, scored)
    if not isinstance(locked, LimitInputs):
        return locked
    if not still_valid(setup, inputs, scored, complete.limits, locked):
        return locked
    changed: Mapping[str, Any] = complete.selected.pacing_result.changed
    if locked.paces != complete.limits.paces:
        changed = _spent_on(setup, inputs, locked, complete.selected.decision)
    _write(connection, rows, changed)
    return complete.selected.decision


def select_and_append(
    connection: sa.Connection, setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions
) -> Decision | None:
    """Select actions inside the transaction and append the decision.

    This is the last resort if contacts or pacing states change too often for `append_selected`,
    because others cannot write meanwhile. It returns and raises as that does.
    """
    locked = _locked(connection, setup, inputs, scored)
    if not isinstance(locked, LimitInputs):
        return locked
    selected = select(setup, inputs, scored, locked)
    rows = decision_rows(CompleteDecision(setup, inputs, scored, locked, selected))
    _write(connection, rows, selected.pacing_result.changed)
    return selected.decision


def _unchanged(connection: sa.Connection, inputs: DecisionInputs) -> bool:
    """True if reading everything again would give what was read before the transaction.

    An id of the caller is looked up in the transaction only, so it is not among what was read
    before.
    """
    known = inputs.version is not None and not inputs.request.decision_id
    return known and version_of(connection) == inputs.version


def _locked(
    connection: sa.Connection, setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions
) -> LimitInputs | Decision | None:
    """Contacts and pacing states under the lock; else what is to be returned without a choice."""
    if find_customer(connection, inputs.keys) != (inputs.customer_id, inputs.subject):
        return None
    earlier = _earlier(connection, inputs)
    if earlier is not None:
        return earlier
    customer_id, channel = inputs.customer_id, inputs.request.channel
    out = scored.eligibility.out
    return read_limit_inputs(connection, setup, customer_id, channel, inputs.decided_at, out)


def _spent_on(
    setup: DecisionSetup, inputs: DecisionInputs, locked: LimitInputs, decision: Decision
) -> Mapping[str, Any]:
    """Spend what a decision shows from the pacing states of now, not from those that it read."""
    pacing_result = setup.pacer.evaluate(locked.paces, inputs.decided_at, arm=inputs.arm)
    for name in shown_actions(decision):
        pacing_result.spend(setup.compiled.index[name])
    return pacing_result.changed


def _write(connection: sa.Connection, rows: DecisionRows, changed: Mapping[str, Any]) -> None:
    _APPEND.run(connection, rows.decision)
    if rows.contacts:
        note_contacts(connection, rows.contacts)
        shown = [row["action_id"] for row in rows.contacts]
        queue_silences(connection, rows.decision["decision_id"], shown, rows.decision["decided_at"])
        keep_paces(connection, changed)


def append_many(
    connection: sa.Connection, rows: Sequence[DecisionRows], changed: Mapping[str, Any]
) -> None:
    """Append decisions of which nobody else has made one meanwhile, in their order.

    Parameters
    ----------
    changed
        The pacing states after all of them.
    """
    _APPEND.run_many(connection, [one.decision for one in rows])
    contacts = [contact for one in rows for contact in one.contacts]
    note_contacts(connection, contacts)
    for one in rows:
        shown = [contact["action_id"] for contact in one.contacts]
        queue_silences(connection, one.decision["decision_id"], shown, one.decision["decided_at"])
    keep_paces(connection, changed)


def decision_rows(complete: CompleteDecision) -> DecisionRows:
    """Make the rows of a decision."""
    setup, inputs, selected = complete.setup, complete.inputs, complete.selected
    decision, served = selected.decision, inputs.request.activate
    shown, now, first = shown_actions(decision), decision.decided_at, decision.actions[0]
    days = {name: setup.compiled.catalog.actions[name].attribution_days for name in shown}
    row = {
        "decision_id": decision.decision_id,
        "subject": complete.inputs.subject,
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
        # Compressed here, before the transaction that all others wait for.
        "record": packed_json(to_json(_record(complete, days))),
        "answer": packed_json(decision.as_json.encode()),
        "believed": pack_beliefs(complete),
        "slots_shown": len(shown) if served and len(shown) > 1 else None,
    }
    return DecisionRows(row, contact_rows(setup, row, shown, now) if served else [])


def _record(complete: CompleteDecision, days: Mapping[str, float]) -> dict[str, Any]:
    """The JSON beside the answer: what `select` and `score` need to make the decision again."""
    setup, inputs, limits = complete.setup, complete.inputs, complete.limits
    sent = inputs.request.model_dump(mode="json", exclude_defaults=True)
    sometimes = {
        "features_problem": inputs.features_problem,
        "left_at": inputs.left_at,
        "looks": inputs.looks,
        "stops": stops_to_json(inputs.stops),
        "shared": inputs.shared and setup.pacer.has_budgets,
        # The draw of decisions without a seed, of former versions, was seeded by their id.
        "seed": inputs.seed if inputs.seed != inputs.decision_id else "",
    }
    return {
        "request": without_other_keys(sent, inputs.subject),
        "consents": inputs.consents,
        "contacts": [(one.customer_id == inputs.customer_id, *one[1:]) for one in limits.contacts],
        **record_of_account(limits.account),
        "paces": limits.paces,
        "catalog": setup.compiled.catalog.fingerprint,
        "features_layout": setup.model_input.fingerprint,
        "attribution_days": days,
        "removed": complete.selected.rules,
        **{name: value for name, value in sometimes.items() if value},
        **({} if inputs.remaining_value is None else {"remaining_value": inputs.remaining_value}),
    }


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


def shown_actions(decision: Decision) -> list[str]:
    """List the actions that a decision puts before the customer."""
    return [one.action_id for one in decision.actions if one.action_id != NO_ACTION]


def _earlier(connection: sa.Connection, inputs: DecisionInputs) -> Decision | None:
    """Find the decision that was already made under the caller's id; an id that we drew is new."""
    if not inputs.request.decision_id:
        return None
    columns = tables.decisions.c
    read = (columns.subject, columns.channel, columns.served, columns.activation)
    query = sa.select(*read, columns.record, columns.answer)
    found = connection.execute(query.where(columns.decision_id == inputs.decision_id)).first()
    if found is None:
        return None
    # The row may still be stored under a customer of before a merge.
    owner = resolve_each(connection, [found.subject]).get(found.subject, found.subject)
    if (difference := _difference(found, owner, inputs)) is not None:
        raise DecisionConflict(
            f"decision_id {inputs.decision_id!r} was used {difference}.",
            expected="one id for one decision",
            remedy="Send a new decision_id, or none.",
        )
    return Decision.model_validate_json(found.answer)


def _difference(found: Any, owner: str, inputs: DecisionInputs) -> str | None:
    """Describe the difference between a logged decision and a request with its id; None: none.

    It shows nothing of the logged decision, which may be another customer's.
    """
    if owner != inputs.customer_id:
        return "for another customer"
    if found.answer is not None:
        kept = from_json(found.record)["request"]
    else:  # imported, or its record was removed by retention
        deferred = found.record is not None and (found.activation is not None or not found.served)
        kept = inputs.request.model_dump(mode="json")
        kept |= {"channel": found.channel, "activate": not deferred}
    field = differing_field(inputs.request, kept)
    if field is not None:
        return f"with another {truncated(field)}"
    return None if found.answer is not None else "for a decision whose answer is not kept"
