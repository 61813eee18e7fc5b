"""Worlds of `added_value`: kinds of customers, and what an offer does to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.arrays import Bools, Floats, Ints
from training.simulation.business import (
    EVENING_MINUTE,
    LEAVING_MINUTE,
    MAX_DAYS,
    MORNING_MINUTE,
    ActionOutcomes,
    Arrivals,
    SimulatedAction,
    SimulatedBusiness,
    SimulatedEvent,
)
from training.simulation.draws import draw_arrival_minutes

# What a business knows of customers; of the three kinds, the second is neither.
FEATURES = ("regular", "wary")
KNOWN = np.array([[1, 0], [0, 0], [0, 1]])
MARGIN_EUR, COST_EUR, REMAINING_EUR = 5.0, 0.5, 20.0
PREFIX = "k"


@dataclass(frozen=True)
class Kinds:
    """The kinds of customers of a world, each as frequent; see `KNOWN`.

    Attributes
    ----------
    alone, contacted : shape (n_kinds,)
        The chance of a purchase at a visit, without and with the offer.
    leaves : shape (n_kinds,)
        The chance to leave after the offer. Anybody leaves with ``anyway`` on a day.
    """

    names: tuple[str, ...]
    alone: Floats
    contacted: Floats
    leaves: Floats
    anyway: float = 0.001
    visits: float = 0.5  # the chance of a visit on a day


KINDS = Kinds(
    ("sure things", "persuadables", "sleeping dogs"),
    alone=np.array([0.30, 0.05, 0.30]),
    contacted=np.array([0.30, 0.25, 0.15]),
    leaves=np.array([0.0, 0.0, 0.02]),
)
NOTHING = Kinds(
    ("a third", "another", "the last"),
    alone=np.array([0.30, 0.30, 0.30]),
    contacted=np.array([0.30, 0.30, 0.30]),
    leaves=np.array([0.0, 0.0, 0.0]),
)


class KindsWorld:
    """Customers of some kinds, played day by day; see `SimulatedWorld`.

    Attributes
    ----------
    kind : shape (n_customers,)
    visited : shape (n_customers, n_days)
    """

    def __init__(self, customers: int, seed: int, days: int, kinds: Kinds) -> None:
        self.days, self.day, self.kinds = days, -1, kinds
        self._rng = np.random.default_rng([seed, 1])
        self.kind: Ints = self._rng.integers(len(kinds.alone), size=customers)
        self._age = self._rng.integers(18, 80, customers)
        self.arrived_at = draw_arrival_minutes(customers, seed)
        self.lost_eur = np.full(customers, REMAINING_EUR)
        self.gone: Bools = np.zeros(customers, dtype=np.bool_)
        self.visited = np.zeros((customers, days), dtype=np.bool_)
        self.shown = np.zeros((customers, days), dtype=np.int8)
        self.shown_on = np.full((customers, days), -1, dtype=np.int8)
        self._bought = self._contacted = self._left = np.zeros(customers, dtype=np.bool_)
        self._uniform = np.empty((4, customers))
        self._who = np.empty(0, dtype=np.int64)

    def customers(self) -> pd.DataFrame:
        """See `SimulatedWorld`."""
        return pd.DataFrame(
            {
                "customer_id": [f"{PREFIX}{number}" for number in range(len(self.kind))],
                **{
                    name: np.where(KNOWN[self.kind, place] > 0, "yes", "no")
                    for place, name in enumerate(FEATURES)
                },
                "age": self._age,
            }
        )

    def begin_day(self) -> Arrivals:
        """See `SimulatedWorld`."""
        self.day += 1
        self._uniform = self._rng.random((4, len(self.kind)))
        self._bought, self._contacted, self._left = (np.zeros_like(self.gone) for _ in range(3))
        self._who = np.flatnonzero(~self.gone & (self._uniform[0] < self.kinds.visits))
        self.visited[self._who, self.day] = True
        n = len(self._who)
        contexts = KNOWN[self.kind[self._who]].astype(np.float64)
        allowed = np.ones((n, 2), dtype=np.bool_)
        return Arrivals(self._who, np.zeros(n, dtype=np.int64), contexts, allowed)

    def events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`."""
        return [SimulatedEvent(one, "visit", "web", MORNING_MINUTE) for one in self._who.tolist()]

    def sent(self) -> list[dict[str, Any]]:
        """See `SimulatedWorld`."""
        return [{} for _ in self._who]

    def expected(self) -> Floats:
        """See `SimulatedWorld`."""
        kinds = self.kinds
        added = MARGIN_EUR * (kinds.contacted - kinds.alone) - COST_EUR
        value = (added - REMAINING_EUR * kinds.leaves)[self.kind[self._who]]
        return np.stack([np.zeros_like(value), value], axis=1)

    def act(self, actions: Ints) -> ActionOutcomes:
        """See `SimulatedWorld`."""
        who, kind, kinds = self._who, self.kind[self._who], self.kinds
        contacted = actions > 0
        chance = np.where(contacted, kinds.contacted[kind], kinds.alone[kind])
        bought = self._uniform[1, who] < chance
        self._contacted[who], self._bought[who] = contacted, bought
        self.shown[who, self.day] = actions
        self.shown_on[who, self.day] = np.where(contacted, 0, -1)
        accepted, soon = contacted & bought, np.zeros(len(who), dtype=np.int64)
        value, cost = accepted * MARGIN_EUR, contacted * COST_EUR
        return ActionOutcomes(accepted, value, cost, soon, soon + MAX_DAYS + 1)

    def end_day(self) -> Bools:
        """See `SimulatedWorld`."""
        driven = self._contacted & (self._uniform[2] < self.kinds.leaves[self.kind])
        self._left = ~self.gone & (driven | (self._uniform[3] < self.kinds.anyway))
        self.gone = self.gone | self._left
        return self._left

    def late_events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`."""
        paid = {"amount_eur": MARGIN_EUR}
        return [
            *(
                SimulatedEvent(one, "purchase", "web", EVENING_MINUTE, paid)
                for one in np.flatnonzero(self._bought).tolist()
            ),
            *(
                SimulatedEvent(one, "left", "web", LEAVING_MINUTE)
                for one in np.flatnonzero(self._left).tolist()
            ),
        ]

    def value_of_day(self) -> Floats:
        """See `SimulatedWorld`."""
        earned = MARGIN_EUR * self._bought - COST_EUR * self._contacted
        return earned - REMAINING_EUR * self._left


def business_of(kinds: Kinds) -> SimulatedBusiness:
    """Make the business whose domain file and actions are beside this module."""
    return SimulatedBusiness(
        name="kinds",
        domain=str(Path(__file__).with_name("added_value")),
        prefix=PREFIX,
        channels=("web",),
        features=FEATURES,
        actions=(
            SimulatedAction("no_action", "none"),
            SimulatedAction("offer", "promotion", MARGIN_EUR, COST_EUR, ("web",)),
        ),
        caps=(),
        rules={},
        make_world=partial(KindsWorld, kinds=kinds),
    )
