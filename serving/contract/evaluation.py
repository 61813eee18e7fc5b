"""What `nba evaluate` answers: what another policy or catalogue would have earned, and how sure."""

from __future__ import annotations

from pydantic import BaseModel


class EstimateView(BaseModel):
    """One estimator's reward a decision, in the domain's currency, with its 95 % interval.

    Null figures: the log cannot tell; ``note`` says why.
    """

    method: str
    value: float | None
    low: float | None
    high: float | None
    effective_decisions: float
    note: str


class ShareView(BaseModel):
    """How often an action comes first: as it was decided, and as it would be."""

    action_id: str
    decided: float
    wanted: float


class EvaluationView(BaseModel):
    """A policy or catalogue, judged on decisions that were made without it.

    ``decided`` is what those really earned. ``gain`` is the doubly robust estimate of what the
    wanted one earns more, of the same decisions; null if the log cannot tell.
    """

    currency: str
    decisions: int
    customers: int
    decided: float | None
    estimates: list[EstimateView]
    gain: EstimateView | None
    shares: list[ShareView]
    verdict: str
    remarks: list[str]
