"""Records outcomes of decisions: each once, also late, revised or retracted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.business.decided_actions import decided_actions
from features.customers.contact_outcomes import add_outcome_at
from features.errors import DecisionConflict, DecisionUnknown, InvalidRequest, quoted
from features.journeys.events import MAX_CLOCK_SKEW
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions
from features.ledger.ledger import Ledger
from features.outcomes.attribution import activated
from features.outcomes.recorded_outcomes import count_at_most, generated_ids, recorded_time
from serving.contract.events import OutcomeAnswer, OutcomeRequest

MOST_OUTCOMES = 1_000  # of one decision; a client that repeats itself would slow its decision
MOST_SHARED = 1_000  # outcomes with one shared_id; more, and it names no single thing
_COLUMNS = tables.outcomes.c
_COMPARED = ("action_id", "outcome", "value", "shared_id", "retracts", "revises")


async def record_outcome(
    request: OutcomeRequest, ledger: Ledger, catalog: Catalog, now: datetime
) -> OutcomeAnswer:
    """Write an outcome; it is on disk, and cool-downs see it, when this returns.

    Without ``outcome_id``, decision, action and outcome identify it: the same outcome again is a
    duplicate, also when it was retracted or revised meanwhile. A retry may leave ``occurred_at``
    out. A revision replaces an outcome of the same decision and action; fields that it leaves out
    keep their values. Retracting a revision does not restore the outcome that it replaced.

    Raises
    ------
    InvalidRequest
        If outcome, action or time do not fit the decision, or too many outcomes were told of it.
    DecisionUnknown
        If there is no such decision, or nothing to retract or to revise.
    DecisionConflict
        If the decision was not activated yet, ``outcome_id`` was used with another content, or
        the outcome to change was retracted or revised already.
    """
    if request.occurred_at and request.occurred_at > now + MAX_CLOCK_SKEW:
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
    return await ledger.write(lambda connection: write_outcome(connection, request, now))


def write_outcome(
    connection: sa.Connection, request: OutcomeRequest, now: datetime
) -> OutcomeAnswer:
    """Write an outcome whose name and time were checked; see `record_outcome`."""
    decision = _decision(connection, request)
    action_id = _action_of(connection, decision, request)
    changed = _changed(connection, request)
    if changed is not None:
        action_id = changed.action_id
    row = _row(request, action_id, changed, _time_of(decision, request, now), now)
    row["outcome_id"], earlier = _identified(connection, request, changed, row)
    if earlier is not None:
        _check_same(earlier, row, request)
    else:
        _check_holds(connection, request)
        _check_count(connection, request)
        _check_shared(connection, row["shared_id"])
        connection.execute(tables.outcomes.insert(), row)
        add_outcome_at(connection, row)
        mark_decisions(connection, [request.decision_id])
    status = "duplicate" if earlier is not None else "recorded"
    return OutcomeAnswer(outcome_id=row["outcome_id"], status=status)


def _row(
    request: OutcomeRequest, action_id: str, changed: Any, occurred_at: datetime, now: datetime
) -> dict[str, Any]:
    """Make the row of the outcomes table, without its id.

    Parameters
    ----------
    changed
        The outcome that is retracted or revised; None if the request changes none.
    occurred_at
        The time at which the outcome counts; a revision may keep that of ``changed``.
    """
    row = {
        "decision_id": request.decision_id,
        "action_id": action_id,
        "outcome": request.outcome,
        "value": request.value,
        "occurred_at": occurred_at,
        "received_at": now,
        "shared_id": request.shared_id,
        "retracts": request.retracts,
        "revises": request.revises,
        "learned": False,
    }
    if request.revises:
        kept = ("value", "occurred_at", "shared_id")
        row |= {name: getattr(changed, name) for name in kept if getattr(request, name) is None}
    return row


def _time_of(decision: Any, request: OutcomeRequest, now: datetime) -> datetime:
    shown_at: datetime = decision.activated_at
    if request.occurred_at is None:
        return max(now, shown_at)  # the clock of the worker that decided may be ahead
    at = recorded_time(request.occurred_at, shown_at)
    if at is None:
        raise InvalidRequest(
            f"occurred_at is {request.occurred_at.isoformat()}, "
            f"before the decision of {shown_at.isoformat()} was shown.",
            expected="a time after that, or up to 5 minutes before, by a slow clock",
            remedy="Send the time of the outcome, with its time zone.",
        )
    return at


def _action_of(connection: sa.Connection, decision: Any, request: OutcomeRequest) -> str:
    """Find the action of an outcome, and check it against the decision."""
    actions = decided_actions(decision)
    kept = activated(decision)
    if kept is not None:  # `no_action` is never withdrawn
        actions = [action_id for action_id in actions if action_id in (*kept, NO_ACTION)]
    if not actions or (request.action_id and request.action_id not in actions):
        raise InvalidRequest(
            f"action_id is {request.action_id!r}.",
            expected=f"one that decision {request.decision_id!r} has shown: "
            f"{', '.join(actions) or 'none, as all were withdrawn when it was activated'}",
            remedy="Send the action that the customer saw.",
        )
    if request.action_id is None and len(actions) > 1 and not (request.retracts or request.revises):
        earlier = _outcome(connection, request.outcome_id) if request.outcome_id else None
        if earlier is not None and earlier.decision_id == request.decision_id:
            told: str = earlier.action_id  # a retry of what an earlier release took for rank 1
            return told
        raise InvalidRequest(
            f"action_id is missing, and decision {request.decision_id!r} has shown "
            f"{len(actions)} actions.",
            expected=f"one of {', '.join(actions)}",
            remedy="Send the action that the outcome belongs to; of several that share one "
            "outcome, send each with the same shared_id.",
        )
    return request.action_id or actions[0]


def _decision(connection: sa.Connection, request: OutcomeRequest) -> Any:
    columns = tables.decisions.c
    names = ("answer", "record", "action_id", "activated_at", "activation")
    query = sa.select(*(columns[name] for name in names))
    found = connection.execute(query.where(columns.decision_id == request.decision_id)).first()
    if found is None:
        raise DecisionUnknown(
            f"decision_id {request.decision_id!r} is not in the ledger.",
            expected="the decision_id of an answer of /v1/decide",
            remedy="Send the id exactly as it was answered.",
        )
    if found.activated_at is None:
        raise DecisionConflict(
            f"decision_id {request.decision_id!r} was made with 'activate': false, "
            "and nobody has activated it.",
            expected="outcomes of what a customer was shown",
            remedy="Send it to /v1/activate when it is shown, then its outcomes.",
        )
    return found


def _changed(connection: sa.Connection, request: OutcomeRequest) -> Any:
    """Find the outcome that is retracted or revised; None if the request changes none."""
    field = "retracts" if request.retracts else "revises"
    name = request.retracts or request.revises
    if name is None:
        return None
    found = _outcome(connection, name)
    # An imported outcome need not name the action.
    wrong_action = found and found.action_id and request.action_id not in (None, found.action_id)
    if found is None or found.decision_id != request.decision_id or found.retracts or wrong_action:
        raise DecisionUnknown(
            f"{field} is {name!r}.",
            expected="the outcome_id of an outcome of the same decision and action, "
            "itself no retraction",
            remedy="Send the id exactly as it was answered; for an outcome that holds again, "
            "send it anew with an outcome_id of its own.",
        )
    return found


def _outcome(connection: sa.Connection, outcome_id: str) -> Any:
    query = sa.select(tables.outcomes).where(_COLUMNS.outcome_id == outcome_id)
    return connection.execute(query).first()


def _identified(
    connection: sa.Connection, request: OutcomeRequest, changed: Any, row: Mapping[str, object]
) -> tuple[str, Any]:
    """Find the id of an outcome, and the row that is stored under it; None if there is none.

    An id that was not sent is made of the parts that identify the outcome. If the short one is
    that of another outcome, the long one is taken.
    """
    if request.outcome_id:
        return request.outcome_id, _outcome(connection, request.outcome_id)
    if changed is None:
        identify = ["decision_id", "action_id", "outcome", "retracts", "revises"]
        ids = generated_ids(*(str(row[name]) for name in identify[:3]))
    else:
        identify = ["retracts", "revises"]
        ids = generated_ids(changed.outcome_id, "retracted" if request.retracts else "revised")
    for outcome_id in ids:
        earlier = _outcome(connection, outcome_id)
        if earlier is None or all(getattr(earlier, name) == row[name] for name in identify):
            break
    return outcome_id, earlier


def _check_same(stored: Any, row: Mapping[str, Any], request: OutcomeRequest) -> None:
    """Refuse another content under the id of a stored outcome.

    What was told of another decision is not shown, as it may be another customer's. A time that
    was not sent agrees with any, but for a revision, which then keeps the time of what it revises.
    """
    remedy = "Send a new outcome_id"
    if stored.decision_id != row["decision_id"]:
        raise DecisionConflict(
            f"outcome_id {row['outcome_id']!r} is there with another decision_id.",
            expected="one id for one outcome",
            remedy=f"{remedy}.",
        )
    timed = request.occurred_at is not None or request.revises is not None
    for field in (*_COMPARED, "occurred_at") if timed else _COMPARED:
        kept = getattr(stored, field)
        if kept != row[field]:
            shown = kept.isoformat() if isinstance(kept, datetime) else quoted(kept)
            raise DecisionConflict(
                f"outcome_id {row['outcome_id']!r} is there with {field} {shown}.",
                expected="one id for one outcome",
                remedy=f"{remedy}; correct the old one with 'revises', or take it back with "
                "'retracts'.",
            )


def _check_holds(connection: sa.Connection, request: OutcomeRequest) -> None:
    """Refuse to change an outcome that was changed already; retracting twice does no harm."""
    name = request.retracts or request.revises
    if name is None:
        return
    by = _COLUMNS.revises == name
    if request.revises:
        by |= _COLUMNS.retracts == name
    mine = sa.select(tables.outcomes).where(_COLUMNS.decision_id == request.decision_id, by)
    change = connection.execute(mine.order_by(_COLUMNS.outcome_id)).first()
    if change is None:
        return
    if change.revises:
        happened = f"revised by {change.outcome_id!r}"
        remedy = f"Name {change.outcome_id!r}, which took its place."
    else:
        happened = "taken back"
        remedy = "Send the outcome anew, with an outcome_id of its own."
    raise DecisionConflict(
        f"Outcome {name!r} was {happened}.", expected="an outcome that holds", remedy=remedy
    )


def _check_count(connection: sa.Connection, request: OutcomeRequest) -> None:
    # Each of that many outcomes can still be retracted.
    most = MOST_OUTCOMES * 2 if request.retracts else MOST_OUTCOMES
    if count_at_most(connection, _COLUMNS.decision_id == request.decision_id, most) >= most:
        raise InvalidRequest(
            f"decision_id is {request.decision_id!r}, of which {most:,} outcomes were told "
            "already.",
            expected="the few things that a customer did after one decision",
            remedy="Send each outcome once, with the decision_id of the decision it followed.",
        )


def _check_shared(connection: sa.Connection, shared_id: str | None) -> None:
    if shared_id is None:
        return
    if count_at_most(connection, _COLUMNS.shared_id == shared_id, MOST_SHARED) >= MOST_SHARED:
        raise InvalidRequest(
            f"shared_id is {shared_id!r}, of which {MOST_SHARED:,} outcomes were told already.",
            expected="the name of one thing that happened, such as an order number",
            remedy="Send an id of its own for each, or leave it out.",
        )
