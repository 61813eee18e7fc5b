"""Request and answer types of `/v1/guardrails` and `/v1/guardrails/lift`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from features.journeys.events import UtcTime
from serving.contract.requests import Cause, Request

Named = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00]+$")]


class GuardrailsRequest(Request):
    """The guardrails of the catalogue, with the actions that they have switched off.

    ``stops``: those of ``now``, or also those that were lifted (``all``), the newest first.
    """

    stops: Literal["now", "all"] = Field("now", examples=["now"])


class LiftStopRequest(Request):
    """An action that is offered again although a guardrail has switched it off."""

    guardrail: Named = Field(examples=["unsubscribes"])
    action_id: Named = Field(examples=["discount"])
    cause: Cause = Field(examples=["Its wording was changed."])


class HarmTestView(BaseModel):
    """A test of one action, or (no ``action_id``) of the policy's arm as a whole.

    ``harmed`` counts harm in which the action could have been drawn, or that of both arms;
    ``after`` that which followed the action, or of customers of the policy's arm; ``expected`` how
    many of them would follow at the limit. ``e_value``: the evidence that the limit is exceeded; at
    ``stops_at`` the action is switched off, or the policy warned of. ``rate_ratio``: the estimated
    harm of the action, divided by that of what it is compared with; null without harm.
    """

    action_id: str | None
    harmed: int
    after: int
    expected: float
    rate_ratio: float | None
    e_value: float
    stops_at: float
    exceeded: bool


class GuardrailStopView(BaseModel):
    """An action that a guardrail has switched off, with the test at that time."""

    guardrail: str
    action_id: str
    stopped_at: UtcTime
    test: HarmTestView
    lifted_at: UtcTime | None
    lifted_by: str | None


class GuardrailView(BaseModel):
    """A guardrail of the catalogue, and its tests; ``since``: harm after decisions from then on."""

    name: str
    description: str
    counts: str
    at_most: float | None
    within_days: float
    limit: float
    against: Literal["random", "nobody"]
    level: float
    since: UtcTime | None  # null: nothing was counted yet
    policy: HarmTestView | None  # of the arm
    actions: list[HarmTestView]
    words: str  # what it has found, as a sentence


class GuardrailsView(BaseModel):
    """All guardrails, and the stops that were asked for, the newest first."""

    guardrails: list[GuardrailView]
    stops: list[GuardrailStopView]


class LiftStopAnswer(BaseModel):
    """The stop that was lifted: its test begins anew with the decisions from now on."""

    stop: GuardrailStopView
