"""Collects journeys and steps of many customers in arrays, in the order in which they are cut.

A number for each journey and step costs a tenth of the time and memory of an object. The labels of
steps (map, node, channel, kind of step, type) are few, so a step has the number of its label.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.analytics.tables import HOWS

ENDED, GONE, LAPSED, OPEN = range(len(HOWS))  # GONE: the customer has left
NEVER = 1 << 62  # a time that never comes, microseconds since 1970


class StepLabel(NamedTuple):
    """All that many steps have in common; the numbers are those of `MapNodes` and `tables`."""

    map: int
    node: int
    channel: int
    what: int
    type: int


class StepLabels:
    """Numbers the labels of steps as they are met."""

    def __init__(self) -> None:
        self._numbers: dict[StepLabel, int] = {}

    def number(self, label: StepLabel) -> int:
        """Return the number of a label."""
        return self._numbers.setdefault(label, len(self._numbers))

    def columns(self) -> dict[str, NDArray[np.int64]]:
        """Return each part of the labels as an array, shape (n_labels,), by name."""
        rows = np.array([*self._numbers] or np.empty((0, 5)), np.int64)
        return dict(zip(StepLabel._fields, rows.T, strict=True))


class JourneyLog:
    """Journeys and steps of some customers, all customers one after the other.

    Attributes
    ----------
    customers, accounts, first_journey, first_event
        Of each customer; ``first_`` count the journeys and the events of the customers before.
    customer, map, case, how, start_us, end_us, due_us, events_before, profile
        Of each journey, in the order in which they begin. Times are `NEVER` where there is none.
        ``events_before`` counts the events of all customers before its first step; ``profile`` is
        a number of `Profiles`.
    journey, at_us, label
        Of each step, in the order of time; of a customer's steps at one time, that of the kind
        comes before that of the lifecycle.
    told : list of (int, dict)
        Steps with properties that promises ask for, and these.
    events : int
        The number of events so far.
    """

    def __init__(self) -> None:
        self.customers: list[str] = []
        self.accounts: list[str | None] = []
        self.first_journey, self.first_event = array("q"), array("q")
        self.customer, self.map, self.how = array("i"), array("B"), array("B")
        self.start_us, self.end_us, self.due_us = array("q"), array("q"), array("q")
        self.events_before, self.profile = array("q"), array("q")
        self.case: list[str | None] = []
        self.journey, self.at_us, self.label = array("i"), array("q"), array("i")
        self.told: list[tuple[int, dict[str, object]]] = []
        self.events = 0

    def begin_customer(self, customer_id: str, account: str | None = None) -> None:
        """Let all journeys that follow be those of a customer."""
        self.customers.append(customer_id)
        self.accounts.append(account)
        self.first_journey.append(len(self.map))
        self.first_event.append(self.events)

    def open(self, of_map: int, at_us: int, case: str | None = None) -> int:
        """Begin a journey and return its number."""
        self.customer.append(len(self.customers) - 1)
        self.map.append(of_map)
        self.case.append(case)
        self.how.append(OPEN)
        self.start_us.append(at_us)
        self.end_us.append(NEVER)
        self.due_us.append(NEVER)
        self.events_before.append(self.events)
        return len(self.map) - 1

    def close(self, journey: int, how: int, at_us: int) -> None:
        """End a journey."""
        self.how[journey], self.end_us[journey] = how, at_us

    def add_step(self, journey: int, at_us: int, label: int) -> None:
        """Add a step to a journey."""
        self.journey.append(journey)
        self.at_us.append(at_us)
        self.label.append(label)
