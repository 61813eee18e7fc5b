"""Cuts the lifecycle of a customer: all events, shown actions, silences, and leaving.

A customer has one lifecycle until they leave; what happens afterwards begins another one. Of steps
at one time, events come first, then shown actions, then a silence, then leaving.
"""

from __future__ import annotations

from features.analytics.cut.journey_log import GONE, NEVER, JourneyLog, StepLabel, StepLabels
from features.analytics.nodes import MapNodes
from features.analytics.tables import DECISION, LEFT, NO_CHANNEL, NO_TYPE, SILENCE
from features.business.domain import Domain
from features.business.journey_rules.kinds import LIFECYCLE
from features.business.journey_rules.promises import DAY_US

SILENT_DAYS = 28.0


class LifecycleRules:
    """The rules by which customers fall silent and leave, and the labels of these steps.

    Attributes
    ----------
    silent_us, left_us : int
        After so long a customer is silent, or has left; `NEVER`: nobody leaves so.
    map, silent, left : int
        The number of the map, and of the labels of both steps.
    shown : bool
        Whether shown actions are steps.
    """

    def __init__(self, domain: Domain, nodes: MapNodes, labels: StepLabels) -> None:
        own, churn = domain.lifecycle, domain.churn
        silent_days = own.silent_days or (churn and churn.silent_days) or SILENT_DAYS
        left_days = own.left_days or (churn and churn.active_days)
        self.silent_us = round(silent_days * DAY_US)
        self.left_us = round(left_days * DAY_US) if left_days else NEVER
        self.map = nodes.map_code(LIFECYCLE)
        self._nodes, self._labels = nodes, labels
        self.silent, self.left = (
            labels.number(
                StepLabel(self.map, nodes.code(LIFECYCLE, name), NO_CHANNEL, what, NO_TYPE)
            )
            for name, what in ((own.silent, SILENCE), (own.left, LEFT))
        )
        self._shown_node = None if own.shown is None else nodes.code(LIFECYCLE, own.shown)
        self.shown = own.shown is not None
        self._shown_labels: dict[str, int] = {}

    def shown_label(self, channel: str) -> int:
        """Return the label of an action that was shown on a channel."""
        found = self._shown_labels.get(channel)
        if found is None:
            known = self._nodes.channels
            code = known.index(channel) if channel in known else NO_CHANNEL
            label = StepLabel(self.map, self._shown_node or 0, code, DECISION, NO_TYPE)
            found = self._shown_labels[channel] = self._labels.number(label)
        return found


class Lifecycles:
    """The lifecycles of one customer while they are cut.

    Attributes
    ----------
    next_us : int
        When the next silence or leaving is due.
    """

    __slots__ = ("_journey", "_left_us", "_log", "_rules", "_silent_us", "next_us")

    def __init__(self, rules: LifecycleRules, log: JourneyLog) -> None:
        self._rules, self._log = rules, log
        self._journey = -1  # none yet, or the customer has left
        self._silent_us = self._left_us = self.next_us = NEVER

    def take_event(self, at_us: int, label: int, keeps: bool) -> None:
        """Add an event; call `pass_until` first if `next_us` is before it."""
        if self._journey < 0:
            self._begin(at_us)
        self._log.add_step(self._journey, at_us, label)
        self._silent_us = silent_us = at_us + self._rules.silent_us
        if keeps:
            self._left_us = at_us + self._rules.left_us
        self.next_us = silent_us if silent_us < self._left_us else self._left_us

    def take_shown(self, at_us: int, channel: str) -> None:
        """Add an action that was shown. It neither breaks a silence nor keeps the customer."""
        if self.next_us < at_us:
            self.pass_until(at_us - 1)
        if self._journey < 0:
            self._begin(at_us)
        self._log.add_step(self._journey, at_us, self._rules.shown_label(channel))

    def leave(self, at_us: int) -> None:
        """End the lifecycle."""
        self._log.close(self._journey, GONE, at_us)
        self._journey = -1
        self._silent_us = self._left_us = self.next_us = NEVER

    def pass_until(self, until_us: int) -> None:
        """Add the silence and the leaving that are due until a moment."""
        if self._silent_us <= min(until_us, self._left_us):
            self._log.add_step(self._journey, self._silent_us, self._rules.silent)
            self._silent_us = NEVER  # one silence after each event
        if self._left_us <= until_us:
            self._log.add_step(self._journey, self._left_us, self._rules.left)
            self.leave(self._left_us)
        self.next_us = min(self._silent_us, self._left_us)

    def finish(self, as_of_us: int) -> None:
        """Note the state as of a moment."""
        self.pass_until(as_of_us)
        if self._journey >= 0:
            self._log.due_us[self._journey] = self.next_us

    def _begin(self, at_us: int) -> None:
        self._journey = self._log.open(self._rules.map, at_us)
        self._silent_us = at_us + self._rules.silent_us
        self._left_us = at_us + self._rules.left_us
        self.next_us = min(self._silent_us, self._left_us)
