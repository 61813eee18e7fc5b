"""The results of the steps of a decision, each handed to the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from features.customers.account_contacts import AccountContacts
from features.customers.contacts import Contact
from features.ledger.writing.unwaiting import Version
from serving.catalog.decision_context import DecisionContext
from serving.contract.decisions import (
    Arm,
    DecideRequest,
    Decision,
    Explanation,
    Predictions,
)
from serving.decide.decision_setup import DecisionSetup
from serving.policies.budgets import PacingResult
from serving.policies.contact_policy import ContactPolicyResult
from serving.policies.eligibility import EligibilityResult
from serving.policies.stopped_actions import Stops
from training.arrays import Bools, Floats, Indices
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """The inputs of a decision that are read before the ledger is locked.

    Attributes
    ----------
    keys : tuple of str
        The keys of the request that say about whom it is, as they are spelled; empty when a
        logged decision is made again.
    seed : str
        The random number of the draw is its hash; see `serving.decide.inputs.draw_seed`.
    subject : str
        The key, or the node of a device, under which the decision is stored. A merge changes whose
        decision it is, never its subject.
    row : shape (n_features,)
        The features that the models read.
    consents : mapping
        By purpose, whether the customer consents on the channel of the request.
    versions : mapping
        By model, the version that serves, or None.
    degraded : sequence of str
        Sentences about what was missing, such as a model or the feature store.
    features_problem : str
        Why the feature store could not be read; empty if it could. A customer of whom the store
        holds nothing is no problem.
    version : Version or None
        The version of the ledger before anything was read; None if it is unknown.
    left_at : datetime or None
        When the customer left; None for one who has not left, or whose features are unknown.
    looks : sequence of float
        Of each rank that is asked for, the probability that a customer looks at it; empty: 1 each.
    arm : str
        The arm of the customer. It is read once, so a repeated decision has the arm of then.
    stops : mapping
        By action, the guardrail that has switched it off.
    shared : bool
        False for a decision of before the arm ``random`` had its own part of volumes and budgets.
    remaining_value : float or None
        What the customer would take along by leaving; None: the priority does not count it.
    """

    decision_id: str
    seed: str
    request: DecideRequest
    keys: tuple[str, ...]
    customer_id: str
    subject: str
    decided_at: datetime
    known: bool
    row: Floats
    consents: Mapping[str, bool]
    versions: Mapping[str, str | None]
    degraded: Sequence[str]
    features_problem: str = ""
    version: Version | None = None
    left_at: datetime | None = None
    looks: Sequence[float] = ()
    arm: Arm = "policy"
    stops: Stops = field(default_factory=dict)
    shared: bool = True
    remaining_value: float | None = None


class ActionPredictions(NamedTuple):
    """The predictions for each action, shape (n_actions,); ``nan`` where nothing was predicted.

    Attributes
    ----------
    accepted : Prediction
        The acceptance.
    effects : EffectPrediction or None
        What showing each adds; None: the objective is acceptance, or there is no effect model.
    asked : shape (n_actions,)
        Of a logged decision that is made by another catalogue: whether the models were asked, as
        the action was no candidate, or has another prior now. None: all are of one origin.
    assumed : shape (n_actions,), or None
        What was assumed that each adds, ``nan`` where that is to be computed again; None: all is.
    """

    accepted: Prediction
    effects: EffectPrediction | None = None
    asked: Bools | None = None
    assumed: Floats | None = None


class Reasoning(NamedTuple):
    """Feature contributions to the predictions; computed before the ledger is locked."""

    churn: Explanation | None
    intent: list[Explanation]
    acceptance: Mapping[str, Explanation]


@dataclass(frozen=True, slots=True)
class ScoredActions:
    """Scores of all actions of the catalogue, in its order, before the ledger is locked.

    Attributes
    ----------
    effects : EffectPrediction or None
        None: the objective is acceptance, or there is no effect model.
    assumed : shape (n_actions,)
        The part of the added values that the business assumes.
    added : shape (n_actions,), or None
        Added values, in the domain's currency; None: the objective is acceptance.
    weights, priority, priority_deviation : shape (n_actions,)
        Context weights; priorities and their standard deviations, in the domain's currency.
    reasons : Reasoning or None
        Only where the request asks for it, because it takes milliseconds.
    """

    predictions: Predictions
    decision_context: DecisionContext
    eligibility: EligibilityResult
    prediction: Prediction
    effects: EffectPrediction | None
    assumed: Floats
    added: Floats | None
    weights: Floats
    priority: Floats
    priority_deviation: Floats
    reasons: Reasoning | None


@dataclass(frozen=True, slots=True)
class LimitInputs:
    """The contacts and pacing states that limit a decision.

    They are read before the ledger is locked, and again in the transaction that appends the
    decision. The record keeps those by which the actions were selected.

    Attributes
    ----------
    contacts : sequence of Contact
        Of the customer, as far back as the contact policy looks; the oldest first.
    account : AccountContacts or None
        Where a rule is per account: the contacts of the customer's account.
    paces : mapping
        By name, the state of each paced volume and budget.
    """

    contacts: Sequence[Contact]
    paces: Mapping[str, Any]
    account: AccountContacts | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits within which slots are filled; each filled slot changes the first two.

    Attributes
    ----------
    adjusted : shape (n_actions + 1,)
        Priorities less shadow prices; the last one is `no_action`.
    """

    contact_policy: ContactPolicyResult
    pacing_result: PacingResult
    adjusted: Floats


class SlotDraw(NamedTuple):
    """The action that was drawn for a slot.

    Attributes
    ----------
    action : int
        Its position in the catalogue; the number of actions stands for `no_action`.
    probability : float
        The chance with which it was drawn.
    gap : float
        By how much its priority is below the best of the slot, in the domain's currency.
    best : float or None
        The priority of the best allowed action of the slot; None: none was allowed.
    """

    action: int
    probability: float
    gap: float
    best: float | None = None


@dataclass(frozen=True, slots=True)
class SelectedActions:
    """A decision, and the facts about its first slot that are logged with it.

    Attributes
    ----------
    rules : mapping
        By action, the first rule that removed it; without the actions that have no treatment for
        the channel.
    candidates : shape (n_candidates,)
        Positions of the actions that could be drawn for the first slot; `no_action` is the last.
    probabilities : shape (n_candidates,)
        The chance of each candidate.
    allowed : shape (n_allowed,)
        Positions of the actions that the first slot was allowed to show, also of those whose
        chance is 0; without `no_action`.
    chances : shape (n_actions + 1,)
        The chance of each action in the first slot; the last one is `no_action`.
    """

    decision: Decision
    rules: Mapping[str, str]
    candidates: Indices
    probabilities: Floats
    allowed: Indices
    chances: Floats
    pacing_result: PacingResult


@dataclass(frozen=True, slots=True)
class CompleteDecision:
    """The results of all steps of a decision: its row in the ledger is made of them."""

    setup: DecisionSetup
    inputs: DecisionInputs
    scored: ScoredActions
    limits: LimitInputs
    selected: SelectedActions
