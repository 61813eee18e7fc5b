"""The parts that several request and answer types share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from features.customers.identity import ID_LENGTH, ID_PATTERN
from features.journeys.events import (
    MAX_KEYS,
    SOMEBODY,
    Id,
)

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


class Error(BaseModel):
    """Why a request was refused: what happened, what was expected, what to do."""

    error: str = Field(examples=["channel is missing. Send it."])


class Readiness(BaseModel):
    """Whether to send requests here, what is missing, and which models serve."""

    status: Literal["starting", "not ready", "degraded", "ready"]
    degraded: list[str]
    models: dict[str, str | None]
