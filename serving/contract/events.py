"""Request and answer types of `/v1/events` and `/v1/outcomes`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    model_validator,
)

from features.journeys.events import (
    MAX_NUMBER,
    Id,
    SentEvent,
    UtcTime,
)
from serving.contract.requests import MAX_EVENTS, OutcomeId, Request


class EventsRequest(Request):
    """Events in any order. Each event is accepted or rejected by itself."""

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
    """An event that was not accepted: its index in the request, the field, and the remedy."""

    index: int
    field: str
    error: str


class EventsAnswer(BaseModel):
    """Numbers of accepted and duplicate events, and the rejected ones.

    An accepted event is on disk, and the next decision sees it.
    """

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    error: str | None = None  # the first reason, if no event was accepted


class OutcomeRequest(Request):
    """An outcome of a decision.

    ``retracts`` takes an earlier outcome back, ``revises`` replaces one. Fields that a revision
    leaves out (``value``, ``occurred_at``, ``shared_id``) keep their value. ``shared_id`` names
    what happened, such as an order number: reported for several decisions, it is credited once.
    ``action_id`` may be left out if the decision showed one action, or to retract or revise.
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
    """The id under which an outcome was recorded, or had been recorded before."""

    outcome_id: str
    status: Literal["recorded", "duplicate"]
