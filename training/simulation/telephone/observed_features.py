"""The features of a simulated customer that a service can observe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Ints
from training.simulation.telephone.actions import CHANNELS, PRICE
from training.simulation.telephone.customer_state import PAGES, CustomerState
from training.simulation.telephone.customers import PLANS, CustomerTraits

USAGE_DIP = -0.6  # usage below it counts as a dip
MARGIN_EUR = 7.0  # a month; unit of the feature
FEATURES = (
    *("age", "young", "old", "home_size", *(f"plan_{plan}" for plan in PLANS), "rural"),
    *("tenure", "margin", *(f"channel_{channel}" for channel in CHANNELS)),
    *(f"page_{page}" for page in PAGES),
    *(f"topic_{page}" for page in PAGES),
    *(f"stage_{page}" for page in PAGES[: PRICE - 1]),
    *("support_open", "onboarding", "problem_open", "usage", "usage_dip", "nps", "nps_known"),
    *("calls", "contacts", "promotions", "quiet_days", "discounted", "bought", "here_often"),
)


def observed_features(
    state: CustomerState, traits: CustomerTraits, customer: Ints, channel: Ints, day: int
) -> Floats:
    """Compute what a service knows of some customers, shape (n, len(FEATURES)).

    The columns are those of `FEATURES`, scaled to about [0, 1] or to about unit variance.

    Parameters
    ----------
    customer : shape (n,)
        Indexes of customers.
    channel : shape (n,)
        Index into `CHANNELS` of the arrival; -1: the customer has not arrived, and views no page.
    """
    columns = [
        *_profile(traits, customer),
        *(channel == index for index in range(len(CHANNELS))),
        *_journey(state, customer, channel),
        *_history(state, customer, channel, day),
    ]
    return np.column_stack(columns).astype(np.float64)


_Columns = list[NDArray[np.generic]]


def _profile(traits: CustomerTraits, customer: Ints) -> _Columns:
    age, plan = traits.age[customer], traits.plan[customer]
    return [
        (age - 46) / 17,
        age < 32,
        age > 60,
        traits.home_size[customer] - 2,
        *(plan == index for index in range(len(PLANS))),
        traits.rural[customer],
        np.log1p(traits.tenure_months[customer]) - 3,
        traits.margin_eur[customer] / MARGIN_EUR,
    ]


def _journey(state: CustomerState, customer: Ints, channel: Ints) -> _Columns:
    """Pages, topics and open journeys."""
    page = np.where(channel < 0, -1, state.page[customer])
    need, stage = state.need[customer], state.stage[customer]
    return [
        *(page == index for index in range(len(PAGES))),
        *state.topics[customer].T,
        *(stage * (need == index + 1) for index in range(PRICE - 1)),
        state.support_open[customer],
        state.onboarding[customer] > 0,
        state.problem_open[customer],
    ]


def _history(state: CustomerState, customer: Ints, channel: Ints, day: int) -> _Columns:
    """Usage, scores and counts."""
    counts = state.channel_counts[customer]
    share = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 2.0)
    nps = state.nps[customer]
    return [
        state.usage[customer],
        state.usage[customer] < USAGE_DIP,
        np.nan_to_num(nps),
        ~np.isnan(nps),
        state.calls[customer],
        state.contacts[customer],
        state.promotions[customer],
        np.log1p(day - state.last_day[customer]),
        state.discounted[customer] > 0,
        state.bought[customer],
        np.where(channel < 0, 0.0, share[np.arange(len(customer)), channel]),
    ]
