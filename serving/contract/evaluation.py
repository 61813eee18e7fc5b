"""Answer types of `nba evaluate`: off-policy estimates for another policy or catalogue."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class EstimateView(BaseModel):
    """One estimator's reward per decision, in the domain's currency, with its 95 % interval.

    The figures are null if the log does not support an estimate; ``note`` says why.
    """

    method: str
    value: float | None
    low: float | None
    high: float | None
    effective_decisions: float
    note: str


class ShareView(BaseModel):
    """The share of decisions in which an action fills the first slot.

    ``decided`` is the share in the log, ``wanted`` the share under the evaluated policy.
    """

    action_id: str
    decided: float
    wanted: float


class PolicyView(BaseModel):
    """The bandit that was judged: a version, and what was told to the service before a time.

    ``told_before`` is the time of the first decision judged, and ``outcomes`` the number of
    outcomes that were received before it.
    """

    version: str
    told_before: datetime
    outcomes: int


class EvaluationView(BaseModel):
    """The off-policy evaluation of a policy or catalogue on decisions that were made without it.

    ``decided`` is the mean reward of the logged decisions, those of the arm ``random`` among them.
    ``gain`` is the doubly robust estimate of the difference between the evaluated policy and the
    one that decided, in whatever arm, on the same decisions; null without support.
    ``several_slots`` is the number of decisions with more than one slot, of which only the first
    slot is judged. ``imported`` is the number of decisions that another system made.

    ``policy`` is null if each decision was repeated with the bandit that had made it.
    """

    currency: str
    policy: PolicyView | None = None
    decisions: int
    imported: int = 0
    customers: int
    several_slots: int
    decided: float | None
    estimates: list[EstimateView]
    gain: EstimateView | None
    shares: list[ShareView]
    verdict: str
    remarks: list[str]
