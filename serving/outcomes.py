"""Takes in what followed a decision: once each, late or not, and taken back if need be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic_core import from_json

from features import tables
from features.catalog import Catalog
from features.errors import DecisionConflict, DecisionUnknown, InvalidRequest
from features.ledger import Ledger
from features.tables import insert_new
from serving.contract import OutcomeAnswer, OutcomeRequest

CLOCKS = timedelta(minutes=5)  # by how much a caller's clock may be ahead of ours


async def record_outcome(
    request: OutcomeRequest, ledger: Ledger, catalog: Catalog, now: datetime
) -> OutcomeAnswer:
    """Write an outcome; it is on disk when this returns.

    Without ``outcome_id``, decision, action and outcome name it: the same again is a duplicate,
    also when it was taken back meanwhile.

    Raises
    ------
    InvalidRequest
        If outcome, action or time make no sense for the decision.
    DecisionUnknown
        If there is no such decision, or nothing to retract.
    DecisionConflict
        If ``outcome_id`` comes back with another content.
    """
    if request.occurred_at and request.occurred_at > now + CLOCKS:
        raise InvalidRequest(
            f"occurred_at is {request.occurred_at.isoformat()}, in the future.",
            expected="a time that has passed",
            remedy="Send the time of the outcome in UTC, or leave it out for now.",
        )
    if request.outcome not in catalog.outcomes:
        raise InvalidRequest(
            f"outcome is {request.outcome!r}.",
            expected=f"one of {', '.join(catalog.outcomes)}",
            remedy="Correct it, or add the outcome to the action catalogue.",
        )

    def write(connection: sa.Connection) -> OutcomeAnswer:
        action_id = _action_of(connection, request)
        name = f"{request.decision_id}:{action_id}:{request.outcome}"
        if request.retracts:
            action_id = _retracted_action(connection, request)
            name = f"{request.retracts}:retracted"
        row = {
            "outcome_id": request.outcome_id or name,
            "decision_id": request.decision_id,
            "action_id": action_id,
            "outcome": request.outcome,
            "value": request.value,
            "occurred_at": request.occurred_at or now,
            "received_at": now,
            "retracts": request.retracts,
            "learned": False,
        }
        new = insert_new(connection, tables.outcomes, [row])
        if not new:
            _check_same(connection, row)
        status = "recorded" if new else "duplicate"
        return OutcomeAnswer(outcome_id=str(row["outcome_id"]), status=status)

    return await ledger.write(write)


def _action_of(connection: sa.Connection, request: OutcomeRequest) -> str:
    """The action that the outcome speaks of; checks it against the decision."""
    columns = tables.decisions.c
    query = sa.select(columns.answer, columns.action_id, columns.decided_at)
    found = connection.execute(query.where(columns.decision_id == request.decision_id)).first()
    if found is None:
        raise DecisionUnknown(
            f"decision_id {request.decision_id!r} is not in the ledger.",
            expected="the decision_id of an answer of /v1/decide",
            remedy="Send the id exactly as it was answered.",
        )
    if request.occurred_at and not found.decided_at <= request.occurred_at:
        raise InvalidRequest(
            f"occurred_at is {request.occurred_at.isoformat()}, "
            f"before the decision of {found.decided_at.isoformat()}.",
            expected="a time after the decision",
            remedy="Send the time of the outcome, with its time zone.",
        )
    answered = from_json(found.answer)["actions"] if found.answer else []
    actions = [action["action_id"] for action in answered] or [found.action_id]
    if request.action_id and request.action_id not in actions:
        raise InvalidRequest(
            f"action_id is {request.action_id!r}.",
            expected=f"one of this decision's: {', '.join(actions)}",
            remedy="Send the action that the customer saw, or leave it out for the first.",
        )
    return request.action_id or str(actions[0])


def _retracted_action(connection: sa.Connection, request: OutcomeRequest) -> str:
    """The action of the outcome that is taken back."""
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id, columns.action_id, columns.retracts)
    found = connection.execute(query.where(columns.outcome_id == request.retracts)).first()
    wrong_action = found and request.action_id not in (None, found.action_id)
    if found is None or found.decision_id != request.decision_id or found.retracts or wrong_action:
        raise DecisionUnknown(
            f"retracts is {request.retracts!r}.",
            expected="the outcome_id of an outcome of the same decision and action, "
            "itself no retraction",
            remedy="Send the id exactly as it was answered; for an outcome that holds again, "
            "send it anew with an outcome_id of its own.",
        )
    return str(found.action_id)


def _check_same(connection: sa.Connection, row: Mapping[str, object]) -> None:
    columns = tables.outcomes.c
    query = sa.select(tables.outcomes).where(columns.outcome_id == row["outcome_id"])
    stored = connection.execute(query).one()._mapping
    for field in ("decision_id", "action_id", "outcome", "value", "retracts"):
        if stored[field] != row[field]:
            raise DecisionConflict(
                f"outcome_id {row['outcome_id']!r} is there with {field} {stored[field]!r}.",
                expected="one id for one outcome",
                remedy="Send a new outcome_id; take the old one back with 'retracts'.",
            )
