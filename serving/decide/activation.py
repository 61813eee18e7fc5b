"""Activates decisions that were made with `activate: false`.

The contact policy is applied again, in the transaction that counts the contacts, so that no cap is
exceeded however many decisions wait.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json

from features.business.decided_actions import is_removed
from features.business.domain import Domain
from features.customers.contacts import note_contacts
from features.errors import DecisionConflict, DecisionUnknown
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions, mark_journeys
from features.outcomes.silence import queue_silences
from serving.contract.decisions import ActivateAnswer, Decision, Removed
from serving.decide.customer_inputs import consents_on, feature_row, left_at, read_features
from serving.decide.decision_record import contact_rows, shown_actions
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.limit_inputs import keep_paces, read_limit_inputs
from training.arrays import Floats


async def activate(engine: Engine, decision_id: str, now: datetime) -> ActivateAnswer:
    """Activate the actions of a decision that are still allowed; a second call changes nothing.

    Raises
    ------
    DecisionUnknown
        If there is no such decision of ours.
    DecisionConflict
        If it was shown when it was made, or waited too long.
    """
    setup = engine.setup
    while True:
        row = await engine.ledger.read_async(partial(_row, decision_id=decision_id))
        if row.activation is not None:
            return ActivateAnswer.model_validate_json(row.activation)
        _refuse(row, setup, now)
        # The features of now, because a complaint since the decision counts.
        known, problem = read_features(engine.features, row.customer_id)
        features = feature_row(engine.model_input, known, now)
        left = left_at(engine.model_input, known)
        asked = _Activation(engine.domain, setup, row, features, now, problem, left)
        answer = await engine.ledger.write(partial(_activate, asked=asked))
        if answer is not None:
            return answer


class _Activation(NamedTuple):
    """One attempt to activate a decision: its row in the ledger, and the features of now."""

    domain: Domain
    setup: DecisionSetup
    row: Any
    features: Floats
    now: datetime
    features_problem: str
    left_at: datetime | None


def _row(connection: sa.Connection, decision_id: str) -> Any:
    query = sa.select(tables.decisions).where(tables.decisions.c.decision_id == decision_id)
    row = connection.execute(query).first()
    if row is None or row.record is None:
        raise DecisionUnknown(
            f"decision_id {decision_id!r} is not of a decision that we have made.",
            expected="the decision_id of an answer of /v1/decide",
            remedy="Send the id exactly as it was answered.",
        )
    return row


def _refuse(row: Any, setup: DecisionSetup, now: datetime) -> None:
    if row.served:
        raise DecisionConflict(
            f"decision_id {row.decision_id!r} counted as shown when it was made.",
            expected='a decision that was asked for with "activate": false',
            remedy="Nothing is left to do.",
        )
    hours = setup.compiled.catalog.contact_policy.activate_within_hours
    if now > row.decided_at + timedelta(hours=hours) or is_removed(row):
        raise DecisionConflict(
            f"decision_id {row.decision_id!r} was made at {row.decided_at.isoformat()}.",
            expected=f"a decision of the last {hours:g} hours",
            remedy="Ask /v1/decide again.",
        )


def _activate(connection: sa.Connection, asked: _Activation) -> ActivateAnswer | None:
    """Activate inside the transaction; None if the decision belongs to another customer by now."""
    domain, setup, row, features, now, problem, left = asked
    latest = _row(connection, row.decision_id)
    if latest.customer_id != row.customer_id:
        return None
    if latest.activation is not None:  # another call was quicker
        return ActivateAnswer.model_validate_json(latest.activation)
    customer_id, channel = row.customer_id, row.channel
    nothing_out = np.zeros(len(setup.compiled.actions), dtype=bool)
    locked = read_limit_inputs(connection, setup, customer_id, channel, now, nothing_out)
    consents = consents_on(connection, domain, setup, customer_id, channel)
    limits = locked.contacts, locked.account
    facts = setup.facts(customer_id, channel, now, features, consents, *limits, problem, left)
    contact_policy_result = setup.contact_policy.evaluate(facts)
    pacing_result = setup.pacer.evaluate(locked.paces, now, arm=row.arm)
    shown, removed = list[str](), list[Removed]()
    decision = Decision.model_validate_json(row.answer)
    for name in shown_actions(decision):
        index = setup.compiled.index.get(name)
        if index is None:
            reason = "it is no longer in the catalogue"
            removed.append(Removed(action_id=name, rule="catalog", reason=reason))
        elif name in setup.stops:
            removed.append(setup.stops[name].removal(name))
        elif contact_policy_result.out[index]:
            removed.append(contact_policy_result.why(index))
        elif pacing_result.out[index]:
            removed.append(pacing_result.why(index))
        else:
            shown.append(name)
            contact_policy_result.count(index)
            pacing_result.spend(index)
    answer = ActivateAnswer(
        decision_id=row.decision_id, activated_at=now, activated=shown, removed=removed
    )
    _write(connection, setup, latest, answer)
    keep_paces(connection, pacing_result.changed)
    return answer


def _write(
    connection: sa.Connection, setup: DecisionSetup, row: Any, answer: ActivateAnswer
) -> None:
    now, shown = answer.activated_at, answer.activated
    windows = from_json(row.record)["attribution_days"]
    longest = max((windows[name] for name in shown), default=0.0)
    columns = tables.decisions.c
    update = sa.update(tables.decisions).where(columns.decision_id == row.decision_id)
    connection.execute(
        update.values(
            served=True,
            activated_at=now,
            activation=answer.model_dump_json(),
            window_ends_at=now + timedelta(days=longest),
            slots_shown=len(shown) if len(shown) > 1 else None,
        )
    )
    mark_decisions(connection, [row.decision_id])
    if shown:
        note_contacts(connection, contact_rows(setup, row._mapping, shown, now))
        mark_journeys(connection, [row.customer_id])
        queue_silences(connection, row.decision_id, shown, now)
