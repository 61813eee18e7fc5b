"""Fixed traits of the simulated customers, observed and hidden.

The hidden traits depend in part on the observed ones (age, plan, ...), not always linearly, and
in part on noise that no feature shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.arrays import Bools, Floats, Ints
from training.simulation.telephone.actions import CHANNELS, NAMES, NEEDS, K

PREFIX = "w"  # of customer ids
PLANS = ("small", "middle", "large")
MARGIN_MONTHS = 12.0  # of margin that are lost when a customer leaves


@dataclass(frozen=True)
class CustomerTraits:
    """Traits of n customers that do not change over time.

    Attributes
    ----------
    age, home_size, tenure_months, margin_eur : shape (n,)
        Observed. The margin is per month.
    plan : shape (n,)
        Observed. Index into `PLANS`.
    rural : shape (n,)
        Observed. Problems are more frequent in the country.
    need_shares : shape (n, n_needs)
        Hidden. Probability of each need when the need changes.
    affinity : shape (n, K)
        Hidden. Added to the logit of acceptance of an average customer.
    channel_share : shape (n, n_channels)
        Hidden. Probability that an arrival is on the channel.
    channel_preference : shape (n, n_channels)
        Hidden. Added to the logit of acceptance on the channel; on a disliked channel a contact
        adds more fatigue.
    visit_probability : shape (n,)
        Hidden. Probability of an arrival on a day.
    fatigue_sensitivity : shape (n,)
        Hidden. Multiplies the fatigue of a contact; 1 on average.
    churn_logit : shape (n,)
        Hidden. Logit of churn on a day at satisfaction 0, without fatigue or problem.
    baseline_satisfaction : shape (n,)
        Hidden. Satisfaction to which the customer returns over time.
    """

    age: Floats
    home_size: Floats
    tenure_months: Floats
    margin_eur: Floats
    plan: Ints
    rural: Bools
    need_shares: Floats
    affinity: Floats
    channel_share: Floats
    channel_preference: Floats
    visit_probability: Floats
    fatigue_sensitivity: Floats
    churn_logit: Floats
    baseline_satisfaction: Floats

    @property
    def lost_eur(self) -> Floats:
        """Loss if the customer leaves: the margin of a year, shape (n,)."""
        return MARGIN_MONTHS * self.margin_eur


def customer_table(traits: CustomerTraits) -> pd.DataFrame:
    """Make the table of customers for `nba load`, with the attributes of the domain file."""
    return pd.DataFrame(
        {
            "customer_id": [f"{PREFIX}{customer}" for customer in range(len(traits.age))],
            "age": traits.age.round().astype(int),
            "home_size": traits.home_size.astype(int),
            "plan": np.array(PLANS)[traits.plan],
            "rural": np.where(traits.rural, "yes", "no"),
            "tenure_months": traits.tenure_months.round(1),
            "margin_eur": traits.margin_eur,
        }
    )


def draw_traits(n: int, rng: np.random.Generator) -> CustomerTraits:
    """Draw the traits of n customers."""
    age: Floats = np.clip(rng.normal(46.0, 17.0, n), 18.0, 90.0)
    young, old = (age < 32).astype(np.float64), (age > 60).astype(np.float64)
    grown = np.where((age > 28) & (age < 55), 0.5, 0.2)
    home_size = 1.0 + rng.binomial(4, grown).astype(np.float64)
    plan = rng.choice(3, n, p=[0.4, 0.4, 0.2])
    rural = rng.random(n) < 0.3
    tenure: Floats = np.minimum(rng.exponential(30.0, n), 180.0)
    # In whole cents, as the domain's `remaining_value` reads it.
    margin = np.round(np.array([4.0, 7.0, 12.0])[plan] * rng.lognormal(0, 0.2, n), 2)
    channel_share = np.column_stack(
        [1.2 * young - 0.9 * old, np.zeros(n), 1.0 * old - 0.9, np.zeros(n)]
    )
    channel_share += rng.normal(0, 0.7, (n, len(CHANNELS)))
    channel_preference = 0.5 * (channel_share - channel_share.mean(axis=1, keepdims=True))
    return CustomerTraits(
        age,
        home_size,
        tenure,
        margin,
        plan,
        rural,
        need_shares=_softmax(_need_logits(n, young, old, home_size, plan, tenure, rng)),
        affinity=_affinity(n, age, home_size, plan, tenure, rng),
        channel_share=_softmax(channel_share),
        channel_preference=channel_preference + rng.normal(0, 0.15, channel_preference.shape),
        visit_probability=rng.beta(2.5, 5, n),
        fatigue_sensitivity=rng.lognormal(-0.03, 0.25, n) * (1 + 0.3 * old),
        churn_logit=-6.4 - 0.004 * tenure + 0.3 * young + rng.normal(0, 0.4, n),
        baseline_satisfaction=rng.normal(0, 0.5, n) - 0.2 * rural,
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
