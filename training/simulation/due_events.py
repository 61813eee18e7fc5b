"""Events with amounts that are due on some day, such as purchases and returns.

A world's value and the events that it tells are made of the same rows, so they are the same money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.business import EVENING_MINUTE, SimulatedEvent


class _DueRows(NamedTuple):
    """Events of one type and day: customers, channels, and amounts by property."""

    kind: str
    customer: Ints
    channel: Ints
    amounts: Mapping[str, Floats]


class DueEvents:
    """Amounts by day and type of event.

    Parameters
    ----------
    customers : int
    shares : mapping of str to float
        Margin of one unit of an amount, by "event.property", as in the domain's `objective`.
    """

    def __init__(self, customers: int, shares: Mapping[str, float]) -> None:
        self._customers, self._shares = customers, shares
        self._due: dict[int, list[_DueRows]] = defaultdict(list)

    def add(self, kind: str, day: Ints, customer: Ints, channel: Ints, **amounts: Floats) -> None:
        """Note events of one type on some days; all arrays of shape (n,)."""
        for one in np.unique(day).tolist():
            rows = day == one
            values = {name: amount[rows] for name, amount in amounts.items()}
            self._due[one].append(_DueRows(kind, customer[rows], channel[rows], values))

    def margin(self, day: int) -> Floats:
        """Sum the margin of a day's events, shape (n_customers,)."""
        total = np.zeros(self._customers)
        for kind, customer, _, amounts in self._due[day]:
            for name, amount in amounts.items():
                np.add.at(total, customer, self._shares[f"{kind}.{name}"] * amount)
        return total

    def events(self, day: int, channels: Sequence[str]) -> list[SimulatedEvent]:
        """List the events of a day, in the evening."""
        found = []
        for kind, customers, on, amounts in self._due[day]:
            names, columns = list(amounts), [amount.tolist() for amount in amounts.values()]
            for customer, channel, *values in zip(
                customers.tolist(), on.tolist(), *columns, strict=True
            ):
                properties = dict(zip(names, values, strict=True))
                found.append(
                    SimulatedEvent(customer, kind, channels[channel], EVENING_MINUTE, properties)
                )
        return found
