"""Finds the persona of a customer: the first one of the domain file whose condition holds.

Conditions may name attributes and features of the fold. Events are folded only if some do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
from pydantic_core import from_json

from features.business.domain import Domain
from features.business.journey_rules.goals import OTHERS
from features.conditions.conditions import Conditions
from features.journeys.fold import Fold
from features.journeys.personas.persona_conditions import persona_names

REMEMBERED = 10_000  # personas by the attributes that conditions name


class Personas:
    """The personas of a business.

    Attributes
    ----------
    read_events : bool
        True if a condition names a feature of the fold.

    Raises
    ------
    InvalidCondition
        If a condition cannot be read.
    """

    def __init__(self, domain: Domain) -> None:
        self._fold = Fold(domain)
        names = persona_names(domain, self._fold)
        self._position = names.position
        self._names = tuple(domain.personas)
        self._conditions = Conditions(names, [one.when for one in domain.personas.values()])
        named = map(self._conditions.names_in, range(len(self._names)))
        used = {name for some in named for name in some}
        self._attributes = tuple(name for name in domain.attributes if name in used)
        features = enumerate(self._fold.feature_names)
        self._features = [(at, self._position[name]) for at, name in features if name in used]
        self.read_events = bool(self._features)
        self._known: dict[tuple[str | None, ...], str] = {}

    def persona(self, attributes: Mapping[str, str], features: Sequence[float] | None) -> str:
        """Return the persona of a customer.

        Parameters
        ----------
        features : shape (len(Fold.feature_names),)
            None if no condition names any.
        """
        if not self._names:
            return OTHERS
        values = tuple([attributes.get(name) for name in self._attributes])
        if self._features:
            return self._evaluated(values, features or ())
        found = self._known.get(values)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[values] = self._evaluated(values, ())
        return found

    def features_at(
        self, events: Iterable[tuple[str, str, str, int, str]], times_us: Sequence[int]
    ) -> Iterator[Sequence[float] | None]:
        """Yield the features of the fold at each of some times, which rise; the event then counts.

        They are None if no condition names any.
        """
        if not self.read_events:
            yield from (None for _ in times_us)
            return
        state, waiting = self._fold.empty(), iter(events)
        event: Any = next(waiting, None)
        for at_us in times_us:
            while event is not None and event[3] <= at_us:
                _, kind, channel, event_us, properties = event
                state = self._fold.advance(
                    state, kind, channel, event_us / 1e6, from_json(properties)
                )
                event = next(waiting, None)
            yield self._fold.read(state, at_us / 1e6)

    def _evaluated(self, values: Sequence[str | None], features: Sequence[float]) -> str:
        numbers = np.full(len(self._position), nan)
        texts: dict[str, str | None] = {}
        for name, value in zip(self._attributes, values, strict=True):
            if name in self._position:
                numbers[self._position[name]] = _number(value)
            else:
                texts[name] = value
        for at, place in self._features:
            numbers[place] = features[at]
        holds = self._conditions.holds(numbers, texts)
        return next((name for name, true in zip(self._names, holds, strict=True) if true), OTHERS)


def _number(value: str | None) -> float:
    try:
        return nan if value is None else float(value)
    except ValueError:
        return nan
