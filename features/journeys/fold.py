"""The fold: from a customer's events to the state we keep and the features a model reads.

    state = fold.advance(state, type, channel, at_s, properties)   # at each event, in order
    features = fold.read(state, at_s)                              # at any later moment

This is the one arithmetic for training and serving. A state is a row of plain numbers anchored
at the last event of each kind; ``read`` lets them decay to the moment asked for, so that the
features of a silent customer go on changing although nothing is written. Pure: no clock, no
input, no output. What the numbers are stands in the parts: `rhythm`, `signals`, `open_journeys`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from features.business.domain import SCALES, Domain, EventType, slug
from features.errors import InvalidDomain
from features.journeys.aggregates import MINUTE_S, Feedback, Preference, Sessions, Spend
from features.journeys.descriptions import FeatureDescription, Quantity, humanize
from features.journeys.open_journeys import JourneyPart, JourneyTotals, OpenJourney
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.state import DAY_S, FoldPart, State

__all__ = ["DAY_S", "Fold", "OpenJourney", "State"]

P = TypeVar("P", bound=FoldPart)


@dataclass(frozen=True, slots=True)
class _Moves:
    """What an event of one type moves."""

    event: EventType
    rhythm: RecencyFrequency
    journey: JourneyPart
    spend: tuple[tuple[str, Spend], ...]  # by the property that carries the amount
    scores: tuple[tuple[str, Feedback], ...]


class Fold:
    """The fold compiled for one business.

    Parameters
    ----------
    domain
        Names the event types, the properties to remember, the journeys and the half-lives.

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
        lives = domain.half_lives_days
        types = {name: self._add(self._rhythm(name, domain)) for name in domain.events}
        self._channels = {
            name: self._add(
                RecencyFrequency(
                    f"channel_{name}",
                    self._width,
                    lives,
                    noun=f"event on the channel {humanize(name)}",
                )
            )
            for name in domain.channels
        }
        self._add(Preference(self._channels))
        self._sessions = self._add(Sessions(self._width, domain.session_minutes * MINUTE_S))
        self._journeys = {
            name: self._add(JourneyPart(self._width, name, kind))
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
        self._moves = {
            name: _moves(event, types[name], self._journeys[event.journey], spend, scores)
            for name, event in domain.events.items()
        }
        self.state_fields = tuple(field for part in self._parts for field in part.fields)
        self.feature_names = tuple(name for part in self._parts for name in part.names)
        ends = list(accumulate(len(part.fields) for part in self._parts))
        spans = zip([0, *ends], ends, strict=False)
        self._spans = [(start, end) for start, end in spans if end > start]
        self._empty = [number for part in self._parts for number in part.empty()]
        _refuse_twins(domain, [*self.state_fields], [*self.feature_names, *domain.attributes])

    def empty(self) -> State:
        """The state of a customer of whom nothing is known."""
        return self._empty.copy()

    def advance(
        self,
        state: State,
        event_type: str,
        channel: str,
        at_s: float,
        properties: Mapping[str, Any],
    ) -> State:
        """The state after one more event.

        Parameters
        ----------
        state : shape (len(state_fields),)
            Left as it is.
        event_type, channel : str
        at_s : float
            Seconds since 1970 (UTC), not before the events already folded.
        properties
            Values by name; what is missing counts as 0 or as no category.

        Notes
        -----
        An event of a type or channel that the domain file no longer has is passed over.
        """
        state = state.copy()
        moves = self._moves.get(event_type)
        if moves is None or channel not in self._channels:
            return state
        rhythm = moves.rhythm
        numbers = [float(properties.get(name) or 0.0) for name in rhythm.numbers]
        seen = [1.0 if properties.get(name) == value else 0.0 for name, value in rhythm.values]
        rhythm.advance(state, at_s, numbers, seen)
        self._channels[channel].advance(state, at_s, [], [])
        self._sessions.advance(state, at_s)
        moves.journey.advance(state, at_s, moves.event)
        for name, spend in moves.spend:
            spend.advance(state, at_s, float(properties.get(name) or 0.0))
        for name, score in moves.scores:
            if (said := properties.get(name)) is not None:
                score.advance(state, at_s, float(said))
        return state

    def read(self, state: State, at_s: float) -> list[float]:
        """The features at a moment.

        Parameters
        ----------
        state : shape (len(state_fields),)
            The state after the last event before or at the moment.
        at_s : float
            The moment, seconds since 1970 (UTC).

        Returns
        -------
        shape (len(feature_names),)
            ``nan`` where the customer has no such past.
        """
        features: list[float] = []
        for part in self._parts:
            part.read(features, state, at_s)
        return features

    def pack(self, state: State) -> list[float]:
        """The state as it is kept: only the parts in which something has happened.

        Most customers have met few of the event types; their states take a fifth of the space.

        Returns
        -------
        list of float
            For each such part its number and then its numbers, as many as it has fields.
        """
        packed: list[float] = []
        for number, (start, end) in enumerate(self._spans):
            if state[start]:  # how often: the first number of every part
                packed.append(float(number))
                packed += state[start:end]
        return packed

    def unpack(self, packed: Sequence[float]) -> State | None:
        """What `pack` was given; None if that was the state of another fold."""
        state, index = self._empty.copy(), 0
        while index < len(packed):
            number = packed[index]
            if not 0 <= number < len(self._spans) or number != int(number):
                return None
            start, end = self._spans[int(number)]
            index += 1
            part = packed[index : index + end - start]
            if len(part) < end - start:
                return None
            state[start:end] = part
            index += end - start
        return state

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name; for explanations only."""
        return {name: one for part in self._parts for name, one in part.descriptions().items()}

    def open_journeys(self, state: State, at_s: float) -> list[OpenJourney]:
        """What the customer is in the middle of, the oldest first."""
        told = (part.tell(state, at_s) for part in self._journeys.values())
        return sorted((journey for journey in told if journey), key=lambda one: one.opened_at_s)

    def last_at(self, state: State) -> float:
        """When the last event happened, seconds since 1970; nan before the first."""
        return self._sessions.last_at(state)

    def events_n(self, state: State) -> int:
        """How many events a state is made of."""
        return self._sessions.events_n(state)

    def _add(self, part: P) -> P:
        self._parts.append(part)
        self._width += len(part.fields)
        return part

    def _rhythm(self, name: str, domain: Domain) -> RecencyFrequency:
        kept = {
            prop: known
            for prop, known in domain.events[name].properties.items()
            if known.remembered
        }
        numbers = tuple(prop for prop, known in kept.items() if known.type == "number")
        values = tuple((prop, value) for prop, known in kept.items() for value in known.values)
        labels = tuple(f"{prop}_{slug(value)}" for prop, value in values)
        quantities = tuple(
            Quantity.named(prop, domain.currency, kept[prop].min, kept[prop].max)
            for prop in numbers
        )
        lives = domain.half_lives_days
        return RecencyFrequency(name, self._width, lives, numbers, values, labels, quantities)


def _moves(
    event: EventType,
    rhythm: RecencyFrequency,
    journey: JourneyPart,
    spend: Spend | None,
    scores: Mapping[str, Feedback],
) -> _Moves:
    measures = {name: known.measures for name, known in event.properties.items()}
    return _Moves(
        event,
        rhythm,
        journey,
        tuple((name, spend) for name, what in measures.items() if what == "spend" and spend),
        tuple((name, scores[what]) for name, what in measures.items() if what and what in scores),
    )


def _measured(domain: Domain) -> dict[str, bool]:
    """Which of the things that can be measured some event of the business measures."""
    used = {
        known.measures for event in domain.events.values() for known in event.properties.values()
    }
    return {measure: measure in used for measure in ("spend", *SCALES)}


def _refuse_twins(domain: Domain, *lists: list[str]) -> None:
    for names in lists:
        twins = sorted(name for name, times in Counter(names).items() if times > 1)
        if twins:
            raise InvalidDomain(
                f"Two things of the domain {domain.name!r} would be called {twins[0]!r}.",
                expected="a name for each feature",
                remedy="Rename the event type, the property or the attribute behind it.",
            )
