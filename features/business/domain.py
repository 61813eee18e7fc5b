"""The domain file describes a business: its attributes, events, and the labels churn and intent.

The code is the same for every business. `domains/grocery.yaml` is the worked example. The labels
are defined in `label_definitions`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from features.business.event_types import SCALES, STAGES, Attribute, EventType
from features.business.experiment.objective import Objective
from features.business.journey_rules.checks import check_journeys
from features.business.journey_rules.goals import Goal, Persona
from features.business.journey_rules.kinds import LIFECYCLE, JourneyKind, Lifecycle
from features.business.label_definitions import Churn, Intent, Moments
from features.business.vocabulary import shared_names, with_vocabulary
from features.business.yaml_file import Days, Frozen, Name, load_yaml
from features.business.yaml_mistakes import Mistake, Mistakes
from features.business.yaml_types import NAME
from features.nearest_names import did_you_mean

# Columns of our own: no attribute and no property of an event may have their names.
RESERVED = ("customer_id", "identifiers", "event_timestamp", "state")
EVENT_COLUMNS = ("event_id", "customer_id", "identifiers", "type", "occurred_at", "channel")
_PLAIN = JourneyKind()  # a kind that is not described


KeyKind = Literal["anonymous", "personal", "strong"]


class Namespace(Frozen):
    """A namespace of identifiers: how its values are normalized, and how well they name a person.

    ``anonymous``, such as a cookie, is a device: it belongs to the customer who last logged in on
    it, and never merges two customers. ``personal``, such as an e-mail address, merges customers up
    to `IdentityRules.largest_personal` keys; ``strong``, such as a contract, up to ``largest``.
    """

    normalize: Literal["as_is", "lower", "digits"] = "as_is"
    kind: KeyKind = "strong"
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _with_former_key(cls, content: Any) -> Any:
        """Read ``anonymous: true``, which was written before there were three kinds."""
        if not isinstance(content, dict) or "anonymous" not in content:
            return content
        rest = {name: value for name, value in content.items() if name != "anonymous"}
        if not isinstance(content["anonymous"], bool) or "kind" in rest:
            raise ValueError("kind: anonymous, personal or strong, and no key 'anonymous'")
        return rest | ({"kind": "anonymous"} if content["anonymous"] else {})


class IdentityRules(Frozen):
    """The limits within which events merge customers; above them, people decide.

    ``largest`` and ``largest_personal`` count the keys of the merged customer. ``placeholders``
    are texts that are refused as keys, beside those of `keys.PLACEHOLDERS`.
    """

    largest: Annotated[int, Field(ge=2)] = 50
    largest_personal: Annotated[int, Field(ge=2)] = 20
    placeholders: tuple[str, ...] = ()


class Domain(Frozen):
    """A business, as read from its domain file."""

    name: Name
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    identifiers: dict[Name, Namespace] = {}  # if empty, any namespace is taken as it comes
    identity: IdentityRules = IdentityRules()
    attributes: dict[Name, Attribute] = {}
    account: Name | None = None  # column of customers
    vocabulary: Literal["all"] | tuple[Name, ...] = ()
    stages: Annotated[tuple[Name, ...], Field(min_length=1, max_length=50)] = STAGES
    journeys: dict[Name, JourneyKind] = {}
    lifecycle: Lifecycle = Lifecycle()
    personas: dict[Name, Persona] = {}
    goals: dict[Name, Goal] = {}
    events: Annotated[dict[Name, EventType], Field(min_length=1)]
    session_minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 30
    half_lives_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (7, 28, 112)
    churn: Churn | None = None
    intent: Intent | None = None
    moments: Moments | None = None
    objective: Objective = Objective()

    @model_validator(mode="before")
    @classmethod
    def _with_vocabulary(cls, content: Any) -> Any:
        return with_vocabulary(content)

    @model_validator(mode="after")
    def _names_that_exist(self) -> Self:
        mistakes = Mistakes()
        for label, definition in (("churn", self.churn), ("intent", self.intent)):
            if definition:
                mistakes.unknown_value(f"{label}.event", definition.event, self.events)
        mistakes.unknown("churn.back", self.churn.back if self.churn else (), self.events)
        for name, value in ((self.moments and self.moments.test_where) or {}).items():
            known = self.attributes.get(name)
            if known is None or value not in known.values:
                unknown = (value, known.values) if known else (name, self.attributes)
                near = did_you_mean([unknown[0]], unknown[1])
                expected = "a category of 'attributes' and its value"
                mistakes.add("moments.test_where", expected, near)
        named = [event.journey for event in self.events.values()]
        for name in self.journeys:
            if name not in self.journey_kinds:
                near = did_you_mean([name], named)
                mistakes.add(("journeys", name), "a journey that some event names", near)
        for index, key in enumerate(self.identity.placeholders):
            namespace, colon, _ = key.partition(":")
            if self.identifiers and colon and re.fullmatch(NAME, namespace):
                where = ("identity", "placeholders", index)
                mistakes.unknown_value(where, namespace, self.identifiers)
        self.objective.check(self.events, self.attributes, mistakes)
        mistakes.refuse()
        return self

    @model_validator(mode="after")
    def _rules_of_journeys(self) -> Self:
        check_journeys(self)
        return self

    @model_validator(mode="after")
    def _intents_are_classes(self) -> Self:
        if self.intent is None:
            return self
        known = self.events[self.intent.event].properties.get(self.intent.property)
        if known is None or known.type != "category":
            event = self.events[self.intent.event].properties
            names = [name for name, one in event.items() if one.type == "category"]
            near = did_you_mean([self.intent.property], names)
            expected = f"a category of {self.intent.event}"
            raise Mistakes([Mistake(("intent", "property"), expected, near)])
        if self.intent.end in known.values:
            raise ValueError(f"intent.end: a text that is no value of {self.intent.property}")
        return self

    @model_validator(mode="after")
    def _half_lives_rise(self) -> Self:
        if list(self.half_lives_days) != sorted(set(self.half_lives_days)):
            raise ValueError("half_lives_days: numbers that rise")
        return self

    @model_validator(mode="after")
    def _our_columns_stay_ours(self) -> Self:
        another, mistakes = "another name; this one is ours", Mistakes()
        if self.account in RESERVED:
            mistakes.add("account", another)
        for name in self.attributes:
            if name in (*RESERVED, self.account):
                mistakes.add(("attributes", name), another)
        for event, described in self.events.items():
            for name in described.properties:
                if name in EVENT_COLUMNS:
                    mistakes.add(("events", event, "properties", name), another)
        mistakes.refuse()
        return self

    @property
    def shared_events(self) -> tuple[str, ...]:
        """The names of the events that the file takes from the vocabulary, or puts others for."""
        wanted = shared_names() if self.vocabulary == "all" else self.vocabulary
        return tuple(name for name in wanted if name in self.events)

    @property
    def leaving_event(self) -> str | None:
        """The type of event by which a customer leaves; None where churn is a silence."""
        return self.churn.event if self.churn and self.churn.when == "happens" else None

    @property
    def intents(self) -> tuple[str, ...]:
        """The classes of the intent model."""
        if self.intent is None:
            return ()
        values = self.events[self.intent.event].properties[self.intent.property].values
        return (*values, self.intent.end) if self.intent.end else values

    @property
    def profile_columns(self) -> tuple[str, ...]:
        """The columns of a customer's profile: the attributes, and the account."""
        return (*self.attributes, self.account) if self.account else tuple(self.attributes)

    @property
    def journey_kinds(self) -> dict[str, JourneyKind]:
        """Every journey that an event names, in the order of the events."""
        named = dict.fromkeys(described.journey for described in self.events.values())
        return {name: self.journeys.get(name, _PLAIN) for name in named}

    def events_of(self, kind: str) -> dict[str, EventType]:
        """Return the event types on the map of a kind of journey; of `LIFECYCLE`, all."""
        return {
            name: event for name, event in self.events.items() if kind in (event.journey, LIFECYCLE)
        }


def load_domain(path: Path, check: Callable[[Domain], object] | None = None) -> Domain:
    """Read a domain file, with a further check that raises as a validator does.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_yaml(path, Domain, check)


def score_of(domain: Domain, event: str) -> str | None:
    """Return the property of an event that measures a score; None unless there is exactly one."""
    described = domain.events.get(event)
    found = [
        name
        for name, known in (described.properties if described else {}).items()
        if known.measures in SCALES
    ]
    return found[0] if len(found) == 1 else None
