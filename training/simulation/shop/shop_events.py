"""The events of the shop that a service is told of before it decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.arrays import Bools, Ints
from training.simulation.business import MORNING_MINUTE, Arrivals, SimulatedEvent
from training.simulation.shop.actions import CHANNELS, EMAIL, LINES

STOPPED = {"purpose": "marketing", "for_channel": CHANNELS[EMAIL]}


class ShopMorning:
    """The complaints that a service knows of, and today's visits."""

    def __init__(self, customers: int) -> None:
        self._complained = self._before = np.zeros(customers, np.bool_)
        self._visiting = self._complained

    def begin_day(self, complained: Bools, visiting: Bools) -> None:
        """Note the open complaints of a new day, those of the day before, and the visits."""
        self._before, self._complained = self._complained, complained.copy()
        self._visiting = visiting

    def events(self, arrivals: Arrivals, interest: Ints, arrived_at: Ints) -> list[SimulatedEvent]:
        """List complaints in the morning, and each visit just before the decision."""
        found = []
        for kind, changed in (
            ("complaint_opened", self._complained & ~self._before),
            ("complaint_closed", ~self._complained & self._before),
        ):
            for customer in np.flatnonzero(changed).tolist():
                found.append(SimulatedEvent(customer, kind, "web", MORNING_MINUTE))
        rows = np.flatnonzero(self._visiting[arrivals.customer])
        for customer, channel in zip(
            arrivals.customer[rows].tolist(), arrivals.channel[rows].tolist(), strict=True
        ):
            line, minute = LINES[interest[customer]], int(arrived_at[customer]) - 1
            found.append(
                SimulatedEvent(customer, "visit", CHANNELS[channel], minute, {"line": line})
            )
        return found

    @staticmethod
    def completed(event: SimulatedEvent) -> SimulatedEvent:
        """Add the purpose and the channel to an event that withdraws consent."""
        return replace(event, properties=STOPPED) if event.type == "consent_withdrawn" else event
