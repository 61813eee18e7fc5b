"""Events with an amount that are due on later days, such as purchases and returns.

A world's value and the events that it tells are made of the same rows, so they are the same money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.business import EVENING_MINUTE, SimulatedEvent

Amounts = tuple[str, Ints, Ints, Floats]  # type of event, customers, channels, amounts


class DueEvents:
    """Amounts by day and type of event.

    Parameters
    ----------
    customers : int
    shares : mapping of str to float
        Margin of one unit of the amount, by type of event: 1 for a purchase, -1 for a return.
    """

    def __init__(self, customers: int, shares: Mapping[str, float]) -> None:
        self._customers, self._shares = customers, shares
        self._due: dict[int, list[Amounts]] = defaultdict(list)

    def add(self, kind: str, day: Ints, customer: Ints, channel: Ints, amount: Floats) -> None:
        """Note events of one type on some days; all arrays of shape (n,)."""
        for one in np.unique(day).tolist():
            rows = day == one
            self._due[one].append((kind, customer[rows], channel[rows], amount[rows]))

    def margin(self, day: int) -> Floats:
        """Sum the margin of a day's events, shape (n_customers,)."""
        total = np.zeros(self._customers)
        for kind, customer, _, amount in self._due[day]:
            np.add.at(total, customer, self._shares[kind] * amount)
        return total

    def rows(self, day: int) -> Sequence[Amounts]:
        """The events of a day, in the order in which they were noted."""
        return self._due[day]

    def events(
        self, day: int, channels: Sequence[str], key: str = "amount_eur"
    ) -> list[SimulatedEvent]:
        """List the events of a day in the evening."""
        return [
            SimulatedEvent(customer, kind, channels[channel], EVENING_MINUTE, {key: amount})
            for kind, customers, on, amounts in self._due[day]
            for customer, channel, amount in zip(
                customers.tolist(), on.tolist(), amounts.tolist(), strict=True
            )
        ]
