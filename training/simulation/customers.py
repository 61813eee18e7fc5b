"""Who lives in the simulated world: what can be seen of a customer, and what cannot.

What a customer needs, likes and bears follows in part from what can be seen (age, plan, ...), not
always in a straight line, and in part from nothing that anybody can see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.actions import CHANNELS, NAMES, NEEDS, K

PLANS = ("small", "middle", "large")
YEAR_MONTHS = 12.0  # of margin that leave with a customer


@dataclass(frozen=True)
class Customers:
    """What stays the same about each of n customers.

    Attributes
    ----------
    age, home_size, tenure_months, margin_eur : shape (n,)
        Can be seen; the margin is of a month.
    plan : shape (n,)
        Can be seen; an index into `PLANS`.
    rural : shape (n,)
        Can be seen; more goes wrong there.
    needs : shape (n, n_needs)
        Hidden: chance of each need when needs change.
    affinity : shape (n, K)
        Hidden: logit of acceptance above an average customer's.
    habit : shape (n, n_channels)
        Hidden: chance that a moment is on the channel.
    liking : shape (n, n_channels)
        Hidden: logit of acceptance there; where they dislike it, contacts tire more.
    visits : shape (n,)
        Hidden: chance of a moment on a day.
    temper : shape (n,)
        Hidden: how much a contact tires, 1 on average.
    loyalty : shape (n,)
        Hidden: logit of leaving on a day, when all is well.
    content : shape (n,)
        Hidden: the satisfaction that they return to.
    """

    age: Floats
    home_size: Floats
    tenure_months: Floats
    margin_eur: Floats
    plan: Ints
    rural: Bools
    needs: Floats
    affinity: Floats
    habit: Floats
    liking: Floats
    visits: Floats
    temper: Floats
    loyalty: Floats
    content: Floats

    @property
    def lost_eur(self) -> Floats:
        """What is lost with each when they leave: a year's margin, shape (n,)."""
        return YEAR_MONTHS * self.margin_eur


def draw_customers(n: int, rng: np.random.Generator) -> Customers:
    """Customers at random."""
    age: Floats = np.clip(rng.normal(46.0, 17.0, n), 18.0, 90.0)
    young, old = (age < 32).astype(np.float64), (age > 60).astype(np.float64)
    grown = np.where((age > 28) & (age < 55), 0.5, 0.2)
    home_size = 1.0 + rng.binomial(4, grown).astype(np.float64)
    plan = rng.choice(3, n, p=[0.4, 0.4, 0.2])
    rural = rng.random(n) < 0.3
    tenure: Floats = np.minimum(rng.exponential(30.0, n), 180.0)
    margin = np.array([4.0, 7.0, 12.0])[plan] * rng.lognormal(0, 0.2, n)
    habit = np.column_stack([1.2 * young - 0.9 * old, np.zeros(n), 1.0 * old - 0.9, np.zeros(n)])
    habit += rng.normal(0, 0.7, (n, len(CHANNELS)))
    liking = 0.5 * (habit - habit.mean(axis=1, keepdims=True))
    return Customers(
        age,
        home_size,
        tenure,
        margin,
        plan,
        rural,
        needs=_softmax(_need_logits(n, young, old, home_size, plan, tenure, rng)),
        affinity=_affinity(n, age, home_size, plan, tenure, rng),
        habit=_softmax(habit),
        liking=liking + rng.normal(0, 0.15, liking.shape),
        visits=rng.beta(2.5, 5, n),
        temper=rng.lognormal(-0.03, 0.25, n) * (1 + 0.3 * old),
        loyalty=-6.4 - 0.004 * tenure + 0.3 * young + rng.normal(0, 0.4, n),
        content=rng.normal(0, 0.5, n) - 0.2 * rural,
    )


def _need_logits(
    n: int,
    young: Floats,
    old: Floats,
    home_size: Floats,
    plan: Ints,
    tenure: Floats,
    rng: np.random.Generator,
) -> Floats:
    logits = rng.normal(0, 0.6, (n, len(NEEDS)))
    logits += np.array([1.3, 0.1, -0.2, 0.1, -0.5, -0.1, -0.3])
    logits[:, NEEDS.index("data")] += 0.6 * young + 0.5 * (plan == 0) - 0.8 * (plan == 2)
    logits[:, NEEDS.index("device")] += 0.6 * (tenure > 24)
    logits[:, NEEDS.index("fun")] += 0.5 * young - 0.4 * old
    logits[:, NEEDS.index("family")] += 0.8 * (home_size >= 3) - 1.5 * (home_size < 2)
    logits[:, NEEDS.index("price")] += 0.5 * (plan == 2) + 0.3 * (tenure < 12)
    logits[:, NEEDS.index("help")] += 0.7 * old
    return logits


def _affinity(
    n: int, age: Floats, home_size: Floats, plan: Ints, tenure: Floats, rng: np.random.Generator
) -> Floats:
    taste = rng.normal(0, 0.25, (n, K))
    column = {name: index for index, name in enumerate(NAMES)}
    taste[:, column["more_data"]] += 0.5 * (plan == 0) - 0.7 * (plan == 2)
    # Neither the youngest nor the oldest buy telephones at our price.
    taste[:, column["new_phone"]] += 0.6 - 1.2 * (np.abs(age - 42) / 25) ** 2 / 2
    taste[:, column["streaming"]] += np.where(age < 40, 0.6, -0.6) * np.where(home_size > 1, 1, 0.2)
    taste[:, column["family_line"]] += 0.5 * (home_size - 2.5)
    taste[:, column["price_cut"]] += 0.3 * (plan == 2) - 0.2
    taste[:, column["how_to"]] += 0.4 * (age > 55)
    taste[:, column["call_back"]] += 0.4 * (age > 55) - 0.4 * (age < 30)
    return np.clip(taste, -2.5, 2.5)


def _softmax(logits: Floats) -> Floats:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Floats = grown / grown.sum(axis=1, keepdims=True)
    return chances
