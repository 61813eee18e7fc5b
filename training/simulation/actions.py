"""The actions of the simulated business, their true effects, and the contact policy's caps.

A policy knows names, kinds, values and costs. The effects on acceptance, fatigue and satisfaction
are the truth of the world; a policy has to learn them.
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
    """An action with its true effects.

    Attributes
    ----------
    kind : str
        promotion, retention, service, or none.
    need : int
        Index into `NEEDS` of the need that the action serves; -1: none of them.
    value_eur, cost_eur : float
        Value of an acceptance, and cost of each showing.
    fatigue : float
        Fatigue that a showing adds to an average customer.
    base_logit : float
        Logit of acceptance by an average customer who does not need the action.
    need_logit : float
        Added to ``base_logit`` where the customer needs the action.
    channels : tuple of str
        Channels on which the action can be shown.
    """

    name: str
    kind: str
    need: int = -1
    value_eur: float = 0.0
    cost_eur: float = 0.0
    fatigue: float = 0.0
    base_logit: float = -inf
    need_logit: float = 0.0
    channels: tuple[str, ...] = CHANNELS


def _promotion(
    name: str, need: str, value: float, cost: float, base_logit: float
) -> SimulatedAction:
    return SimulatedAction(name, "promotion", NEEDS.index(need), value, cost, 1.0, base_logit, 2.9)


ACTIONS = (
    SimulatedAction("no_action", "none"),
    _promotion("more_data", "data", 36.0, 0.30, -4.3),
    _promotion("new_phone", "device", 80.0, 0.60, -5.0),
    _promotion("streaming", "fun", 28.0, 0.30, -3.9),
    _promotion("family_line", "family", 60.0, 0.50, -4.7),
    # Costs margin, and makes customers unhappy who did not think of the price.
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
ACTION_NEED = np.array([action.need for action in ACTIONS])
VALUE, COST, FATIGUE_PER_CONTACT, BASE_LOGIT, NEED_LOGIT = (
    np.array([getattr(action, name) for action in ACTIONS])
    for name in ("value_eur", "cost_eur", "fatigue", "base_logit", "need_logit")
)
CHANNEL_ALLOWED: Bools = np.array(
    [[channel in action.channels for action in ACTIONS] for channel in CHANNELS]
)


@dataclass(frozen=True, slots=True)
class SimulatedCap:
    """Limits the showings of some actions to a customer in a rolling window of days."""

    at_most: int
    days: int
    actions: tuple[str, ...]

    @property
    def counts(self) -> Bools:
        """True for the actions that are counted, shape (K,)."""
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
    """Records the action shown to each customer on each day, and applies the caps.

    Attributes
    ----------
    shown : shape (n_customers, n_days)
        Index of the action; 0 where none was shown.
    """

    customers: int
    days: int
    shown: NDArray[np.int8] = field(init=False)

    def __post_init__(self) -> None:
        self.shown = np.zeros((self.customers, self.days), dtype=np.int8)

    def allowed(self, customer: Ints, day: int) -> Bools:
        """True for the actions that the caps allow today, shape (n, K)."""
        free = np.ones((len(customer), K), dtype=np.bool_)
        for cap in CAPS:
            recent = self.shown[customer, max(0, day - cap.days + 1) : day + 1]
            full = cap.counts[recent].sum(axis=1) >= cap.at_most
            free[np.ix_(full, cap.counts)] = False
        return free

    def count(self, customer: Ints, day: int, actions: Ints) -> None:
        """Record that these actions were shown today."""
        self.shown[customer, day] = actions


def cap_violations(shown: NDArray[np.int8]) -> int:
    """Count the windows that hold more showings than a cap allows.

    Counted from the shown actions alone, without `ContactCounts.allowed`.

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
