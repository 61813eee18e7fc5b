"""Request and answer types of the API; DESIGN of each field is in the README's API section.

Bounds stand here so that bad input is refused with the field's name before anything happens.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import to_json

from features.events import MAX_KEYS, MAX_NUMBER, SOMEBODY, Id, SentEvent, UtcTime, is_finite_number
from features.identity import ID_LENGTH, ID_PATTERN
from serving.explanation import Explanation

MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH = 16_384, 20
MAX_SLOTS = 10
MAX_EVENTS = 500

Chance = Annotated[float, Field(ge=0, le=1)]
# As people write them; the domain file says how their spellings are made one.
Identifier = Annotated[str, Field(min_length=1, max_length=ID_LENGTH)]
# Of all characters PostgreSQL keeps no NUL.
Cause = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Identifiers = Annotated[tuple[Identifier, ...], Field(max_length=MAX_KEYS)]
# Ours are put together from a decision, an action and an outcome.
OutcomeId = Annotated[str, Field(min_length=1, max_length=3 * ID_LENGTH, pattern=ID_PATTERN)]


class Request(BaseModel):
    """What a caller may send."""

    # An unknown field is a typing mistake; taking it in silence would hide it.
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(Request):
    """Somebody, by customer id or by identifiers."""

    model_config = ConfigDict(json_schema_extra=SOMEBODY)

    customer_id: Id | None = Field(None, examples=["h1"])
    identifiers: Identifiers = ()

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.customer_id is None and not self.identifiers:
            raise ValueError("customer_id and identifiers are both missing; send one of them")
        return self


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


class EventsRequest(Request):
    """What happened, in any order; each event is taken or rejected by itself."""

    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)] = Field(
        json_schema_extra={"items": SentEvent.model_json_schema()},
        examples=[
            [
                {
                    "event_id": "web-7781",
                    "type": "complaint_opened",
                    "occurred_at": "2026-11-22T10:00:00Z",
                    "channel": "web",
                    "customer_id": "h1",
                }
            ]
        ],
    )


class RejectedEvent(BaseModel):
    """An event that was not taken: its place in the call, the field, and what to do."""

    index: int
    field: str
    error: str


class EventsAnswer(BaseModel):
    """What became of the events. Accepted means: on disk, and seen by the very next decision."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    error: str | None = None  # the first reason, where no event was taken


class OutcomeRequest(Request):
    """What followed a decision; with ``retracts`` or ``revises``, what did not, or otherwise.

    ``shared_id`` names what happened, such as an order number: told of several decisions, it is
    credited once. What a revision leaves out (``value``, ``occurred_at``, ``shared_id``) stays.
    """

    decision_id: Id = Field(examples=["visit-8812"])
    action_id: Id | None = None
    outcome: Annotated[str, Field(min_length=1, max_length=60)] = Field(examples=["accepted"])
    value: Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER, allow_inf_nan=False)] | None = None
    occurred_at: UtcTime | None = None
    outcome_id: Id | None = None
    shared_id: Id | None = None
    retracts: OutcomeId | None = None
    revises: OutcomeId | None = None

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if self.retracts and self.revises:
            raise ValueError("retracts and revises are both there; send one of them")
        return self


class OutcomeAnswer(BaseModel):
    """How the outcome was taken."""

    outcome_id: str
    status: Literal["recorded", "duplicate"]


class Error(BaseModel):
    """Why a request was refused: what happened, what was expected, what to do."""

    error: str = Field(examples=["channel is missing. Send it."])


class Readiness(BaseModel):
    """Whether to send requests here, what is missing, and which models serve."""

    status: Literal["starting", "not ready", "degraded", "ready"]
    degraded: list[str]
    models: dict[str, str | None]
