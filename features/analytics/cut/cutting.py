"""Cuts what happened to a customer into journeys and their steps, as the fold counts them.

Events are in the order in which they are folded. `journey_steps.StepRules` says what each does to
the open journeys; the rest is here:

- An event that opens a journey is its first step; an event that ends one is its last step, and ends
  the newest open one, or the one of its case. If none is open, it is a journey of one step.
- After ``lapse_days`` without an event of the kind, all open journeys of the kind have lapsed.
- The leaving event of the business ends all open journeys.

The lifecycle of a customer is a map of its own (`lifecycle_cutting`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from features.analytics.cut.cut_journey import CutJourney, PastEvent, Step
from features.analytics.cut.lifecycle_cutting import LifecycleCutter
from features.analytics.nodes import MapNodes
from features.analytics.tables import EVENT
from features.business.domain import Domain
from features.business.journey_rules.promises import DAY_US
from features.journeys.journey_steps import StepRules


class Cutter:
    """Cuts the events of customers of one business."""

    def __init__(self, domain: Domain, nodes: MapNodes) -> None:
        self._rules = StepRules(domain)
        self._nodes = nodes
        self._codes = {name: index for index, name in enumerate(nodes.maps)}
        self._lapse_us = {
            name: None if kind.lapse_days is None else round(kind.lapse_days * DAY_US)
            for name, kind in domain.journey_kinds.items()
        }
        self._lifecycle = LifecycleCutter(domain, nodes)

    def cut(
        self,
        events: Sequence[PastEvent],
        shown: Sequence[tuple[int, str]],
        as_of_us: int,
    ) -> list[CutJourney]:
        """Cut the past of one customer.

        Parameters
        ----------
        events
            In the order of folding, none after ``as_of_us``.
        shown
            Time and channel of each decision that was shown, in the order of time.

        Returns
        -------
        list of CutJourney
            In the order of their first events.
        """
        kinds = {name: _Kind(lapse_us) for name, lapse_us in self._lapse_us.items()}
        for event in events:
            effect = self._rules.effect(event.type, event.channel, event.properties)
            if effect is None:
                continue
            kind = kinds[effect.kind]
            kind.lapse(event.at_us)
            node = self._nodes.event_code(effect.kind, event.type, event.channel, event.properties)
            step = Step(event.at_us, node, event.channel, EVENT, event.type, event.properties)
            order = (event.at_us, event.event_id, self._codes[effect.kind])
            kind.take(step, effect.step, effect.case, lambda: CutJourney(effect.kind, order))  # noqa: B023
            if effect.leaves:
                for other in kinds.values():
                    other.close_all("left", event.at_us)
        found = [one for kind in kinds.values() for one in kind.finish(as_of_us)]
        found += self._lifecycle.cut(events, shown, as_of_us)
        return sorted(found, key=attrgetter("order"))


class _Kind:
    """The journeys of one kind of one customer."""

    def __init__(self, lapse_us: int | None) -> None:
        self._lapse_us = lapse_us
        self._last_us = 0
        self._open: list[CutJourney] = []  # the newest last
        self._all: list[CutJourney] = []

    def lapse(self, now_us: int) -> None:
        """Close the open journeys if the kind had no event for too long."""
        if self._open and self._lapse_us is not None and now_us - self._last_us > self._lapse_us:
            self.close_all("lapsed", self._last_us + self._lapse_us)

    def close_all(self, how: str, at_us: int) -> None:
        """Close all open journeys."""
        for journey in self._open:
            journey.close(how, at_us)
        self._open = []

    def take(
        self, step: Step, effect: str, case: str | None, new: Callable[[], CutJourney]
    ) -> None:
        """Give a step to its journey, and end that journey if the step does."""
        self._last_us = step.at_us
        journey = self._open_one(case)
        if journey is None or (effect == "starts" and case is None):
            journey = new()
            journey.case = case
            self._all.append(journey)
            self._open.append(journey)
        journey.steps.append(step)
        if effect == "ends":
            journey.close("ended", step.at_us)
            self._open.remove(journey)

    def _open_one(self, case: str | None) -> CutJourney | None:
        if case is None:
            return self._open[-1] if self._open else None
        return next((one for one in self._open if one.case == case), None)

    def finish(self, as_of_us: int) -> list[CutJourney]:
        """Return all journeys as of a moment."""
        self.lapse(as_of_us)
        for journey in self._open:
            if self._lapse_us is not None:
                journey.due_us = self._last_us + self._lapse_us
        return self._all
