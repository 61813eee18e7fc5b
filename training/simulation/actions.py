"""What can be done in the simulated business, what is known of it, and how often it may be done.

The numbers are the truth of the world. A policy is told names, kinds and money; what tires,
tempts or angers whom it has to find out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from training.arrays import Bools, Ints

CHANNELS = ("app", "web", "call_centre", "email")
NEEDS = ("nothing", "data", "device", "fun", "family", "price", "help")
NOTHING, PRICE, HELP = 0, NEEDS.index("price"), NEEDS.index("help")


@dataclass(frozen=True, slots=True)
class SimulatedAction:
    """One thing that can be done.

    Attributes
    ----------
    kind : str
        promotion, retention, service, or none.
    need : int
        What it serves, an index into `NEEDS`; -1 serves none of them.
    value_eur, cost_eur : float
        What an acceptance brings, and what each showing costs.
    tires : float
        What a showing adds to the fatigue of an average customer.
    appeal : float
        Logit of being accepted by an average customer who does not need it.
    match : float
        Added to that where the customer needs it.
    channels : tuple of str
        Where it can be shown.
    """

    name: str
    kind: str
    need: int = -1
    value_eur: float = 0.0
    cost_eur: float = 0.0
    tires: float = 0.0
    appeal: float = -inf
    match: float = 0.0
    channels: tuple[str, ...] = CHANNELS


def _promotion(name: str, need: str, value: float, cost: float, appeal: float) -> SimulatedAction:
    return SimulatedAction(name, "promotion", NEEDS.index(need), value, cost, 1.0, appeal, 2.9)


ACTIONS = (
    SimulatedAction("no_action", "none"),
    _promotion("more_data", "data", 36.0, 0.30, -4.3),
    _promotion("new_phone", "device", 80.0, 0.60, -5.0),
    _promotion("streaming", "fun", 28.0, 0.30, -3.9),
    _promotion("family_line", "family", 60.0, 0.50, -4.7),
    # Gives margin away; wakes those who did not think of the price.
    SimulatedAction("price_cut", "retention", PRICE, -8.0, 0.30, 0.5, -1.4, 1.8),
    SimulatedAction(
        "call_back", "service", -1, 0.0, 2.50, 0.5, 0.3, 1.0, ("app", "web", "call_centre")
    ),
    SimulatedAction("how_to", "service", HELP, 0.0, 0.20, 0.4, -1.2, 1.6, ("app", "web", "email")),
)
NAMES = tuple(action.name for action in ACTIONS)
K = len(ACTIONS)
PROMOTIONS = np.array([action.kind == "promotion" for action in ACTIONS])
PRICE_CUT, CALL_BACK, HOW_TO = (NAMES.index(one) for one in ("price_cut", "call_back", "how_to"))
SERVED = np.array([action.need for action in ACTIONS])
VALUE, COST, TIRES, APPEAL, MATCH = (
    np.array([getattr(action, name) for action in ACTIONS])
    for name in ("value_eur", "cost_eur", "tires", "appeal", "match")
)
SHOWABLE: Bools = np.array(
    [[channel in action.channels for action in ACTIONS] for channel in CHANNELS]
)


@dataclass(frozen=True, slots=True)
class SimulatedCap:
    """At most so many showings of these actions to a customer in a rolling window of days."""

    at_most: int
    days: int
    actions: tuple[str, ...]

    @property
    def counts(self) -> Bools:
        """Which actions count, shape (K,)."""
        return np.array([name in self.actions for name in NAMES])


_CONTACTS = NAMES[1:]
CAPS = (
    SimulatedCap(3, 7, tuple(action.name for action in ACTIONS if action.kind == "promotion")),
    SimulatedCap(4, 7, _CONTACTS),
    SimulatedCap(1, 60, ("price_cut",)),
    SimulatedCap(1, 14, ("call_back",)),
    SimulatedCap(2, 14, ("how_to",)),
)


@dataclass
class ContactCounts:
    """What was shown to whom on which day, and what the caps still allow.

    Attributes
    ----------
    shown : shape (n_customers, n_days)
        Index of the action; 0 where nothing was.
    """

    customers: int
    days: int
    shown: NDArray[np.int8] = field(init=False)

    def __post_init__(self) -> None:
        self.shown = np.zeros((self.customers, self.days), dtype=np.int8)

    def allowed(self, who: Ints, day: int) -> Bools:
        """Which actions may be shown to these customers today, shape (n, K)."""
        free = np.ones((len(who), K), dtype=np.bool_)
        for cap in CAPS:
            recent = self.shown[who, max(0, day - cap.days + 1) : day + 1]
            full = cap.counts[recent].sum(axis=1) >= cap.at_most
            free[np.ix_(full, cap.counts)] = False
        return free

    def count(self, who: Ints, day: int, actions: Ints) -> None:
        """These were shown today."""
        self.shown[who, day] = actions


def breaches(shown: NDArray[np.int8]) -> int:
    """How many windows hold more than a cap allows; counted from the record alone.

    Parameters
    ----------
    shown : shape (n_customers, n_days)
    """
    found = 0
    for cap in CAPS:
        sums = np.cumsum(np.isin(shown, np.flatnonzero(cap.counts)), axis=1, dtype=np.int64)
        before = np.zeros_like(sums)
        before[:, cap.days :] = sums[:, : -cap.days]
        found += int((sums - before > cap.at_most).sum())
    return found
