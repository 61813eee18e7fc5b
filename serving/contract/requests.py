"""Types that several requests and answers share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from features.identity.keys import ID_LENGTH, ID_PATTERN
from features.journeys.events import (
    CUSTOMER_ID_OR_IDENTIFIERS,
    MAX_KEYS,
    CustomerId,
)

MAX_EVENTS = 500

Chance = Annotated[float, Field(ge=0, le=1)]
# Identifiers come as people write them; `KeyNormalizer` normalises them by the domain file.
Identifier = Annotated[str, Field(min_length=1, max_length=ID_LENGTH)]
# PostgreSQL cannot store the NUL character.
Cause = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Identifiers = Annotated[tuple[Identifier, ...], Field(max_length=MAX_KEYS)]
# The service makes an outcome id of a decision id, an action and an outcome.
OutcomeId = Annotated[str, Field(min_length=1, max_length=3 * ID_LENGTH, pattern=ID_PATTERN)]

NOBODY = "customer_id and identifiers are both missing; send one of them"


class Request(BaseModel):
    """Base of all requests; unknown fields are refused."""

    # An unknown field is probably misspelt; ignoring it would hide the mistake.
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(Request):
    """A customer, by customer id or by identifiers.

    The customer id wins over identifiers, and a named identifier over a device.
    """

    model_config = ConfigDict(json_schema_extra=CUSTOMER_ID_OR_IDENTIFIERS)

    customer_id: CustomerId | None = Field(None, examples=["h1"])
    identifiers: Identifiers = ()

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.customer_id is None and not self.identifiers:
            raise ValueError(NOBODY)
        return self


class Error(BaseModel):
    """The reason of a refusal: the value that was sent, what is expected, and the remedy."""

    error: str = Field(examples=["channel is missing. Send it."])


class Readiness(BaseModel):
    """Readiness of the server, with missing parts and the served model versions.

    Without a key of the scope `read`, the status stands alone.
    """

    status: Literal["starting", "not ready", "degraded", "ready"]
    degraded: list[str] = []
    models: dict[str, str | None] = {}
    clock: Literal["simulated"] | None = None  # with the next four, if it is simulated
    now: AwareDatetime | None = None
    settled_until: AwareDatetime | None = None
    settling: list[str] = []  # parts of the server that a request to settle waits for
    not_settled: list[str] = []  # parts that follow later, and that `settled_until` says nothing of
