"""Request and answer types of the routes that decide, activate, replay and explain.

The types check the bounds of each field, so bad input is refused with the field's name before
any work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    ChannelName,
    Id,
    UtcTime,
    is_finite_number,
)
from serving.contract.requests import About, Chance, Request

# Of the experiment; see `serving.policies.arms`. `control` is of before there were three arms.
Arm = Literal["policy", "random", "nobody", "control"]

# A number of the objective `added_value`. Where that does not count, it is left out of the JSON, so
# that decisions of before are repeated to the byte.
OnlyIfCounted = Annotated[float | None, Field(exclude_if=lambda number: number is None)]
MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH = 16_384, 20
MAX_SLOTS = 10


class DecideRequest(About):
    """A customer, the channel and place where they are, and the constraints on the answer."""

    channel: ChannelName = Field(examples=["app"])
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
    """Refuse content that the decision log could not store and return unchanged."""
    if isinstance(value, dict | list):
        if depth > MAX_CONTEXT_DEPTH:
            raise ValueError(f"is nested more than {MAX_CONTEXT_DEPTH} deep; send it flatter")
        for part in value.values() if isinstance(value, dict) else value:
            _check_plain(part, depth + 1)
    elif not isinstance(value, str | bool | None) and not is_finite_number(value):
        raise ValueError("has a number that is not finite; send another, or a text")


# The fields of a request that may change the decision, beside whom it is about. `explain` changes
# only what is told of the decision.
_DECIDING = ("channel", "placement", "slots", "context", "actions", "exclude", "activate")


def differing_field(request: DecideRequest, kept: Mapping[str, Any]) -> str | None:
    """Name the first field in which a request differs from a logged one; None if none differs.

    Parameters
    ----------
    kept
        The logged request as JSON; a field that is not there had its default value.
    """
    sent = request.model_dump(mode="json", include={*_DECIDING})
    for name in _DECIDING:
        then = kept.get(name, DecideRequest.model_fields[name].default)
        now = sent[name]
        if name == "context":
            every = dict.fromkeys([*then, *now])
            other = (key for key in every if not _is_same(then.get(key), now.get(key)))
            key = next(other, None)
            if key is not None:
                return f"context.{key}"
        elif name in ("actions", "exclude") and then is not None and now is not None:
            if {*then} != {*now}:  # their order decides nothing
                return name
        elif then != now:
            return name
    return None


def _is_same(then: Any, now: Any) -> bool:
    """Compare two JSON values; unlike in Python, a number is not a boolean, null is no value."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(_is_same(then.get(key), now.get(key)) for key in {*then, *now})
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(_is_same, then, now))
    return isinstance(then, bool) is isinstance(now, bool) and bool(then == now)


class ChosenAction(BaseModel):
    """One action of the answer; rank 1 comes first.

    ``acceptance``, ``added_value`` and ``priority`` are those at its rank: a lower rank is looked
    at less. ``added_value`` is left out where the objective is acceptance.
    """

    action_id: str
    rank: int
    treatment: dict[str, Any]
    probability: Chance
    acceptance: Chance
    added_value: OnlyIfCounted = None  # before context weight, lever and cost
    priority: float
    reasons: list[str]


class Predictions(BaseModel):
    """The predictions of the models; null where there is no model."""

    churn: Chance | None
    intent: dict[str, float] | None
    stage: str | None = None  # of the open journey with the latest event


class Removed(BaseModel):
    """An action that was removed, the first rule that removed it, and the value the rule found."""

    action_id: str
    rule: str
    reason: str
    value: Any = None


class Candidate(BaseModel):
    """An action that could have been drawn for the first slot, with the parts of its priority.

    ``purchases`` (in the domain's currency) and ``leaving`` (a probability) are what showing it
    adds, against showing nothing; ``assumed`` is what the business assumes that it adds.
    """

    action_id: str
    probability: Chance
    acceptance: Chance = 0.0
    purchases: OnlyIfCounted = None
    leaving: OnlyIfCounted = None
    assumed: OnlyIfCounted = None
    remaining_value: OnlyIfCounted = None
    added_value: OnlyIfCounted = None
    context_weight: float = 1.0
    priority: float = 0.0
    shadow_price: float = 0.0  # of its daily volume and budget
    contributions: Explanation | None = None  # to the acceptance


class DecisionExplanation(BaseModel):
    """The causes of a decision; ``exploration`` is the probability that not the best is chosen."""

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
    arm: Arm
    actions: list[ChosenAction]
    predictions: Predictions
    models: dict[str, str | None]
    removed: list[Removed] | None
    explanation: DecisionExplanation | None = None
    degraded: list[str]
    activated: bool = True  # if false, nothing counts as shown before /v1/activate

    @cached_property
    def as_json(self) -> str:
        """The JSON that is logged and sent. It is cached: do not change the decision later."""
        return self.model_dump_json()


class ActivateRequest(Request):
    """A decision made with `"activate": false` that is about to be shown."""

    decision_id: Id = Field(examples=["visit-8812"])


class ActivateAnswer(BaseModel):
    """The actions that may be shown, and those that are no longer allowed."""

    decision_id: str
    activated_at: UtcTime
    activated: list[str]
    removed: list[Removed]


class ReplayRequest(Request):
    """A decision to repeat, with the catalogue of now or of then."""

    decision_id: Id = Field(examples=["visit-8812"])
    catalog: Literal["now", "then"] = "now"


class Difference(BaseModel):
    """A field whose value differs."""

    field: str
    then: Any
    now: Any


class ReplayAnswer(BaseModel):
    """The result of repeating a decision: identical to the byte, or the causes and differences."""

    decision_id: str
    identical: bool
    causes: list[str] = []
    differences: list[Difference] = []


class ExplainRequest(Request):
    """A past decision to explain."""

    decision_id: Id = Field(examples=["visit-8812"])


class ExplainAnswer(BaseModel):
    """A decision with its explanation.

    Attributes
    ----------
    as_logged
        True if repeating the decision gave the logged answer.
    remark
        Which other model tells what each feature adds, if that of the decision is not kept.
    """

    decision: Decision
    as_logged: bool
    remark: str | None = None


Scale = Literal[
    "log odds before calibration",
    "log odds against the average intent, before calibration",
    "acceptance before it is kept between 0 and 1",
    "probability",
]


class Contribution(BaseModel):
    """The effect of one feature on a prediction; ``text`` is a sentence for people.

    ``value`` is null if it is unknown; ``effect`` is on the scale of the `Explanation`.
    """

    model_config = ConfigDict(frozen=True)

    feature: str
    value: float | str | None
    unit: str
    effect: float
    text: str


class Explanation(BaseModel):
    """One score as a sum: baseline, effects of the strongest features, and ``others``."""

    model_config = ConfigDict(frozen=True)

    of: str
    scale: Scale
    baseline: float
    strongest: tuple[Contribution, ...]
    others: float
