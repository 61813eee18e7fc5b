"""Request and answer types of the API; DESIGN of each field is in the README's API section.

Bounds stand here so that bad input is refused with the field's name before anything happens.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
)
from pydantic_core import to_json

from features.journeys.events import (
    Id,
    UtcTime,
    is_finite_number,
)
from serving.contract.requests import About, Chance, Request

MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH = 16_384, 20
MAX_SLOTS = 10


class DecideRequest(About):
    """Who is in front of us, and where."""

    channel: Annotated[str, Field(min_length=1, max_length=60)] = Field(examples=["app"])
    placement: Annotated[str, Field(max_length=200)] | None = None
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)] = 1
    context: dict[str, Any] = {}
    actions: Annotated[tuple[Id, ...], Field(max_length=1000)] | None = None
    exclude: Annotated[tuple[Id, ...], Field(max_length=1000)] = ()
    explain: bool = False
    activate: bool = True
    decision_id: Id | None = None

    @field_validator("context")
    @classmethod
    def _small(cls, context: dict[str, Any]) -> dict[str, Any]:
        size = len(to_json(context))
        if size > MAX_CONTEXT_BYTES:
            raise ValueError(f"is {size:,} bytes long; send at most {MAX_CONTEXT_BYTES:,}")
        _check_plain(context, 1)
        return context


def _check_plain(value: Any, depth: int) -> None:
    """Refuse what the log of decisions could not give back as it was."""
    if isinstance(value, dict | list):
        if depth > MAX_CONTEXT_DEPTH:
            raise ValueError(f"is nested more than {MAX_CONTEXT_DEPTH} deep; send it flatter")
        for one in value.values() if isinstance(value, dict) else value:
            _check_plain(one, depth + 1)
    elif not isinstance(value, str | bool | None) and not is_finite_number(value):
        raise ValueError("has a number that is not finite; send another, or a text")


class ChosenAction(BaseModel):
    """One action of the answer, best rank first."""

    action_id: str
    rank: int
    treatment: dict[str, Any]
    probability: Chance
    acceptance: Chance
    priority: float
    reasons: list[str]


class Predictions(BaseModel):
    """What the models foresee; null where there is no model."""

    churn: Chance | None
    intent: dict[str, float] | None
    stage: str | None = None  # of the open journey that moved last


class Removed(BaseModel):
    """An action that was taken out, the rule that did it, and the value it found."""

    action_id: str
    rule: str
    reason: str
    value: Any = None


class Candidate(BaseModel):
    """An action that could have been drawn first, and what spoke for it."""

    action_id: str
    probability: Chance
    acceptance: Chance = 0.0
    context_weight: float = 1.0
    priority: float = 0.0
    shadow_price: float = 0.0  # of its volume and budget of the day
    contributions: Explanation | None = None  # to the acceptance


class DecisionExplanation(BaseModel):
    """What led to a decision; ``exploration`` is the chance that another than the best is taken."""

    exploration: Chance
    in_words: str
    churn: Explanation | None
    intent: list[Explanation]
    candidates: list[Candidate]


class Decision(BaseModel):
    """The answer to `/v1/decide`."""

    decision_id: str
    customer_id: str
    known: bool
    decided_at: UtcTime
    arm: Literal["policy", "control"]
    actions: list[ChosenAction]
    predictions: Predictions
    models: dict[str, str | None]
    removed: list[Removed] | None
    explanation: DecisionExplanation | None = None
    degraded: list[str]
    activated: bool = True  # false: nothing counts as shown before /v1/activate

    @cached_property
    def as_json(self) -> str:
        """The text that is logged and sent; made once, so nothing may be changed afterwards."""
        return self.model_dump_json()


class ActivateRequest(Request):
    """Which decision, made with `"activate": false`, is about to be shown."""

    decision_id: Id = Field(examples=["visit-8812"])


class ActivateAnswer(BaseModel):
    """What may be shown, and what may not any more."""

    decision_id: str
    activated_at: UtcTime
    activated: list[str]
    removed: list[Removed]


class ReplayRequest(Request):
    """Which decision to repeat: with the catalogue of now, or with that of then."""

    decision_id: Id = Field(examples=["visit-8812"])
    catalog: Literal["now", "then"] = "now"


class Difference(BaseModel):
    """A field that is not what it was."""

    field: str
    then: Any
    now: Any


class ReplayAnswer(BaseModel):
    """Whether a decision comes out the same, to the byte; if not, why and where."""

    decision_id: str
    identical: bool
    causes: list[str] = []
    differences: list[Difference] = []


class ExplainRequest(Request):
    """Which past decision to explain."""

    decision_id: Id = Field(examples=["visit-8812"])


class ExplainAnswer(BaseModel):
    """A decision with all that led to it; ``as_logged`` says whether repeating it gave what was
    answered then."""

    decision: Decision
    as_logged: bool


Scale = Literal[
    "log odds before calibration",
    "log odds against the average intent, before calibration",
    "acceptance before it is kept between 0 and 1",
]


class Contribution(BaseModel):
    """What one feature adds to a prediction; ``text`` says it for people.

    ``value`` is null if nothing is known; ``effect`` is on the scale of its `Explanation`.
    """

    model_config = ConfigDict(frozen=True)

    feature: str
    value: float | str | None
    unit: str
    effect: float
    text: str


class Explanation(BaseModel):
    """One score as a sum: baseline + effects of the strongest + ``others``."""

    model_config = ConfigDict(frozen=True)

    of: str
    scale: Scale
    baseline: float
    strongest: tuple[Contribution, ...]
    others: float
