"""The results of the steps of a decision, each handed to the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from serving.catalog.decision_context import DecisionContext
from serving.contract.decisions import (
    DecideRequest,
    Decision,
    Explanation,
    Predictions,
)
from serving.policies.budgets import PacingResult
from serving.policies.eligibility import EligibilityResult
from training.arrays import Floats, Indices
from training.bandit.reward_model import Prediction


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What a decision rests on before the ledger is locked.

    Attributes
    ----------
    row : shape (n_features,)
        What the models read of the customer.
    consents : whether consent is given on this channel, by purpose
    versions, degraded
        Of the models, and what was missing.
    """

    decision_id: str
    request: DecideRequest
    customer_id: str
    decided_at: datetime
    known: bool
    row: Floats
    consents: Mapping[str, bool]
    versions: Mapping[str, str | None]
    degraded: Sequence[str]


class Reasoning(NamedTuple):
    """Why the models say what they say of this customer; made before the ledger is locked."""

    churn: Explanation | None
    intent: list[Explanation]
    acceptance: Mapping[str, Explanation]


@dataclass(frozen=True, slots=True)
class ScoredActions:
    """What models, engagement policy and arbitration made of it; columns are the playbook's."""

    predictions: Predictions
    decision_context: DecisionContext
    eligibility: EligibilityResult
    prediction: Prediction
    weights: Floats
    priority: Floats
    priority_deviation: Floats  # of the priority, its standard deviation
    reasons: Reasoning | None  # only where somebody asks for it: it takes milliseconds


class SlotDraw(NamedTuple):
    """What one slot was filled with, and by how much it trails the best that was left for it."""

    action: int
    chance: float
    gap: float


@dataclass(frozen=True, slots=True)
class SelectedActions:
    """A decision, and what is kept of how it came about.

    Attributes
    ----------
    candidates : positions of the actions that could be drawn first; `no_action` is the last one
    probabilities : shape (n_candidates,)
        Of the first slot.
    rules : by action, the first rule that removed it
        Without those that have no treatment for the channel.
    """

    decision: Decision
    rules: Mapping[str, str]
    candidates: Indices
    probabilities: Floats
    pacing_result: PacingResult
