"""Cuts the lifecycle of a customer: all events, shown actions, silences, and leaving.

A customer has one lifecycle until they leave; what happens afterwards begins another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge

from features.analytics.cut.cut_journey import CutJourney, PastEvent, Step
from features.analytics.nodes import MapNodes
from features.analytics.tables import DECISION, EVENT, LEFT, SILENCE
from features.business.domain import Domain
from features.business.journey_rules.kinds import LIFECYCLE
from features.business.journey_rules.promises import DAY_US

SILENT_DAYS = 28.0


class LifecycleCutter:
    """Cuts the lifecycles of customers of one business.

    Attributes
    ----------
    silent_us, left_us
        After so long a customer is silent, or has left; None: nobody leaves so.
    silent, left : int
        The nodes of both.
    """

    def __init__(self, domain: Domain, nodes: MapNodes) -> None:
        own, churn = domain.lifecycle, domain.churn
        silent_days = own.silent_days or (churn and churn.silent_days) or SILENT_DAYS
        left_days = own.left_days or (churn and churn.active_days)
        self.silent_us = round(silent_days * DAY_US)
        self.left_us = round(left_days * DAY_US) if left_days else None
        self._keeps = churn.event if churn and domain.leaving_event is None else None
        self._leaves = domain.leaving_event
        self._known = domain.events.keys()
        self._channels = frozenset(domain.channels)
        self._nodes = nodes
        self._map = nodes.map_code(LIFECYCLE)
        self._shown = None if own.shown is None else nodes.code(LIFECYCLE, own.shown)
        self.silent = nodes.code(LIFECYCLE, own.silent)
        self.left = nodes.code(LIFECYCLE, own.left)

    def cut(
        self, events: Sequence[PastEvent], shown: Sequence[tuple[int, str]], as_of_us: int
    ) -> Iterator[CutJourney]:
        """Yield the lifecycles of one customer; see `cutting.Cutter.cut`."""
        life: _Life | None = None
        for at_us, what, item in merge(self._events(events), self._decisions(shown)):
            if life is not None:
                life.pass_until(at_us - 1)
                if life.has_left:
                    yield life.journey
                    life = None
            if what == EVENT:
                event = events[item]
                node = self._nodes.event_code(
                    LIFECYCLE, event.type, event.channel, event.properties
                )
                step = Step(at_us, node, event.channel, EVENT, event.type, event.properties)
            else:
                step = Step(at_us, self._shown or 0, shown[item][1], DECISION)
            if life is None:
                name = events[item].event_id if what == EVENT else ""
                life = _Life(self, (at_us, name, self._map), at_us)
            life.take(step, step.type == self._keeps if self._keeps else what == EVENT)
            if step.type is not None and step.type == self._leaves:
                life.journey.close("left", at_us)
                yield life.journey
                life = None
        if life is not None:
            life.pass_until(as_of_us)
            life.journey.due_us = None if life.has_left else life.next_us
            yield life.journey

    def _events(self, events: Sequence[PastEvent]) -> Iterator[tuple[int, int, int]]:
        for place, event in enumerate(events):
            if event.type in self._known and event.channel in self._channels:
                yield event.at_us, EVENT, place

    def _decisions(self, shown: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int, int]]:
        if self._shown is not None:
            for place, (at_us, _) in enumerate(shown):
                yield at_us, DECISION, place


class _Life:
    """One lifecycle while it is cut: when the customer falls silent, and when they have left."""

    def __init__(self, cutter: LifecycleCutter, order: tuple[int, str, int], at_us: int) -> None:
        self._of = cutter
        self.journey = CutJourney(LIFECYCLE, order)
        self._silent_us: int | None = at_us + cutter.silent_us
        self._left_us = None if cutter.left_us is None else at_us + cutter.left_us

    @property
    def has_left(self) -> bool:
        """True once the customer has left."""
        return self.journey.how == "left"

    @property
    def next_us(self) -> int | None:
        """When the next silence or leaving is due; None: never."""
        found = [one for one in (self._silent_us, self._left_us) if one is not None]
        return min(found) if found else None

    def take(self, step: Step, keeps: bool) -> None:
        """Add a step; ``keeps`` says that the customer is there for as long as anybody is."""
        self.journey.steps.append(step)
        if step.what == EVENT:
            self._silent_us = step.at_us + self._of.silent_us
        if keeps and self._of.left_us is not None:
            self._left_us = step.at_us + self._of.left_us

    def pass_until(self, until_us: int) -> None:
        """Add the silence and the leaving that are due until a moment."""
        if self._left_us is not None and (self._silent_us or self._left_us + 1) > self._left_us:
            self._leave(until_us)
        if not self.has_left and self._silent_us is not None and self._silent_us <= until_us:
            step = Step(self._silent_us, self._of.silent, None, SILENCE)
            self.journey.steps.append(step)
            self._silent_us = None
            self._leave(until_us)

    def _leave(self, until_us: int) -> None:
        if self._left_us is not None and self._left_us <= until_us:
            self.journey.steps.append(Step(self._left_us, self._of.left, None, LEFT))
            self.journey.close("left", self._left_us)
