"""Worlds with a known lift, as the values that the service sums from its ledger.

Customers are drawn into arms by the hash of their ids, are met over some weeks, differ lastingly in
how much they buy, and spend amounts that are skewed. Truths are expectations over such customers,
computed exactly and not from what was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from features.business.catalog_rules import Arms
from features.rewards.customer_values import CustomerValues, ValueDays
from serving.audit.lift.comparison import ARM_NAMES
from serving.policies.arms import arm_of
from training.arrays import Bools, Floats, Ints

FACTORS = np.array([0.4, 1.0, 1.6])  # of how much customers buy; each as frequent
AMOUNT_EUR, SIGMA = 5.0, 1.0  # mean of a purchase, and deviation of its logarithm
BEFORE_DAYS, KNOWN = 90, 0.7  # share of customers who were customers before
FIRST_DAY = 20_000


@dataclass(frozen=True)
class Kinds:
    """Kinds of customers, each as frequent, and what contacting one of them does.

    Attributes
    ----------
    alone, contacted : shape (n_kinds,)
        The chance of a purchase at a visit, for a factor of 1.
    leaves : shape (n_kinds,)
        The chance to leave after being contacted; anybody leaves with ``anyway`` on a day.
    contacts : shape (n_arms, n_kinds)
        The chance that an arm contacts a customer at a visit.
    """

    alone: Floats
    contacted: Floats
    leaves: Floats
    contacts: Floats
    cost_eur: float
    anyway: float
    remaining_eur: float
    visits: float  # the chance of a visit on a day
    days: int
    met_within: int  # days


# Sure things, persuadables and sleeping dogs. The policy contacts as one that seeks acceptances
# did; the random arm contacts every other visit.
KINDS = Kinds(
    alone=np.array([0.30, 0.05, 0.30]),
    contacted=np.array([0.30, 0.25, 0.15]),
    leaves=np.array([0.0, 0.0, 0.02]),
    contacts=np.array([[0.97, 0.56, 0.98], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]),
    cost_eur=0.5,
    anyway=0.001,
    remaining_eur=20.0,
    visits=0.5,
    days=28,
    met_within=14,
)
# Contacts do nothing and cost nothing. Purchases are rare.
NOTHING = Kinds(
    alone=np.array([0.04]),
    contacted=np.array([0.04]),
    leaves=np.array([0.0]),
    contacts=np.array([[0.5], [0.5], [0.0]]),
    cost_eur=0.0,
    anyway=0.001,
    remaining_eur=20.0,
    visits=0.5,
    days=60,
    met_within=28,
)


@dataclass(frozen=True)
class World:
    """The values of a world's customers, their arms, and what was bought after a contact."""

    values: CustomerValues
    arm: Ints
    credited: Floats  # shape (n_customers,), less costs


def draw(kinds: Kinds, customers: int, arms: Arms, seed: int) -> World:
    """Play a world."""
    rng = np.random.default_rng(seed)
    ids = [f"w{seed}-{number}" for number in range(customers)]
    arm = np.array([ARM_NAMES.index(arm_of(key, arms)) for key in ids])
    kind = rng.integers(len(kinds.alone), size=customers)
    factor = rng.choice(FACTORS, customers)
    met = rng.integers(kinds.met_within, size=customers)
    shape = customers, kinds.days
    day = np.arange(kinds.days)
    visit = (rng.random(shape) < kinds.visits) & (day >= met[:, None])
    contact = visit & (rng.random(shape) < kinds.contacts[arm, kind][:, None])
    leaves = (rng.random(shape) < kinds.anyway) & (day >= met[:, None])
    leaves |= contact & (rng.random(shape) < kinds.leaves[kind][:, None])
    gone_on = np.where(leaves.any(axis=1), leaves.argmax(axis=1), kinds.days)
    here = day <= gone_on[:, None]  # who leaves does so after the visit of that day
    visit, contact = visit & here, contact & here
    chance = np.where(contact, kinds.contacted[kind][:, None], kinds.alone[kind][:, None])
    bought = visit & (rng.random(shape) < chance * factor[:, None])
    margin = np.where(bought, _amounts(rng, shape), 0.0)
    before = _before(rng, kinds, kind, factor)
    cost = contact * kinds.cost_eur
    left = leaves & (day == gone_on[:, None])
    values = CustomerValues(
        ids,
        met + FIRST_DAY,
        before,
        np.zeros(customers, np.bool_),
        np.full(customers, kinds.remaining_eur),
        np.zeros(customers, np.uint8),
        _rows(margin, cost, left),
    )
    return World(values, arm, (margin * contact - cost).sum(axis=1))


def _amounts(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return AMOUNT_EUR * rng.lognormal(-(SIGMA**2) / 2, SIGMA, shape)


def _before(rng: np.random.Generator, kinds: Kinds, kind: Ints, factor: Floats) -> Floats:
    """Draw what each customer bought before; nothing if the customer is new."""
    known = rng.random(len(kind)) < KNOWN
    purchases = rng.binomial(BEFORE_DAYS, kinds.visits * kinds.alone[kind] * factor) * known
    owner = np.repeat(np.arange(len(kind)), purchases)
    return np.bincount(owner, _amounts(rng, owner.shape), len(kind))


def _rows(margin: Floats, cost: Floats, left: Bools) -> ValueDays:
    customer, day = np.nonzero((margin != 0) | (cost != 0) | left)
    at = customer, day
    return ValueDays(customer, day + FIRST_DAY, margin[at], cost[at], left[at].astype(np.int64))


def true_means(kinds: Kinds) -> tuple[Floats, Floats]:
    """The expected value, and the expected share who left, of a customer of each arm."""
    cases = [*product(range(len(kinds.alone)), FACTORS, range(kinds.met_within))]
    rows = [[_expected(kinds, arm, *case) for case in cases] for arm in range(len(ARM_NAMES))]
    mean = np.array(rows).mean(axis=1)
    return mean[:, 0], mean[:, 1]


def _expected(kinds: Kinds, arm: int, kind: int, factor: float, met: int) -> tuple[float, float]:
    """The expected value of a customer, and the chance that it has left by the last day."""
    contact = float(kinds.contacts[arm, kind])
    chance = contact * kinds.contacted[kind] + (1 - contact) * kinds.alone[kind]
    a_day = kinds.visits * (chance * factor * AMOUNT_EUR - contact * kinds.cost_eur)
    stays = (1 - kinds.anyway) * (1 - kinds.visits * contact * kinds.leaves[kind])
    days = kinds.days - met
    left = 1 - stays**days
    lived = (1 - stays**days) / (1 - stays)  # the sum of stays^d over the days
    return float(a_day * lived - kinds.remaining_eur * left), float(left)
