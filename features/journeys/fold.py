"""The fold computes a state from a customer's events, and features from the state.

    state = fold.advance(state, type, channel, at_s, properties)   # at each event, in order
    features = fold.read(state, at_s)                              # at any later moment

Training and serving both use it, so they compute the same features. A state is a list of numbers as
of the last event of each kind. ``read`` decays them to a moment. So the features of a customer
without new events go on changing, although nothing is written. The fold reads no clock and does no
input or output. Its parts define the numbers: `recency_frequency`, `aggregates`, `open_journeys`,
`promises.journey_memory`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from features.business.domain import Domain
from features.business.event_types import SCALES, EventType
from features.business.journey_rules.node_labels import event_label
from features.customers.profiles import ACCOUNT
from features.errors import InvalidDomain
from features.journeys.aggregates import MINUTE_S, ChannelPreference, Feedback, Sessions, Spend
from features.journeys.category_names import value_names
from features.journeys.descriptions import FeatureDescription, Quantity, humanize
from features.journeys.journey_steps import StepRules, tells_apart
from features.journeys.open_journeys import JourneyPart, JourneyTotals, OpenJourney
from features.journeys.packing import Packing
from features.journeys.promises.journey_memory import JourneyMemory
from features.journeys.promises.promise_rules import PromiseStep
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.state import DAY_S, SECOND_US, FoldPart, State

__all__ = ["DAY_S", "Fold", "OpenJourney", "State"]

P = TypeVar("P", bound=FoldPart)


@dataclass(frozen=True, slots=True)
class _Updates:
    """The parts that an event of one type updates."""

    event: EventType
    recency: RecencyFrequency
    journey: JourneyPart
    memory: JourneyMemory | None
    spend: tuple[tuple[str, Spend], ...]  # by the property that carries the amount
    scores: tuple[tuple[str, Feedback], ...]


class Fold:
    """The fold compiled for one business.

    Parameters
    ----------
    domain
        Names the event types, the remembered properties, the journeys and the half-lives.

    Raises
    ------
    InvalidDomain
        If two features get the same name.

    Attributes
    ----------
    state_fields : tuple of str
        Name of each number of a state; ``_at`` are seconds since 1970 (UTC).
    feature_names : tuple of str
        Name of each feature that `read` returns, in its order.
    """

    def __init__(self, domain: Domain) -> None:
        self._parts: list[FoldPart] = []
        self._width = 0
        self._closes_all = True  # journeys, as the customer leaves
        lives = domain.half_lives_days
        types = {name: self._add(self._recency_frequency(name, domain)) for name in domain.events}
        self._channels = {name: self._add(self._channel(name, lives)) for name in domain.channels}
        self._add(ChannelPreference(self._channels))
        self._sessions = self._add(Sessions(self._width, domain.session_minutes * MINUTE_S))
        self._journeys = {
            name: self._add(JourneyPart(self._width, name, kind, domain.stages))
            for name, kind in domain.journey_kinds.items()
        }
        self._add(JourneyTotals(tuple(self._journeys.values())))
        measured = _measured(domain)
        spend = self._add(Spend(self._width, domain.currency, lives)) if measured["spend"] else None
        scores = {
            measure: self._add(Feedback(self._width, measure, lives[-1]))
            for measure, used in measured.items()
            if used and measure != "spend"
        }
        self._memories = {
            name: self._add(JourneyMemory(self._width, name, kind, self._journeys[name]))
            for name, kind in domain.journey_kinds.items()
            if tells_apart(kind)
        }
        self._rules = StepRules(domain)
        self._updates = {
            name: _updates(
                event,
                types[name],
                (self._journeys[event.journey], self._memories.get(event.journey)),
                spend,
                scores,
            )
            for name, event in domain.events.items()
        }
        self.state_fields = tuple(field for part in self._parts for field in part.fields)
        self.feature_names = tuple(name for part in self._parts for name in part.names)
        self._packing = Packing(self._parts)
        self._empty = [number for part in self._parts for number in part.empty()]
        _refuse_equal_names(domain, [*self.state_fields], [*self.feature_names, *domain.attributes])

    def of(self, key: str) -> Fold:
        """Return the fold for the events behind a key: those of a customer, or of an account.

        A member of an account who leaves closes no journey of the other members.
        """
        return self._of_accounts if key.startswith(ACCOUNT) else self

    @cached_property
    def _of_accounts(self) -> Fold:
        fold = copy(self)
        fold._closes_all = False
        return fold

    def empty(self) -> State:
        """Return the state before any event."""
        return self._empty.copy()

    def advance(
        self,
        state: State,
        event_type: str,
        channel: str,
        at_s: float,
        properties: Mapping[str, Any],
    ) -> State:
        """Compute the state after one more event.

        Parameters
        ----------
        state : shape (len(state_fields),)
            Not changed.
        event_type, channel : str
        at_s : float
            Seconds since 1970 (UTC), not before the events already folded.
        properties
            Values by name; a missing number counts as 0, a missing category as none.

        Notes
        -----
        An event of a type or channel that the domain file no longer has is ignored.
        """
        state = state.copy()
        effect = self._rules.effect(event_type, channel, properties)
        if effect is None:
            return state
        updates = self._updates[event_type]
        recency = updates.recency
        numbers = [float(properties.get(name) or 0.0) for name in recency.numbers]
        seen = [1.0 if properties.get(name) == value else 0.0 for name, value in recency.values]
        recency.advance(state, at_s, numbers, seen)
        self._channels[channel].advance(state, at_s, [], [])
        self._sessions.advance(state, at_s)
        if updates.memory is None:
            updates.journey.advance(state, at_s, updates.event, effect.step)
        else:
            label = event_label(updates.memory.map, event_type, updates.event, channel, properties)
            step = PromiseStep(round(at_s * SECOND_US), {event_type, label}, properties)
            updates.memory.advance(state, step, updates.event, effect)
        if effect.leaves and self._closes_all:
            self._leave(state, at_s)
        for name, spend in updates.spend:
            spend.advance(state, at_s, float(properties.get(name) or 0.0))
        for name, score in updates.scores:
            if (value := properties.get(name)) is not None:
                score.advance(state, at_s, float(value))
        return state

    def read(self, state: State, at_s: float) -> list[float]:
        """Compute the features at a moment.

        Parameters
        ----------
        state : shape (len(state_fields),)
            The state after the last event before or at the moment.
        at_s : float
            The moment, seconds since 1970 (UTC).

        Returns
        -------
        shape (len(feature_names),)
            ``nan`` where the customer has no such event.
        """
        features: list[float] = []
        for part in self._parts:
            part.read(features, state, at_s)
        return features

    def pack(self, state: State) -> list[float]:
        """Shorten a state for storage; see `Packing`."""
        return self._packing.pack(state)

    def unpack(self, packed: Sequence[float]) -> State | None:
        """Restore the state that `pack` was given; None if another fold packed it."""
        return self._packing.unpack(packed)

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name; for explanations only."""
        return {name: one for part in self._parts for name, one in part.descriptions().items()}

    def open_journeys(self, state: State, at_s: float) -> list[OpenJourney]:
        """List the open journeys at a moment, the oldest first."""
        found = (part.open_journey(state, at_s) for part in self._journeys.values())
        return sorted((journey for journey in found if journey), key=lambda one: one.opened_at_s)

    def last_at(self, state: State) -> float:
        """Return the time of the last event, seconds since 1970; nan before the first event."""
        return self._sessions.last_at(state)

    def events_n(self, state: State) -> int:
        """Return the number of events in a state."""
        return self._sessions.events_n(state)

    def _leave(self, state: State, at_s: float) -> None:
        """Close all open journeys, as the customer leaves."""
        for memory in self._memories.values():
            memory.leave(state, at_s)
        for journey in self._journeys.values():
            journey.close_all(state)

    def _add(self, part: P) -> P:
        self._parts.append(part)
        self._width += len(part.fields)
        return part

    def _channel(self, name: str, half_lives_days: tuple[float, ...]) -> RecencyFrequency:
        noun = f"event on the channel {humanize(name)}"
        return RecencyFrequency(f"channel_{name}", self._width, half_lives_days, noun=noun)

    def _recency_frequency(self, name: str, domain: Domain) -> RecencyFrequency:
        kept = {
            prop: known
            for prop, known in domain.events[name].properties.items()
            if known.remembered
        }
        numbers = tuple(prop for prop, known in kept.items() if known.type == "number")
        values = tuple((prop, value) for prop, known in kept.items() for value in known.values)
        labels = tuple(
            f"{prop}_{name}" for prop, known in kept.items() for name in value_names(known.values)
        )
        quantities = tuple(
            Quantity.named(prop, domain.currency, kept[prop].min, kept[prop].max)
            for prop in numbers
        )
        lives = domain.half_lives_days
        return RecencyFrequency(name, self._width, lives, numbers, values, labels, quantities)


def _updates(
    event: EventType,
    recency: RecencyFrequency,
    journey: tuple[JourneyPart, JourneyMemory | None],
    spend: Spend | None,
    scores: Mapping[str, Feedback],
) -> _Updates:
    measures = {name: known.measures for name, known in event.properties.items()}
    return _Updates(
        event,
        recency,
        *journey,
        tuple((name, spend) for name, what in measures.items() if what == "spend" and spend),
        tuple((name, scores[what]) for name, what in measures.items() if what and what in scores),
    )


def _measured(domain: Domain) -> dict[str, bool]:
    """Return for spend and for each score whether some event of the business measures it."""
    used = {
        known.measures for event in domain.events.values() for known in event.properties.values()
    }
    return {measure: measure in used for measure in ("spend", *SCALES)}


def _refuse_equal_names(domain: Domain, *lists: list[str]) -> None:
    for names in lists:
        repeated = sorted(name for name, times in Counter(names).items() if times > 1)
        if repeated:
            raise InvalidDomain(
                f"Two features of the domain {domain.name!r} would be called {repeated[0]!r}.",
                expected="a name for each feature",
                remedy="Rename the event type, the property or the attribute behind it.",
            )
