"""Request and answer types about a customer: who they are, their whole story, forgetting them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from features.journeys.events import UtcTime
from serving.contract.decisions import Predictions
from serving.contract.requests import About, Cause, Identifier, Request


class LinkRequest(Request):
    """Two keys (customer ids or identifiers) that are one person, or are not."""

    keys: tuple[Identifier, Identifier] = Field(examples=[["h1", "email:a@b.it"]])
    cause: Cause = Field(examples=["told an agent"])


class LinkAnswer(BaseModel):
    """The customers behind the two keys now: one if they were merged, two if they were parted."""

    changed: bool
    customers: list[str]


class CustomerRequest(About):
    """Whom to show, and which page of the timeline: newest first."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Annotated[str, Field(max_length=300)] | None = None  # `next` of the page before


class LinkView(BaseModel):
    """Why two keys are, or were, one person."""

    left: str
    right: str
    cause: str
    linked_at: UtcTime
    undone_at: UtcTime | None
    undone_cause: str | None


class JourneyView(BaseModel):
    """A journey that is under way; ``open`` says how many of its kind."""

    journey: str
    stage: str
    problem: bool
    open: int
    opened_at: UtcTime
    stage_since: UtcTime


class TimelineEntry(BaseModel):
    """An event, a decision or an outcome."""

    kind: str
    at: UtcTime
    id: str
    content: dict[str, Any]


class FeedbackView(BaseModel):
    """One measure over all answers of the customer; null where too few answered."""

    measure: str
    answers: int
    value: float | None
    low: float | None
    high: float | None


class ContactsView(BaseModel):
    """How often something was shown: ever, and in the last 1, 7 and 30 days."""

    last_at: UtcTime | None
    channels: dict[str, dict[str, int]]
    actions: dict[str, dict[str, int]]


class Consent(BaseModel):
    """The last word on a purpose; ``channel`` null means on all."""

    purpose: str
    channel: str | None
    given: bool
    since: UtcTime


class CustomerView(BaseModel):
    """All we know of one customer."""

    customer_id: str
    known: bool
    account: str | None
    attributes: dict[str, str]
    identifiers: list[str]
    links: list[LinkView]
    journeys: list[JourneyView]
    predictions: Predictions
    models: dict[str, str | None]
    feedback: list[FeedbackView]
    contacts: ContactsView
    consents: list[Consent]
    timeline: list[TimelineEntry]
    next: str | None
    degraded: list[str]


class ForgetRequest(About):
    """Whom to forget, or, with ``lift``, whom to take in again."""

    lift: bool = False


class ForgetAnswer(BaseModel):
    """What was erased; the models that learned from the customer do not unlearn by themselves."""

    status: Literal["forgotten", "lifted"]
    erased: dict[str, int]
    trained_on: list[str] | None  # null: MLflow did not answer
    remark: str
