"""Cuts what happened to a customer into journeys and their steps, as the fold counts them.

Events are in the order in which they are folded. `journey_steps.StepRules` says what each does to
the open journeys; the rest is here:

- An event that opens a journey is its first step; an event that ends one is its last step, and ends
  the newest open one, or the one of its case. If none is open, it is a journey of one step.
- After ``lapse_days`` without an event of the kind, all open journeys of the kind have lapsed.
- The leaving event of the business ends all open journeys.

The lifecycle of a customer is a map of its own (`lifecycles`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from features.analytics.cut.event_effects import EventEffect, EventReaders
from features.analytics.cut.journey_log import (
    ENDED,
    GONE,
    LAPSED,
    NEVER,
    JourneyLog,
    StepLabels,
)
from features.analytics.cut.lifecycles import LifecycleRules, Lifecycles
from features.analytics.nodes import MapNodes
from features.business.domain import Domain
from features.business.journey_rules.promises import DAY_US

# The customer or the id of the event, type, channel, time (microseconds since 1970), and
# properties (JSON), as `stored_events` reads them.
PastEvent = tuple[str, str, str, int, str]
Shown = tuple[int, str]  # time and channel of a decision that was shown


class Cutter:
    """Cuts the events of customers of one business, and writes them into a log.

    Attributes
    ----------
    labels : StepLabels
        Those of the steps in all logs.
    """

    def __init__(self, domain: Domain, nodes: MapNodes) -> None:
        self.labels = StepLabels()
        self._events = EventReaders(domain, nodes, self.labels)
        self._lifecycle = LifecycleRules(domain, nodes, self.labels)
        self._kinds = [
            (
                nodes.map_code(name),
                NEVER if kind.lapse_days is None else round(kind.lapse_days * DAY_US),
                self._events.steps.most_open(name),
            )
            for name, kind in domain.journey_kinds.items()
        ]

    def cut(
        self,
        log: JourneyLog,
        events: Iterable[PastEvent],
        shown: Sequence[Shown],
        as_of_us: int,
    ) -> None:
        """Cut the past of one customer, with whom the log was told to begin.

        Parameters
        ----------
        events
            In the order of folding; those after ``as_of_us`` are left out.
        shown
            In the order of time; as for the events.
        """
        kinds = [_Kind(log, *rules) for rules in self._kinds]
        life, readers = Lifecycles(self._lifecycle, log), self._events
        waiting = [one for one in reversed(shown) if one[0] <= as_of_us and self._lifecycle.shown]
        shown_us = waiting[-1][0] if waiting else NEVER
        for _, type_name, channel, at_us, properties in events:
            reader = readers[type_name, channel]
            if reader is None or at_us > as_of_us:
                continue
            while shown_us < at_us:
                life.take_shown(*waiting.pop())
                shown_us = waiting[-1][0] if waiting else NEVER
            effect = reader.effect or reader.read(properties)
            kinds[effect.kind].take(effect, at_us)
            if life.next_us < at_us:
                life.pass_until(at_us - 1)
            life.take_event(at_us, effect.life_label, effect.keeps)
            log.events += 1
            if effect.leaves:
                life.leave(at_us)
                for kind in kinds:
                    kind.lapse(at_us)
                    kind.close_all(GONE, at_us)
        while waiting:
            life.take_shown(*waiting.pop())
        for kind in kinds:
            kind.finish(as_of_us)
        life.finish(as_of_us)


class _Kind:
    """The journeys of one kind of one customer while they are cut."""

    __slots__ = ("_lapse_us", "_last_us", "_log", "_map", "_most_open", "_of_case", "_open")

    def __init__(self, log: JourneyLog, of_map: int, lapse_us: int, most_open: int | None) -> None:
        self._log, self._map = log, of_map
        self._lapse_us, self._most_open = lapse_us, most_open
        self._last_us = 0
        self._open: list[int] = []  # the newest last
        self._of_case: dict[str, int] = {}

    def take(self, effect: EventEffect, at_us: int) -> None:
        """Give an event to its journey, and end that journey if the event does."""
        if self._open and at_us - self._last_us > self._lapse_us:
            self.lapse(at_us)  # asked here, too, as a call for each event takes time
        self._last_us = at_us
        _, step, case, _, label, _, _, told = effect
        if case is not None:
            journey = self._of_case.get(case, -1)
        else:
            journey = self._open[-1] if self._open and step != "starts" else -1
        if journey < 0:
            if len(self._open) == self._most_open:  # the fold keeps no more apart
                self._close(self._open[0], LAPSED, at_us)
            journey = self._log.open(self._map, at_us, case)
            self._open.append(journey)
            if case is not None:
                self._of_case[case] = journey
        if told is not None:
            self._log.told.append((len(self._log.journey), told))
        self._log.add_step(journey, at_us, label)
        if step == "ends":
            self._close(journey, ENDED, at_us)

    def _close(self, journey: int, how: int, at_us: int) -> None:
        self._log.close(journey, how, at_us)
        # Mostly the newest ends, and `remove` would look at all others first.
        if self._open[-1] == journey:
            self._open.pop()
        else:
            self._open.remove(journey)
        case = self._log.case[journey]
        if case is not None:
            self._of_case.pop(case, None)

    def lapse(self, now_us: int) -> None:
        """Close the open journeys if the kind had no event for too long."""
        if self._open and now_us - self._last_us > self._lapse_us:
            self.close_all(LAPSED, self._last_us + self._lapse_us)

    def close_all(self, how: int, at_us: int) -> None:
        """Close all open journeys."""
        for journey in self._open:
            self._log.close(journey, how, at_us)
        self._open.clear()
        self._of_case.clear()

    def finish(self, as_of_us: int) -> None:
        """Note the state as of a moment."""
        self.lapse(as_of_us)
        for journey in self._open:
            self._log.due_us[journey] = min(self._last_us + self._lapse_us, NEVER)
