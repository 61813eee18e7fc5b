"""Request and answer types of routes about a customer: links, attributes, view and erasure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictFloat,
    StrictInt,
    model_validator,
)

from features.identity.keys import ID_PATTERN
from features.journeys.events import CUSTOMER_ID_OR_IDENTIFIERS, CustomerId, UtcTime
from serving.contract.decisions import Predictions
from serving.contract.requests import NOBODY, About, Cause, Identifier, Request

MAX_CONFIRMED = 1_000  # named keys; a merged customer rarely has more than two
_BY_ERASURE: JsonValue = {
    "required": ["erasure_id"],
    "properties": {"erasure_id": {"type": "string"}},
}
CUSTOMER_OR_ERASURE: dict[str, JsonValue] = {
    "anyOf": [*CUSTOMER_ID_OR_IDENTIFIERS["anyOf"], _BY_ERASURE]  # type: ignore[misc]
}


class LinkRequest(Request):
    """Two keys (customer ids or identifiers) to link as one customer, or to unlink.

    One of them may be a device, such as a cookie; not both.
    """

    keys: tuple[Identifier, Identifier] = Field(examples=[["h1", "email:a@b.it"]])
    cause: Cause = Field(examples=["told an agent"])


class LinkAnswer(BaseModel):
    """The customers behind the two keys now: one if they are merged, two if they are not.

    Behind a device is the customer who holds it at present.
    """

    changed: bool
    customers: list[str]


class AttributesRequest(Request):
    """Attributes of a customer, with the time from which they hold.

    Attributes that are not named stay as they are. Null is the value of an attribute that is
    unknown from then on. Without ``as_of`` a changed value holds from now, and the values of a
    customer of whom nothing was stored hold from ever.
    """

    customer_id: CustomerId = Field(examples=["h1"])
    attributes: Annotated[
        dict[Annotated[str, Field(max_length=60)], str | StrictFloat | StrictInt | None],
        Field(min_length=1, max_length=1000),
    ] = Field(examples=[{"age": "35-44", "income": None}])
    as_of: UtcTime | None = None


class AttributesAnswer(BaseModel):
    """The attributes that have changed, and all attributes of the customer at present.

    A repeated value changes nothing. A late value changes the past, and the present only if no
    later value is known. A merged customer may have another value for an attribute from another of
    its keys, which takes precedence.
    """

    customer_id: str
    new: bool  # no attributes were stored of this customer_id
    changed: list[str]
    attributes: dict[str, str]


class PastAttribute(BaseModel):
    """A value of an attribute, and the time from which it holds.

    A ``from_at`` of null means from ever; a ``value`` of null, that it is unknown from then on.
    """

    name: str
    value: str | None
    from_at: UtcTime | None


class CustomerRequest(About):
    """A customer, and a page of their timeline. The newest entries come first."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Annotated[str, Field(max_length=300)] | None = None  # `next` of the previous page


class LinkView(BaseModel):
    """A link between two keys of one customer, its cause, and its end if it was undone.

    Two keys that were linked again after that have several links.
    """

    left: str
    right: str
    cause: str
    linked_at: UtcTime
    undone_at: UtcTime | None
    undone_cause: str | None


class JourneyView(BaseModel):
    """An open journey; ``open`` is the number of open journeys of this kind."""

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
    """One satisfaction measure over all answers of the customer; null if they are too few."""

    measure: str
    answers: int
    value: float | None
    low: float | None
    high: float | None


class ContactsView(BaseModel):
    """Numbers of contacts: in total, and in the last 1, 7 and 30 days."""

    last_at: UtcTime | None
    channels: dict[str, dict[str, int]]
    actions: dict[str, dict[str, int]]


class Consent(BaseModel):
    """The latest consent or refusal for a purpose; ``channel`` is null if it holds on all."""

    purpose: str
    channel: str | None
    given: bool
    since: UtcTime


class CustomerView(BaseModel):
    """Everything known about one customer; ``left_at`` is null for one who has not left."""

    customer_id: str
    known: bool
    left: bool
    left_at: UtcTime | None
    account: str | None
    attributes: dict[str, str]
    attribute_history: list[PastAttribute]  # the latest first
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
    """A customer to forget, with ``readmit`` to readmit, or the id of an earlier erasure.

    ``confirm`` repeats the named keys of a merged customer, as the answer 409 gives them.
    """

    model_config = ConfigDict(json_schema_extra=CUSTOMER_OR_ERASURE)

    readmit: bool = False
    confirm: Annotated[tuple[Identifier, ...], Field(max_length=MAX_CONFIRMED)] = ()
    erasure_id: Annotated[str, Field(max_length=100, pattern=ID_PATTERN)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, sent: Any) -> Any:
        """Name the new field to callers that send the old one."""
        if isinstance(sent, dict) and "lift" in sent:
            raise ValueError('lift is not a field of /v1/forget; send "readmit" in its place')
        return sent

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        about = self.customer_id is not None or bool(self.identifiers)
        if not about and self.erasure_id is None:
            raise ValueError(NOBODY)
        if self.readmit and self.confirm:
            raise ValueError("confirm confirms an erasure; leave it out to readmit")
        if self.erasure_id is not None and (about or self.readmit or self.confirm):
            raise ValueError("erasure_id asks for an erasure only; send it alone")
        return self


class ForgetAnswer(BaseModel):
    """Counts of erased rows, the state of the files, and the models trained on the customer.

    ``files`` is done when no file names the customer any more; ``waits_for`` names the files that
    could not be cleaned yet. A trained model does not change when a customer is forgotten; it must
    be trained again.
    """

    status: Literal["forgotten", "readmitted"]
    erasure_id: str | None = None  # null if the customer was readmitted
    files: Literal["pending", "done"] | None = None
    finished_at: UtcTime | None = None
    waits_for: list[str] = []
    erased: dict[str, int] = {}
    trained_on: list[str] | None = []  # null if MLflow did not answer
    remark: str


class UnconfirmedAnswer(BaseModel):
    """The named keys of a merged customer; repeat them as ``confirm`` to erase them all."""

    error: str
    would_erase: list[str]
