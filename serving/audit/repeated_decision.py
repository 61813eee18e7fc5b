"""Makes a logged decision again: from its record, and by what was believed when it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from features.business.catalog import Catalog
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.beliefs import mixed_beliefs, read_beliefs, told_contributions
from serving.decide.choice import score, select
from serving.decide.decision_setup import DecisionSetup
from serving.decide.limit_inputs import limit_inputs_of
from serving.decide.step_results import DecisionInputs
from serving.policies.stopped_actions import stops_from_json


class RepeatedDecision(NamedTuple):
    """A decision that was made again.

    Attributes
    ----------
    asked
        The candidates whose acceptance is not what was believed when it was made first.
    """

    decision: Decision
    asked: Sequence[str] = ()


def repeat_decision(
    setup: DecisionSetup,
    row: Any,
    record: Mapping[str, Any],
    answer: Mapping[str, Any],
    explain: bool,
    then: Catalog | None = None,
) -> RepeatedDecision:
    """Repeat a decision from its record.

    Parameters
    ----------
    then
        The catalogue of the decision, if ``setup`` has another one.
    """
    inputs = inputs_from_record(setup, row, record, answer, explain)
    locked = limit_inputs_of(record, inputs.customer_id)
    if record["catalog"] == setup.compiled.catalog.fingerprint:
        believed = read_beliefs(row.believed, record, setup.compiled)
        told = None if believed is None else told_contributions(answer)
        scored = score(setup, inputs, believed, told)
        return RepeatedDecision(select(setup, inputs, scored, locked).decision)
    now, mixed = setup.compiled.catalog, None
    if then is not None:
        mixed = mixed_beliefs(row, then, now, setup.models)
    scored = score(setup, inputs, mixed)
    selected = select(setup, inputs, scored, locked)
    if mixed is None or mixed.asked is None:
        return RepeatedDecision(selected.decision)
    asked = selected.allowed[mixed.asked[selected.allowed]].tolist()
    return RepeatedDecision(selected.decision, [setup.compiled.actions[one] for one in asked])


def inputs_from_record(
    setup: DecisionSetup,
    row: Any,
    record: Mapping[str, Any],
    answer: Mapping[str, Any],
    explain: bool,
) -> DecisionInputs:
    """The inputs that a logged decision had before its ledger transaction.

    Parameters
    ----------
    setup
        The one that shall decide; its objective says whether the remaining value counts.
    """
    features = np.frombuffer(row.features)
    left = datetime.fromisoformat(at) if (at := record.get("left_at")) else None
    remaining = setup.remaining_value(features, left_at=left)
    sent = record["request"] | ({"explain": True} if explain else {})
    return DecisionInputs(
        decision_id=row.decision_id,
        seed=record.get("seed", row.decision_id),
        request=DecideRequest.model_validate(sent),
        keys=(),
        customer_id=answer["customer_id"],
        subject=row.subject,
        decided_at=row.decided_at,
        known=answer["known"],
        row=features,
        consents=record["consents"],
        versions=answer["models"],
        degraded=answer["degraded"],
        features_problem=record.get("features_problem", ""),
        left_at=left,
        looks=tuple(record.get("looks", ())),
        arm=answer["arm"],
        stops=stops_from_json(record.get("stops", {})),
        shared=record.get("shared", False),
        remaining_value=None if remaining is None else record.get("remaining_value", remaining),
    )
